//! Whose fault an error is and whether trying again makes sense.

/// Who has to act for an error to go away. The idea is that of Pingora's error source.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Fault {
    /// The one who asked: the same request is wrong again.
    Caller,
    /// Another server, or the network to it.
    Peer,
    /// The store, or the network to it.
    Store,
    /// Pintail itself: a bug.
    Internal,
}

/// Whether the same request can succeed if it is sent again as it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Retry {
    /// It can, after a pause.
    Later,
    /// It can't.
    Never,
}
