//! A replay for people.
//!
//! ```text
//! step 2  1.203 s  entry 1
//!   < 0 Ann joins
//!   < 0 Ann sends {"do":"resign"}
//!   > all reliable {"event":"over"}
//!   = {"phase":"over"}
//! ```

use pintail_game::replay::{
    End, Event, Message, Readable, Recipients, Recording, Replay, ReplayedStep, Start, Upcoming, Urgency,
};
use pintail_game::{LeaveReason, Player};
use serde_json::Value;

use super::{Summary, View};
use crate::output::printable;

/// A replay for people.
#[derive(Debug)]
pub(super) struct Lines {
    /// What the players are called, by seat.
    pub(super) names: Vec<String>,
}

impl View for Lines {
    fn opening(&self, recording: &Recording, replay: &Replay<'_>) -> Vec<String> {
        let order = &recording.order;
        let players: Vec<_> = Player::seats(self.names.len()).map(|player| self.player(player)).collect();
        let mut lines =
            vec![format!("game {} of {}, seed {}: {}", order.id, order.game_type, order.seed, players.join(", "))];
        if !order.settings.trim().is_empty() {
            lines.push(format!("settings: {}", printable(&order.settings)));
        }
        lines.push(match &recording.outcome {
            None => "it was running when this was read".to_owned(),
            Some(outcome) if outcome.message.is_empty() => format!("it ended: {}", printable(&outcome.result)),
            Some(outcome) => format!("it ended: {}", printable(&outcome.message)),
        });
        lines.push(match replay.start() {
            Start::Creation => "from its creation:".to_owned(),
            Start::Snapshot { number, step, build } => {
                format!("from the snapshot after step {step} (up to entry {number}, by build {}):", printable(build))
            }
        });
        lines
    }

    fn before(&self, step: &Upcoming) -> Vec<String> {
        let entry = step.entry.map(|number| format!("  entry {number}")).unwrap_or_default();
        let heading = format!("step {}  {:.3} s{entry}", step.step, step.time.as_secs_f64());
        let events = step.events.iter().map(|event| format!("  < {}", self.event(event)));
        std::iter::once(heading).chain(events).collect()
    }

    fn after(&self, step: &ReplayedStep, value: Option<&Value>) -> Vec<String> {
        let unreadable = step.unreadable.iter().map(|(player, problem)| {
            format!("  ! {} sent what the game can't read: {}", self.player(*player), printable(problem))
        });
        let mut lines: Vec<_> = unreadable.collect();
        lines.extend(step.messages.iter().map(|message| format!("  > {}", self.message(message))));
        lines.extend(value.map(|value| format!("  = {value}")));
        lines.extend(step.end.as_ref().map(|end| format!("  # {}", ending(end))));
        lines
    }

    fn summary(&self, summary: &Summary<'_>) -> Vec<String> {
        let Summary { steps, entries, last, end, .. } = summary;
        let how = end.map_or_else(|| "stopped as --until says".to_owned(), ending);
        let at = last.map(|step| format!(" at step {step}")).unwrap_or_default();
        vec![format!("{steps} steps, {entries} of them entries of the journal; {how}{at}")]
    }
}

impl Lines {
    fn player(&self, player: Player) -> String {
        match self.names.get(player.index()) {
            Some(name) => format!("{player} {}", printable(name)),
            None => format!("{player} (nobody)"),
        }
    }

    fn event(&self, event: &Event) -> String {
        match event {
            Event::Attached(player) => format!("{} attaches", self.player(*player)),
            Event::Detached(player) => format!("{} is away", self.player(*player)),
            Event::Left(player, LeaveReason::LeftRoom) => format!("{} leaves", self.player(*player)),
            Event::Left(player, LeaveReason::TimedOut) => format!("{} was away too long", self.player(*player)),
            Event::Behind(player) => format!("{} missed messages", self.player(*player)),
            Event::Input(player, payload) => format!("{} sends {}", self.player(*player), Readable::of(payload).line()),
        }
    }

    fn message(&self, message: &Message) -> String {
        let to = match message.to {
            Recipients::One(player) => self.player(player),
            Recipients::All => "all".to_owned(),
            Recipients::AllExcept(player) => format!("all but {}", self.player(player)),
        };
        let urgency = match message.urgency {
            Urgency::Reliable => "reliable",
            Urgency::State => "state",
        };
        format!("{to} {urgency} {}", Readable::of(&message.payload).line())
    }
}

fn ending(end: &End) -> String {
    match end {
        End::Open => "the journal ends here, and the game goes on".to_owned(),
        End::Finished(result) => format!("finished: {}", printable(result)),
        End::Abandoned => "every player left".to_owned(),
        End::Refused(sentence) => format!("refused to begin: {}", printable(sentence)),
        End::Panicked(sentence) => format!("panicked: {}", printable(sentence)),
        End::Unreadable(problem) => format!("unreadable from here: {}", printable(problem)),
    }
}
