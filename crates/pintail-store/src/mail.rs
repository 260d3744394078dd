//! Short hints from server to server, and the registry's announcements.

use std::fmt;
use std::str::FromStr;

use async_trait::async_trait;
use pintail_core::limits::SUBSCRIPTION_NOTICES_MAX;
use pintail_core::{GameId, Generation, SessionId, Slot};
use tokio::sync::mpsc;

use crate::Result;

/// A hint for one server. It may be lost: whoever relies on it also scans.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Letter {
    /// To a game server: this game was placed on you. (Its scan: [`Games::hosted`](crate::Games::hosted).)
    GamePlaced(GameId),
    /// To a game server: the player left the room. (Its scan: the player's connection goes, and the grace time ends.)
    PlayerLeft(GameId, SessionId),
    /// To a lobby server: the game is over. (Its scan: [`Games::unsettled_games`](crate::Games::unsettled_games).)
    GameOver(GameId),
    /// To a gateway: the session's current connection has this generation now and is not yours.
    /// (Its scan: [`Sessions::hold_sessions`](crate::Sessions::hold_sessions).)
    SessionMoved(SessionId, Generation),
    /// To any server: an operator asks you to drain. (Its scan: the answer to each heartbeat.)
    Drain,
}

impl fmt::Display for Letter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::GamePlaced(game) => write!(f, "game-placed {game}"),
            Self::PlayerLeft(game, session) => write!(f, "player-left {game} {session}"),
            Self::GameOver(game) => write!(f, "game-over {game}"),
            Self::SessionMoved(session, generation) => write!(f, "session-moved {session} {generation}"),
            Self::Drain => f.write_str("drain"),
        }
    }
}

/// Text that is no letter: a newer version's, or rubbish. It is ignored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a letter")]
pub struct NotALetter;

impl FromStr for Letter {
    type Err = NotALetter;

    fn from_str(text: &str) -> std::result::Result<Self, NotALetter> {
        if text == "drain" {
            return Ok(Self::Drain);
        }
        let mut words = text.split(' ');
        let (Some(kind), Some(first), second, None) = (words.next(), words.next(), words.next(), words.next()) else {
            return Err(NotALetter);
        };
        let game = || first.parse::<GameId>().map_err(|_| NotALetter);
        match (kind, second) {
            ("game-placed", None) => Ok(Self::GamePlaced(game()?)),
            ("player-left", Some(session)) => Ok(Self::PlayerLeft(game()?, session.parse().map_err(|_| NotALetter)?)),
            ("game-over", None) => Ok(Self::GameOver(game()?)),
            ("session-moved", Some(generation)) => Ok(Self::SessionMoved(
                first.parse().map_err(|_| NotALetter)?,
                Generation(generation.parse().map_err(|_| NotALetter)?),
            )),
            _ => Err(NotALetter),
        }
    }
}

/// What a subscription hears.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Notice {
    /// Messages may have been missed (the subscription is new, was cut, or fell behind): scan.
    Rescan,
    /// A server registered in this slot.
    ServerOn(Slot),
    /// The server in this slot is gone.
    ServerOff(Slot),
    /// A letter for the subscriber.
    Letter(Letter),
}

/// A subscription. The first notice is [`Notice::Rescan`], once the store listens; it is repeated after every gap.
/// Dropping it ends it.
#[derive(Debug)]
pub struct Subscription {
    notices: mpsc::Receiver<Notice>,
}

impl Subscription {
    /// The next notice; `None` when the store itself is gone. Cancel-safe.
    pub async fn next(&mut self) -> Option<Notice> {
        self.notices.recv().await
    }
}

/// The sending end of a [`Subscription`]. It never blocks: the last place of the queue is kept for a
/// [`Notice::Rescan`], which stands for everything that no longer fits. While the queue is full its newest notice is
/// that unread `Rescan`, so whatever is dropped then is covered by it.
#[derive(Debug)]
pub(crate) struct Outbox {
    notices: mpsc::Sender<Notice>,
}

impl Outbox {
    /// A subscription and the end that feeds it.
    pub(crate) fn new() -> (Self, Subscription) {
        let (notices, receiver) = mpsc::channel(SUBSCRIPTION_NOTICES_MAX);
        (Self { notices }, Subscription { notices: receiver })
    }

    /// Queues a notice, or a `Rescan` in its stead.
    pub(crate) fn put(&mut self, notice: Notice) {
        let notice = match self.notices.capacity() {
            0 => return,
            1 => Notice::Rescan,
            _ => notice,
        };
        // It fails only if the subscription is gone, which `is_closed` tells.
        let _ = self.notices.try_send(notice);
    }

    /// Whether the subscription was dropped.
    pub(crate) fn is_closed(&self) -> bool {
        self.notices.is_closed()
    }

    /// Waits until the subscription is dropped.
    pub(crate) fn closed(&self) -> impl Future<Output = ()> + use<> {
        let notices = self.notices.clone();
        async move { notices.closed().await }
    }
}

/// Announcements and letters.
#[async_trait]
pub trait Mail: Send + Sync + 'static {
    /// Hears `ServerOn` and `ServerOff`, and the letters for `mailbox` if there is one. Returns at once: while the
    /// store can't be reached, the subscription keeps trying.
    fn subscribe(&self, mailbox: Option<Slot>) -> Subscription;

    /// Sends a hint to whoever listens to this slot's mailbox (`<slot>:mail`).
    async fn send(&self, to: Slot, letter: Letter) -> Result<()>;
}

#[cfg(test)]
mod tests {
    use pintail_core::{RoomId, Round};

    use super::*;

    #[test]
    fn letters_read_what_they_write_and_nothing_else() {
        let game = GameId { room: RoomId(3), round: Round(1) };
        for letter in [
            Letter::GamePlaced(game),
            Letter::PlayerLeft(game, SessionId(4)),
            Letter::GameOver(game),
            Letter::SessionMoved(SessionId(4), Generation(9)),
            Letter::Drain,
        ] {
            assert_eq!(letter.to_string().parse(), Ok(letter));
        }
        for wrong in ["", "game-over", "game-over x", "game-over 0000000000000003-1 y", "hello world"] {
            assert_eq!(wrong.parse::<Letter>(), Err(NotALetter), "{wrong}");
        }
    }

    #[tokio::test]
    async fn a_subscriber_that_falls_behind_is_told_to_scan_after_the_gap() {
        let (mut outbox, mut subscription) = Outbox::new();
        let slot = |index| Slot::new(pintail_core::Kind::Game, index);
        let sent = u32::try_from(SUBSCRIPTION_NOTICES_MAX).unwrap() + 10;
        for index in 0..sent {
            outbox.put(Notice::ServerOn(slot(index)));
        }
        for index in 0..sent - 11 {
            assert_eq!(subscription.next().await, Some(Notice::ServerOn(slot(index))));
        }
        assert_eq!(subscription.next().await, Some(Notice::Rescan));
        outbox.put(Notice::ServerOff(slot(1)));
        assert_eq!(subscription.next().await, Some(Notice::ServerOff(slot(1))), "the gap is over");
        drop(outbox);
        assert_eq!(subscription.next().await, None);
    }
}
