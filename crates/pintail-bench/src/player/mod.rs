//! A client that costs the load as little as it can: it speaks frames, and keeps no more than it needs to go on after its
//! connection, its gateway or its game's server was lost.

pub(crate) mod allowance;
pub(crate) mod lobby;
pub(crate) mod seat;
pub(crate) mod stream;
pub(crate) mod trouble;
mod unacked;
pub(crate) mod wire;

use std::future::poll_fn;
use std::task::Poll;
use std::time::{Duration, Instant};

use bytes::BytesMut;
use pintail_core::SessionId;
use pintail_wire::client::{Error, Goodbye, LobbyEvent, Login, Room, Welcome};
use pintail_wire::kind::client as kind;
use pintail_wire::{CLIENT_VERSION, Message, encode_frame};
use tokio::time::timeout;

use self::allowance::{ATTACH, Allowance};
use self::seat::{Over, Seat};
use self::trouble::{Retry, Trouble};
use self::wire::{Take, Wire};
use crate::drive::alarm::Alarm;
use crate::drive::stage::Ticket;

/// How long connecting and logging in may take, each.
const LOGIN_TIMEOUT: Duration = Duration::from_secs(10);

/// How long a player tries to come back. A gateway that restarts takes a few seconds.
const RESUME_TIMEOUT: Duration = Duration::from_secs(60);

/// The longest pause before the first of these attempts; it doubles.
const RESUME_PAUSE_FIRST: Duration = Duration::from_millis(50);

/// The longest pause between two of these attempts.
const RESUME_PAUSE_MAX: Duration = Duration::from_secs(2);

/// How long a player waits for the gateway to take its leave.
const LEAVE_TIMEOUT: Duration = Duration::from_secs(2);

/// How often a player pings if the gateway names no time.
const PING_INTERVAL: Duration = Duration::from_secs(10);

/// A logged-in player.
#[derive(Debug)]
pub(crate) struct Player {
    ticket: Ticket,
    number: u32,
    wire: Wire,
    alarm: Alarm,
    session: SessionId,
    resume_token: String,
    pings: Pings,
    allowance: Allowance,
    next_request: u64,
    /// The player's room as it was seen last.
    room: Option<Room>,
}

impl Player {
    /// Connects and logs in as somebody new.
    pub(crate) async fn arrive(ticket: &Ticket) -> Result<Self, Trouble> {
        let number = ticket.stage().number();
        let (wire, welcome) = log_in(ticket, number, "").await?;
        let now = Instant::now();
        ticket.stage().recorder.borrow_mut().count("logins", 1);
        Ok(Self {
            ticket: ticket.clone(),
            number,
            wire,
            alarm: ticket.alarm(),
            session: SessionId(welcome.session),
            pings: Pings::new(&welcome, now),
            resume_token: welcome.resume_token,
            allowance: Allowance::new(now),
            next_request: 1,
            room: None,
        })
    }

    /// The player's number: another for each.
    pub(crate) fn number(&self) -> u32 {
        self.number
    }

    /// Comes back as the same session, through the next gateways in turn. `why`, and what else went wrong, is counted; what
    /// can't be cured is the caller's to count.
    async fn resume(&mut self, why: Trouble) -> Result<(), Trouble> {
        let mut trouble = why;
        let deadline = Instant::now() + RESUME_TIMEOUT;
        let mut pause = RESUME_PAUSE_FIRST;
        let mut gateway = self.number;
        while trouble.is_curable() && !self.ticket.is_over() && Instant::now() < deadline {
            self.ticket.stage().recorder.borrow_mut().error(&trouble);
            // Players who lost the same gateway do not come back in the same moment.
            self.ticket.sleep(pause.mul_f64(rand::random())).await;
            pause = (pause * 2).min(RESUME_PAUSE_MAX);
            gateway = gateway.wrapping_add(1);
            match log_in(&self.ticket, gateway, &self.resume_token).await {
                Ok((wire, welcome)) => {
                    self.resumed(wire, &welcome);
                    return Ok(());
                }
                Err(next) => trouble = next,
            }
        }
        Err(trouble)
    }

    fn resumed(&mut self, wire: Wire, welcome: &Welcome) {
        let now = Instant::now();
        self.wire = wire;
        self.pings = Pings::new(welcome, now);
        self.allowance.renew(now);
        self.ticket.stage().recorder.borrow_mut().count("resumed", 1);
    }

    /// Waits for a frame that `take` is given, or for the alarm.
    async fn turn(&mut self, take: &mut Take<'_>) -> Result<(), Trouble> {
        let Self { wire, alarm, ticket, pings, room, .. } = self;
        let scratch = &ticket.stage().scratch;
        let mut sift = |kind: u8, body: &[u8], out: &mut BytesMut| {
            pings.heard = true;
            match kind {
                kind::PONG => Ok(()),
                kind::ERROR => Err((&Error::decode(body).unwrap_or_default()).into()),
                kind::GOODBYE => Err((&Goodbye::decode(body).unwrap_or_default()).into()),
                kind::LOBBY_EVENT => {
                    lobby::see(room, &LobbyEvent::decode(body).map_err(|_| Trouble::Malformed)?);
                    take(kind, body, out)
                }
                _ => take(kind, body, out),
            }
        };
        poll_fn(|cx| match wire.poll(cx, &mut scratch.borrow_mut(), &mut sift) {
            Poll::Pending => alarm.poll(cx).map(Ok),
            ready => ready,
        })
        .await
    }

    /// Is there, and says nothing but pings, until the ticket is over.
    pub(crate) async fn idle(&mut self) -> Result<(), Trouble> {
        while !self.ticket.is_over() {
            if let Err(trouble) = self.idle_once().await {
                self.resume(trouble).await?;
            }
        }
        Ok(())
    }

    async fn idle_once(&mut self) -> Result<(), Trouble> {
        let next = self.pings.on_time(Instant::now(), self.wire.out())?;
        self.alarm.set(next);
        self.turn(&mut |_, _, _| Ok(())).await
    }

    /// Plays until it is over, whatever connections are lost on the way.
    pub(crate) async fn play(&mut self, seat: &mut Seat) -> Result<Over, Trouble> {
        loop {
            match self.play_connected(seat).await {
                Ok(over) => return Ok(over),
                Err(trouble) => {
                    seat.disconnected();
                    self.resume(trouble).await?;
                }
            }
        }
    }

    async fn play_connected(&mut self, seat: &mut Seat) -> Result<Over, Trouble> {
        seat.connected(Instant::now(), self.wire.out());
        self.allowance.take(Instant::now(), ATTACH);
        loop {
            if self.ticket.is_over() {
                return Ok(Over::Dismissed);
            }
            let now = Instant::now();
            let next = seat.on_time(now, self.wire.out());
            if let Some(over) = seat.over() {
                return over;
            }
            if !self.wire.out().is_empty() {
                self.pings.said_something(now);
            }
            let ping = self.pings.on_time(now, self.wire.out())?;
            self.alarm.set(next.map_or(ping, |next| next.min(ping)));
            let mut arrived = None;
            let mut take = |kind: u8, body: &[u8], out: &mut BytesMut| {
                // One look at the clock for all that arrived together.
                let now = *arrived.get_or_insert_with(Instant::now);
                seat.take(kind, body, now, out)
            };
            self.turn(&mut take).await?;
        }
    }

    /// Ends the session.
    pub(crate) async fn leave(mut self) {
        encode_frame(self.wire.out(), kind::LOGOUT, b"");
        let goodbye = async {
            self.wire.flush().await?;
            // Whatever comes is passed over; the goodbye, or the end of the connection, ends it.
            loop {
                self.turn(&mut |_, _, _| Ok(())).await?;
            }
        };
        // Whether the gateway waits for it is its own affair.
        let _: Result<Result<(), Trouble>, _> = timeout(LEAVE_TIMEOUT, goodbye).await;
    }
}

/// Connects to the gateway of this number, and logs in as somebody new or as the session of this token.
async fn log_in(ticket: &Ticket, number: u32, resume_token: &str) -> Result<(Wire, Welcome), Trouble> {
    let stage = ticket.stage();
    let gateway = &stage.gateways[number as usize % stage.gateways.len()];
    let dialled = timeout(LOGIN_TIMEOUT, Wire::dial(gateway)).await;
    let mut wire = dialled.map_err(|_| Trouble::Silent("connect"))??;
    let login = Login {
        version: CLIENT_VERSION,
        name: "bot".to_owned(),
        resume_token: resume_token.to_owned(),
        client: "pintail-bench".to_owned(),
    };
    encode_frame(wire.out(), kind::LOGIN, &login.encode_to_vec());
    let welcome = timeout(LOGIN_TIMEOUT, welcome(ticket, &mut wire)).await;
    let welcome = welcome.map_err(|_| Trouble::Silent("login"))??;
    Ok((wire, welcome))
}

async fn welcome(ticket: &Ticket, wire: &mut Wire) -> Result<Welcome, Trouble> {
    let mut welcome = None;
    let mut take = |kind: u8, body: &[u8], _: &mut BytesMut| {
        match kind {
            kind::WELCOME => welcome = Some(Welcome::decode(body).map_err(|_| Trouble::Malformed)?),
            kind::ERROR => return Err((&Error::decode(body).unwrap_or_default()).into()),
            kind::GOODBYE => return Err((&Goodbye::decode(body).unwrap_or_default()).into()),
            _ => {}
        }
        Ok(())
    };
    let scratch = &ticket.stage().scratch;
    poll_fn(|cx| wire.poll(cx, &mut scratch.borrow_mut(), &mut take)).await?;
    // The gateway's first frame is its answer.
    welcome.ok_or(Trouble::CutOff(pintail_wire::client::ErrorCode::Unspecified, Retry::Never))
}

/// Proof to the gateway that the player lives, and to the player that the gateway does.
#[derive(Debug)]
struct Pings {
    interval: Duration,
    /// When the next one is due, unless something else is said before.
    due: Instant,
    /// Whether anything has arrived since the last one.
    heard: bool,
}

impl Pings {
    fn new(welcome: &Welcome, now: Instant) -> Self {
        let asked = Duration::from_millis(welcome.ping_interval_ms.into());
        let interval = if asked.is_zero() { PING_INTERVAL } else { asked };
        Self { interval, due: now + interval, heard: true }
    }

    /// Something else shows the gateway that the player lives. What is heard must still be looked at now and then.
    fn said_something(&mut self, now: Instant) {
        if self.heard {
            self.due = now + self.interval;
        }
    }

    /// Pings if it is due, and says when the next one is.
    fn on_time(&mut self, now: Instant, out: &mut BytesMut) -> Result<Instant, Trouble> {
        if now >= self.due {
            if !self.heard {
                return Err(Trouble::Silent("ping"));
            }
            encode_frame(out, kind::PING, b"");
            (self.heard, self.due) = (false, now + self.interval);
        }
        Ok(self.due)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_who_says_nothing_pings_and_one_who_hears_nothing_takes_the_connection_for_lost() {
        let start = Instant::now();
        let second = Duration::from_secs(1);
        let welcome = Welcome { ping_interval_ms: 1000, ..Welcome::default() };
        let mut pings = Pings::new(&welcome, start);
        let mut out = BytesMut::new();
        assert_eq!(pings.on_time(start, &mut out), Ok(start + second));
        pings.said_something(start + second / 2);
        assert_eq!(pings.on_time(start + second, &mut out), Ok(start + second * 3 / 2));
        assert!(out.is_empty());
        assert_eq!(pings.on_time(start + second * 2, &mut out), Ok(start + second * 3));
        assert_eq!(&out[..], b"\0\0\0\x01\x02");
        pings.said_something(start + second * 2);
        assert_eq!(pings.on_time(start + second * 3, &mut out), Err(Trouble::Silent("ping")));
        pings.heard = true;
        assert!(pings.on_time(start + second * 3, &mut out).is_ok());
    }
}
