//! What is kept of a game, compared with what its players were told.

use pintail::Player;

use super::{At, Entry, GameAudit};
use crate::breach::Check;
use crate::hash::Hash;
use crate::ledger::{Applied, Book, SeatBook, padding};

/// Where a book was read that is compared with what players were told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// The game's result.
    Result,
    /// Snapshot and journal in the store.
    Journal,
}

impl GameAudit {
    /// Compares a book with all that players sent and were told, at a moment at which nothing is on its way.
    pub fn compare(&mut self, at: At, source: Source, book: &Book) {
        let differs = match source {
            Source::Result => Check::ResultDiffers,
            Source::Journal => Check::JournalDiffers,
        };
        for player in Player::seats(self.seats.len()) {
            let kept = book.seats.get(player.index()).cloned().unwrap_or_default();
            self.compare_seat(at, player, &kept, source, differs);
        }
        let (told, order) = (self.log.len() as u64, self.order());
        if book.position != told {
            self.add(
                at,
                differs,
                format!("{} inputs are in the {source:?}, and players were told of {told}", book.position),
            );
        } else if book.order != order {
            self.add(at, differs, format!("inputs are in another order in the {source:?} than players were told"));
        }
        if book.faults > 0 {
            self.add(at, Check::LedgerFault, format!("the ledger itself says: {:?}", book.first_faults));
        }
    }

    fn compare_seat(&mut self, at: At, player: Player, kept: &SeatBook, source: Source, differs: Check) {
        let seat = &self.seats[player.index()];
        let (sent, acknowledged, last) = (seat.sent, seat.acknowledged, kept.last);
        if last < acknowledged {
            let text = format!("{acknowledged} was acknowledged, but {last} is the last in the {source:?}");
            self.breach(at, Check::InputLost, player, text);
        }
        if last > sent {
            let text = format!("{last} is in the {source:?}, but {sent} is the last that was sent");
            self.breach(at, Check::InputInvented, player, text);
        } else if kept.hash != expected_hash(player, last) {
            self.breach(at, differs, player, format!("its inputs up to {last} are others in the {source:?}"));
        }
    }

    /// What a replay of the journal says of a position: it must be what players were told.
    pub fn replayed(&mut self, at: At, step: u64, applied: Applied) {
        let entry = Entry { player: applied.player, number: applied.number, step };
        let index = usize::try_from(applied.position).ok().and_then(|position| position.checked_sub(1));
        let known = index.and_then(|index| self.log.get(index)).copied();
        if known != Some(entry) {
            let text = format!("position {} is {entry:?} in the journal, and {known:?} for players", applied.position);
            self.breach(at, Check::JournalDiffers, applied.player, text);
        }
    }

    /// Everything that was sent should have been acknowledged and told to everyone by now.
    pub fn settled(&mut self, at: At) {
        for (player, seat) in Player::seats(self.seats.len()).zip(self.seats.clone()) {
            if seat.acknowledged < seat.sent {
                let text =
                    format!("{} was sent, and {} is the last that was acknowledged", seat.sent, seat.acknowledged);
                self.breach(at, Check::GameStuck, player, text);
            }
            if seat.received < self.log.len() as u64 {
                let text = format!("it was told of {} positions, and others of {}", seat.received, self.log.len());
                self.breach(at, Check::MessageLost, player, text);
            }
            if seat.applied < seat.acknowledged {
                let (acknowledged, applied) = (seat.acknowledged, seat.applied);
                let text =
                    format!("{acknowledged} was acknowledged, and {applied} is the last that anyone was told of");
                self.breach(at, Check::InputLost, player, text);
            }
        }
    }

    fn order(&self) -> Hash {
        let mut order = Hash::default();
        self.log.iter().for_each(|entry| order.add_applied(entry.player, entry.number));
        order
    }
}

/// The hash of all inputs of a player up to this number, had each been applied once and in order.
fn expected_hash(player: Player, last: u64) -> Hash {
    let mut hash = Hash::default();
    (1..=last).for_each(|number| hash.add_input(number, &padding(player, number)));
    hash
}
