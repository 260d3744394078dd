//! How a game leaves for another server.

use pintail_store::{SavedSnapshot, WithoutServer};

use crate::runtime::Now;

/// A game on its way to another server. It takes no step, so that its snapshot holds all of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Departure {
    /// What it has written is not all committed. → `Asked`.
    Closing(WithoutServer),
    /// The store was asked. → gone, back to normal, or `AskAgain`.
    Asked(Request),
    /// There was no answer, so the same is asked again at this time: it may have been done. → `Asked`.
    AskAgain(Request, Now),
}

/// What the store is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Request {
    pub(crate) snapshot: SavedSnapshot,
    pub(crate) without_server: WithoutServer,
}

impl Departure {
    /// The request that is to be repeated now, which is under way from now on.
    pub(crate) fn ask_again(&mut self, now: Now) -> Option<Request> {
        let Self::AskAgain(request, at) = self else { return None };
        if now < *at {
            return None;
        }
        let request = request.clone();
        *self = Self::Asked(request.clone());
        Some(request)
    }

    /// There was no answer.
    pub(crate) fn failed(&mut self, again_at: Now) {
        if let Self::Asked(request) = self {
            *self = Self::AskAgain(request.clone(), again_at);
        }
    }

    /// When something is due by itself.
    pub(crate) const fn due(&self) -> Option<Now> {
        match self {
            Self::AskAgain(_, at) => Some(*at),
            Self::Closing(_) | Self::Asked(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use bytes::Bytes;
    use pintail_core::EntryNumber;

    use super::*;

    #[test]
    fn a_request_without_an_answer_is_repeated_as_it_was() {
        let at = |millis| Now(Duration::from_millis(millis));
        let snapshot = SavedSnapshot { number: EntryNumber(4), format: 1, bytes: Bytes::from("all of it") };
        let request = Request { snapshot, without_server: WithoutServer::Keep };
        let mut departure = Departure::Closing(WithoutServer::Keep);
        departure.failed(at(1));
        assert_eq!(departure, Departure::Closing(WithoutServer::Keep), "nothing was asked");
        departure = Departure::Asked(request.clone());
        assert_eq!((departure.ask_again(at(9)), departure.due()), (None, None));
        departure.failed(at(10));
        assert_eq!((departure.ask_again(at(9)), departure.due()), (None, Some(at(10))));
        assert_eq!(departure.ask_again(at(10)), Some(request.clone()));
        assert_eq!(departure, Departure::Asked(request));
    }
}
