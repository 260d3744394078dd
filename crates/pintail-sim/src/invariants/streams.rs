//! I2: reliable messages reach each client without a gap, none twice, in order; and what has one number has one content
//! for ever.

use std::collections::BTreeMap;

use pintail_core::Seq;
use pintail_wire::game::Reliable;

use super::Player;
use crate::ledger::Said;
use crate::trace;

/// The invariant's name in a failure.
pub const NAME: &str = "I2 streams";

/// What one start of a client was shown.
#[derive(Debug, Default)]
struct Shown {
    next_position: Option<u64>,
    next_answer: Option<u64>,
}

/// What was sent to whom.
#[derive(Debug, Default)]
pub struct Streams {
    contents: BTreeMap<(u16, Seq), u64>,
    shown: BTreeMap<Player, Shown>,
}

impl Streams {
    /// A frame with a reliable message reaches a client.
    ///
    /// # Errors
    /// If another content had its number.
    pub fn frame(&mut self, player: Player, kind: u8, message: &Reliable) -> Result<(), String> {
        let content = trace::mixed(trace::digest(&message.payload), message.step.0 << 8 | u64::from(kind));
        let before = *self.contents.entry((player.seat, message.seq)).or_insert(content);
        if before != content {
            let said = Said::decode(message.payload.clone());
            return Err(format!(
                "message {} to seat {} is {said:?} of step {} now, and was something else before",
                message.seq, player.seat, message.step
            ));
        }
        Ok(())
    }

    /// The stream is open; with a resynchronisation, messages were given up.
    pub fn attached(&mut self, player: Player, resynchronised: bool) {
        if resynchronised {
            self.shown.insert(player, Shown::default());
        }
    }

    /// A client shows a reliable message to its player.
    ///
    /// # Errors
    /// If it does not follow the one before.
    pub fn message(&mut self, player: Player, said: Said) -> Result<(), String> {
        let shown = self.shown.entry(player).or_default();
        let (next, number, what) = match said {
            Said::Position(position, _) => (&mut shown.next_position, position, "position"),
            Said::Answer(number, _) => (&mut shown.next_answer, number, "answer"),
            Said::State { .. } => return Err("a state message came as a reliable one".to_owned()),
        };
        let expected = next.replace(number + 1).unwrap_or(number);
        if expected == number {
            Ok(())
        } else {
            Err(format!("{player:?} is shown {what} {number} where {expected} should come"))
        }
    }

    /// How many positions a client has been shown, if it has been shown any.
    #[must_use]
    pub fn positions(&self, player: Player) -> Option<u64> {
        self.shown.get(&player).and_then(|shown| shown.next_position)
    }
}
