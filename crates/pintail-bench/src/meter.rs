//! What the processes cost, as the load is told.

use crate::report::{ProcessSample, ProcessUse};

/// Looks at the servers' processes and at the one that makes the load. The load calls it at the moments that count, so it
/// should be quick: reading `/proc` is, asking a server is not.
pub trait Meter {
    /// The measured window begins now.
    fn begin(&mut self);

    /// What the servers, and the load itself, used since the last sample or since the window's beginning.
    fn sample(&mut self) -> (Vec<ProcessSample>, ProcessSample);

    /// The measured window ends now: what the servers, and the load itself, cost in it.
    fn end(&mut self) -> (Vec<ProcessUse>, ProcessUse);
}

/// A meter that measures nothing: for servers that run elsewhere, and for tests.
#[derive(Debug, Clone, Copy, Default)]
pub struct Unmetered;

impl Meter for Unmetered {
    fn begin(&mut self) {}

    fn sample(&mut self) -> (Vec<ProcessSample>, ProcessSample) {
        (Vec::new(), ProcessSample { cpu: 0.0, memory: 0 })
    }

    fn end(&mut self) -> (Vec<ProcessUse>, ProcessUse) {
        let load = ProcessUse {
            name: "load".to_owned(),
            user_seconds: 0.0,
            system_seconds: 0.0,
            memory_before: 0,
            memory_after: 0,
            is_server: false,
        };
        (Vec::new(), load)
    }
}
