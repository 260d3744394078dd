//! The bots of the games that send messages back, and how they measure them.

use std::sync::Arc;
use std::time::Duration;

use super::{Broadcast, Echo, EchoGame, Match};
use crate::bot::{Bot, BotContext, BotKind, Inputs, Sent};

/// What an echo's way there and back is called in a report.
pub(super) const ROUND_TRIP: &str = "round trip";

/// What a message's way from the moment at which it should have been sent to one receiver is called.
pub(super) const DELIVERY: &str = "delivery";

/// How much later a step's answers arrive than those of the quickest step that this bot has heard: by how much steps vary. A
/// message waits for the next step, which comes each 100 ms, whatever the server does, so how long it takes says little of
/// the server; but the quickest step was late itself, and what all steps have in common is not in this.
const LATENESS: &str = "lateness";

/// The bytes of the time that stands in a message.
const STAMP_BYTES: usize = 8;

/// The least bytes of a message: the time, and the byte that says whom the answer is for.
pub const PAYLOAD_BYTES_MIN: usize = STAMP_BYTES + 1;

/// What fills messages up.
const FILLING: u8 = 7;

impl Echo {
    pub(super) fn bots(self) -> BotKind {
        let game = match self.game {
            EchoGame::Ephemeral => "echo",
            EchoGame::Journaled => "echo-journaled",
        };
        let Self { payload_bytes, .. } = self;
        BotKind {
            name: "echo".to_owned(),
            game: game.to_owned(),
            settings: String::new(),
            room_players: 1,
            every: None,
            inputs: Inputs::Unmeasured,
            primary: ROUND_TRIP,
            make: Arc::new(move |_| Box::new(EchoBot::new(payload_bytes))),
        }
    }
}

/// Has one message in flight: closed loop.
#[derive(Debug)]
pub(super) struct EchoBot {
    payload: Vec<u8>,
    sent_at: Option<Duration>,
}

impl EchoBot {
    pub(super) fn new(payload_bytes: usize) -> Self {
        Self { payload: vec![FILLING; payload_bytes], sent_at: None }
    }

    fn send(&mut self, ctx: &mut BotContext<'_>) {
        let sent = ctx.send(&self.payload);
        self.sent_at = (sent == Sent::Sent).then(|| ctx.now());
        if self.sent_at.is_some() {
            ctx.expect(ROUND_TRIP, 1);
        }
    }
}

impl Bot for EchoBot {
    fn begin(&mut self, ctx: &mut BotContext<'_>) {
        self.send(ctx);
    }

    fn message(&mut self, ctx: &mut BotContext<'_>, payload: &[u8]) {
        if payload != self.payload {
            ctx.error("an echo that differs");
        }
        if let Some(sent_at) = self.sent_at {
            ctx.took(ROUND_TRIP, sent_at);
        }
        self.send(ctx);
    }
}

impl Broadcast {
    pub(super) fn bots(self) -> BotKind {
        let Self { room_players, per_second, payload_bytes } = self;
        BotKind {
            name: "broadcast".to_owned(),
            game: "echo".to_owned(),
            settings: r#"{"mode":"relay"}"#.to_owned(),
            room_players,
            every: period(per_second),
            inputs: Inputs::Unmeasured,
            primary: DELIVERY,
            make: Arc::new(move |_| Box::new(RelayBot { payload: filled(payload_bytes) })),
        }
    }
}

/// Sends at a steady rate what goes to all others: open loop.
#[derive(Debug)]
struct RelayBot {
    payload: Vec<u8>,
}

impl Bot for RelayBot {
    fn tick(&mut self, ctx: &mut BotContext<'_>) {
        self.payload[..STAMP_BYTES].copy_from_slice(&stamp(ctx.due()));
        if ctx.send(&self.payload).is_due() {
            ctx.expect(DELIVERY, u64::from(ctx.room_players()) - 1);
        }
    }

    fn message(&mut self, ctx: &mut BotContext<'_>, payload: &[u8]) {
        delivered(ctx, payload);
    }
}

impl Match {
    pub(super) fn bots(self) -> BotKind {
        let Self { room_players, per_second, payload_bytes } = self;
        BotKind {
            name: "match".to_owned(),
            game: "match".to_owned(),
            settings: String::new(),
            room_players,
            every: period(per_second),
            inputs: Inputs::Unmeasured,
            primary: DELIVERY,
            make: Arc::new(move |seed| {
                Box::new(MatchBot {
                    payload: filled(payload_bytes),
                    answer: Answer::first(seed),
                    beat: Beat::default(),
                })
            }),
        }
    }
}

/// Whom a message of the match is answered to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Answer {
    ToSender,
    ToAll,
}

impl Answer {
    /// Half of the players begin with the one, half with the other.
    fn first(seed: u64) -> Self {
        if seed.is_multiple_of(2) { Self::ToSender } else { Self::ToAll }
    }

    fn other(self) -> Self {
        match self {
            Self::ToSender => Self::ToAll,
            Self::ToAll => Self::ToSender,
        }
    }

    /// The byte that tells the game.
    fn byte(self) -> u8 {
        match self {
            Self::ToSender => 0,
            Self::ToAll => pintail_echo::TO_ALL,
        }
    }

    fn receivers(self, room_players: u32) -> u64 {
        match self {
            Self::ToSender => 1,
            Self::ToAll => room_players.into(),
        }
    }
}

/// Sends at a steady rate what is answered to all and to itself alone by turns: open loop.
#[derive(Debug)]
struct MatchBot {
    payload: Vec<u8>,
    answer: Answer,
    beat: Beat,
}

/// The beat of a game's steps, as far as it can be heard from here.
#[derive(Debug, Default)]
struct Beat {
    /// When step 0 would have been heard if all were as quick as the quickest one so far.
    first: Option<i128>,
}

impl Beat {
    /// How late a step is that is heard now.
    fn lateness(&mut self, step: u64, now: Duration) -> Duration {
        let nanos = |time: Duration| i128::try_from(time.as_nanos()).unwrap_or(i128::MAX);
        let first = nanos(now) - nanos(pintail_echo::MATCH_PERIOD) * i128::from(step);
        let quickest = self.first.map_or(first, |quickest| quickest.min(first));
        self.first = Some(quickest);
        Duration::from_nanos(u64::try_from(first - quickest).unwrap_or(u64::MAX))
    }
}

impl Bot for MatchBot {
    fn tick(&mut self, ctx: &mut BotContext<'_>) {
        let (flag, rest) = self.payload.split_at_mut(1);
        flag[0] = self.answer.byte();
        rest[..STAMP_BYTES].copy_from_slice(&stamp(ctx.due()));
        if ctx.send(&self.payload).is_due() {
            ctx.expect(DELIVERY, self.answer.receivers(ctx.room_players()));
            ctx.count(if self.answer == Answer::ToAll { "asked of all" } else { "asked alone" }, 1);
            self.answer = self.answer.other();
        }
    }

    fn message(&mut self, ctx: &mut BotContext<'_>, payload: &[u8]) {
        delivered(ctx, payload.get(1..).unwrap_or_default());
        let lateness = self.beat.lateness(ctx.step(), ctx.now());
        ctx.record(LATENESS, lateness);
    }
}

/// The time from one message to the next; `None` for none at all.
fn period(per_second: f64) -> Option<Duration> {
    Duration::try_from_secs_f64(per_second.recip()).ok()
}

fn filled(payload_bytes: usize) -> Vec<u8> {
    vec![FILLING; payload_bytes.max(PAYLOAD_BYTES_MIN)]
}

/// A time as it stands in a message: nanoseconds.
fn stamp(time: Duration) -> [u8; STAMP_BYTES] {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX).to_be_bytes()
}

/// A message that begins with the time at which it should have been sent.
fn delivered(ctx: &mut BotContext<'_>, payload: &[u8]) {
    match payload.first_chunk() {
        Some(&stamp) => ctx.took(DELIVERY, Duration::from_nanos(u64::from_be_bytes(stamp))),
        None => ctx.error("a message without its time"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_of_the_answers_go_to_all() {
        for seed in 0..2 {
            let mut answer = Answer::first(seed);
            let mut to_all = 0;
            for _ in 0..1000 {
                to_all += u32::from(answer == Answer::ToAll);
                answer = answer.other();
            }
            assert_eq!(to_all, 500);
        }
        assert_ne!(Answer::first(1), Answer::first(2), "and not all of them in the same period");
        assert_eq!((Answer::ToAll.receivers(10), Answer::ToSender.receivers(10)), (10, 1));
    }

    #[test]
    fn a_step_is_late_by_what_it_lacks_to_the_beat_of_the_quickest() {
        let mut beat = Beat::default();
        let millis = Duration::from_millis;
        for (step, at, late) in
            [(10, 5_003, 0), (11, 5_105, 2), (12, 5_201, 0), (13, 5_301, 0), (20, 6_051, 50), (21, 6_101, 0)]
        {
            assert_eq!(beat.lateness(step, millis(at)), millis(late), "step {step}");
        }
    }

    #[test]
    fn a_rate_is_a_period_and_no_rate_is_none() {
        assert_eq!(period(20.0), Some(Duration::from_millis(50)));
        assert_eq!(period(0.0), None);
    }

    #[test]
    fn a_message_always_has_room_for_its_time() {
        assert_eq!(filled(0).len(), PAYLOAD_BYTES_MIN);
        assert_eq!(filled(32).len(), 32);
        let time = Duration::from_nanos(123_456_789_012);
        assert_eq!(u64::from_be_bytes(stamp(time)), 123_456_789_012);
    }
}
