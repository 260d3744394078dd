//! What a player is told when the connection or the session is in trouble, with what can be done about it.

use std::fmt;
use std::time::Duration;

use pintail_client::{Address, Disconnect, Ended, ErrorCode};

use crate::failure::Failure;
use crate::output::printable;

/// The gateways that a player can come through, in words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Gateways(Vec<Address>);

impl Gateways {
    pub(crate) fn new(addresses: &[Address]) -> Self {
        Self(addresses.to_vec())
    }
}

impl fmt::Display for Gateways {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, address) in self.0.iter().enumerate() {
            write!(f, "{}{address}", if index == 0 { "" } else { " or " })?;
        }
        Ok(())
    }
}

/// Why there is no connection.
pub(crate) fn lost(why: &Disconnect) -> String {
    match why {
        Disconnect::Silent(silence) => format!("nothing was heard from the gateway for {}", seconds(*silence)),
        Disconnect::Refused { message, .. } | Disconnect::Goodbye { message, .. } if !message.is_empty() => {
            printable(message)
        }
        other => printable(&other.to_string()),
    }
}

/// Why the player was not let in at all.
pub(crate) fn not_let_in(why: &Ended) -> Failure {
    match why {
        // The gateway is there, and says itself what is wrong.
        Ended::GaveUp { last: last @ (Disconnect::Refused { .. } | Disconnect::Goodbye { .. }), .. } => {
            Failure::new(lost(last))
        }
        // Likewise, and what it shows is not good enough for this player.
        Ended::GaveUp { last: last @ Disconnect::Tls { .. }, .. } => {
            Failure::new(format!("{} (--ca FILE names the authorities to trust)", lost(last)))
        }
        Ended::NobodyTrusted => Failure::new(format!("{why} (--ca FILE)")),
        Ended::LoginRefused { .. } | Ended::Goodbye { .. } => Failure::new(ended(why)),
        other => {
            let why = ended(other);
            Failure::new(format!("{why}: is a cluster running (`pintail dev`)? --gateway says where"))
        }
    }
}

/// What ends the program when the session ends.
pub(crate) fn session_ended(why: &Ended) -> Failure {
    match why {
        Ended::LoginRefused { code: ErrorCode::BadResumeToken, .. } => Failure::new(
            "the cluster does not know this session any more (it was started anew, or the connection was gone for too \
             long): start the game again",
        ),
        other => Failure::new(ended(other)),
    }
}

fn ended(why: &Ended) -> String {
    match why {
        Ended::GaveUp { after, last } => {
            format!("no gateway let the player in for {}; the last attempt: {}", seconds(*after), lost(last))
        }
        Ended::LoginRefused { message, .. } | Ended::Goodbye { message, .. } if !message.is_empty() => {
            printable(message)
        }
        other => printable(&other.to_string()),
    }
}

/// A period as people say it, to tenths of a second.
pub(crate) fn seconds(period: Duration) -> String {
    let text = format!("{:.1}", period.as_secs_f64());
    format!("{} s", text.strip_suffix(".0").unwrap_or(&text))
}

#[cfg(test)]
mod tests {
    use super::*;

    const AFTER: Duration = Duration::from_secs(3);

    fn gave_up(last: Disconnect) -> String {
        not_let_in(&Ended::GaveUp { after: AFTER, last }).to_string()
    }

    #[test]
    fn a_gateway_that_answers_speaks_for_itself() {
        let message = || "the cluster's store is away".to_owned();
        assert_eq!(gave_up(Disconnect::Refused { code: ErrorCode::Unavailable, message: message() }), message());
        let refused = Ended::LoginRefused { code: ErrorCode::BadName, message: message() };
        assert_eq!(not_let_in(&refused).to_string(), message());
        let unreachable = Disconnect::Unreachable { address: "tcp://h:1".to_owned(), cause: "refused".to_owned() };
        assert_eq!(
            gave_up(unreachable),
            "no gateway let the player in for 3 s; the last attempt: can't connect to tcp://h:1: refused: is a cluster \
             running (`pintail dev`)? --gateway says where"
        );
    }

    #[test]
    fn a_silence_is_told_in_tenths_of_a_second() {
        let silence = Duration::from_nanos(4_001_830_934);
        assert_eq!(lost(&Disconnect::Silent(silence)), "nothing was heard from the gateway for 4 s");
        assert_eq!(seconds(Duration::from_millis(4_260)), "4.3 s");
    }

    #[test]
    fn gateways_are_told_one_after_another() {
        let addresses = ["10.0.0.1:7", "ws://h/ws"].map(|address| address.parse().unwrap());
        assert_eq!(Gateways::new(&addresses).to_string(), "tcp://10.0.0.1:7 or ws://h:80/ws");
    }
}
