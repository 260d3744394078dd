//! Players that log in, and are then silent but for their pings.

use std::time::{Duration, Instant};

use super::{Connect, PAUSE_AFTER_TROUBLE};
use crate::drive::Phase;
use crate::drive::stage::Ticket;
use crate::player::Player;
use crate::player::trouble::Trouble;

/// What a login is called in a report, from the first byte of its connection on.
pub(super) const LOGIN: &str = "login";

/// The most players that are there before the window: what the first ones cost a server once is not what each costs.
const FIRST_MAX: u64 = 100;

impl Connect {
    /// How many players there should be of `players`, so long after the phase began.
    pub(super) fn players_at(self, players: u64, phase: Phase, elapsed: Duration) -> u64 {
        let first = first(players);
        match (phase, self.per_second) {
            (Phase::SetUp | Phase::WarmUp, _) => first,
            (_, None) => players,
            (_, Some(per_second)) => {
                let more = (elapsed.as_secs_f64() * per_second).floor() as u64;
                first.saturating_add(more).min(players)
            }
        }
    }

    /// How many players have begun to log in so many seconds after the window's beginning, at most.
    #[must_use]
    pub fn logins_max(self, seconds: f64) -> u64 {
        let after_first = |rate: f64| (seconds * rate) as u64;
        let with_first = |logins: u64| (logins + FIRST_MAX).min(logins.saturating_mul(10) / 9);
        self.per_second.map_or(u64::MAX, |rate| with_first(after_first(rate)))
    }

    /// When the player of this index should log in, so long after the window's beginning. Those of before know no time.
    pub(super) fn due(self, players: u64, index: u64) -> Option<Duration> {
        let after_first = (index + 1).checked_sub(first(players)).filter(|&after_first| after_first > 0)?;
        self.per_second.map(|per_second| Duration::from_secs_f64(after_first as f64 / per_second))
    }
}

/// How many players log in before the window: a tenth, up to [`FIRST_MAX`].
fn first(players: u64) -> u64 {
    players.div_ceil(10).min(FIRST_MAX)
}

/// Logs in at `due`, or as soon as there is room for one more, and stays.
pub(super) async fn stay(ticket: Ticket, due: Option<Instant>) {
    if let Some(due) = due {
        ticket.sleep_until(due).await;
        ticket.stage().recorder.borrow_mut().acts(due, Instant::now());
    }
    let mut due = due;
    while !ticket.is_group_over() {
        let Some(mut player) = come(&ticket, due.take()).await else { continue };
        let _present = ticket.present(0);
        if let Err(trouble) = player.idle().await {
            count(&ticket, trouble);
        }
        player.leave().await;
    }
}

/// Logs in: at `due`, and then what it waits for others counts as its own time; or else when it is its turn.
async fn come(ticket: &Ticket, due: Option<Instant>) -> Option<Player> {
    let stage = ticket.stage().clone();
    // Who is due is expected before the turn comes: a queue that is still there when the window ends counts, too.
    let expected = due.filter(|&due| stage.is_in_time(due)).map(|due| ticket.begin(LOGIN, due));
    let turn = stage.gathering.acquire().await;
    let now = Instant::now();
    let Some(login) = expected.or_else(|| stage.is_in_time(now).then(|| ticket.begin(LOGIN, now))) else {
        drop(turn);
        ticket.alarm().rung().await;
        return None;
    };
    let player = log_in(ticket).await?;
    login.done();
    Some(player)
}

/// Logs in, as often as it takes.
async fn log_in(ticket: &Ticket) -> Option<Player> {
    while !ticket.is_group_over() {
        ticket.stage().recorder.borrow_mut().sent(1);
        match Player::arrive(ticket).await {
            Ok(player) => {
                ticket.stage().recorder.borrow_mut().received(1);
                return Some(player);
            }
            Err(trouble) => count(ticket, trouble),
        }
        ticket.sleep(PAUSE_AFTER_TROUBLE).await;
    }
    None
}

fn count(ticket: &Ticket, trouble: Trouble) {
    if !ticket.is_group_over() {
        ticket.stage().recorder.borrow_mut().error(&trouble);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn some_are_there_before_and_the_others_come_at_their_rate() {
        let steady = Connect { per_second: Some(50.0) };
        let at_once = Connect { per_second: None };
        let seconds = Duration::from_secs_f64;
        for (connect, phase, elapsed, expected) in [
            (steady, Phase::SetUp, 9.0, 100),
            (steady, Phase::WarmUp, 9.0, 100),
            (steady, Phase::Measure, 0.0, 100),
            (steady, Phase::Measure, 0.1, 105),
            (steady, Phase::Measure, 18.0, 1000),
            (steady, Phase::Measure, 99.0, 1000),
            (at_once, Phase::WarmUp, 1.0, 100),
            (at_once, Phase::Measure, 0.0, 1000),
        ] {
            assert_eq!(connect.players_at(1000, phase, seconds(elapsed)), expected, "{connect:?} {phase} {elapsed}");
        }
        assert_eq!(steady.players_at(5, Phase::SetUp, Duration::ZERO), 1);
    }

    #[test]
    fn no_more_can_come_than_there_is_time_for() {
        for (rate, seconds, most) in [(50.0, 30.0, 1_600), (50.0, 1.0, 55), (1.0, 0.5, 0)] {
            let connect = Connect { per_second: Some(rate) };
            assert_eq!(connect.logins_max(seconds), most, "{rate} {seconds}");
            assert!(connect.players_at(most, Phase::Measure, Duration::from_secs_f64(seconds)) == most);
        }
        assert_eq!(Connect { per_second: None }.logins_max(1.0), u64::MAX);
    }

    #[test]
    fn each_of_the_others_has_a_time() {
        let steady = Connect { per_second: Some(50.0) };
        for (index, due) in [(0, None), (99, None), (100, Some(20)), (101, Some(40)), (149, Some(1000))] {
            assert_eq!(steady.due(1000, index), due.map(Duration::from_millis), "{index}");
        }
        assert_eq!(Connect { per_second: None }.due(1000, 500), None);
    }
}
