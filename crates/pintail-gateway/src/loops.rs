//! The threads that carry the connections.
//!
//! Each has a runtime of its own and keeps what it was given, so a connection is read, decided on and written by one
//! thread, without a lock that another holds for long and without the wake-ups of a pool that shares work out. Clients
//! are dealt out in turn; the links and whoever watches the servers stay together on the first, so that a gateway
//! that is late with one is late with the other, and blames nobody else for it. The idea is that of Pingora's runtime
//! without stealing.

use std::io;
use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::runtime::{Builder, Handle};
use tokio_util::sync::{CancellationToken, DropGuard};

/// The threads' runtimes.
#[derive(Debug)]
pub(crate) struct Loops {
    handles: Vec<Handle>,
    next: AtomicUsize,
}

impl Loops {
    /// No threads: the connections are served by the runtime that this is called on.
    pub(crate) fn here() -> Self {
        Self { handles: vec![Handle::current()], next: AtomicUsize::new(0) }
    }

    /// Starts so many threads. They end when the guard is dropped, and what still runs on them is dropped then.
    ///
    /// # Errors
    /// If the operating system has no thread to give.
    pub(crate) fn start(count: NonZeroUsize) -> io::Result<(Self, DropGuard)> {
        let stop = CancellationToken::new();
        let guard = stop.clone().drop_guard();
        let handles = (0..count.get()).map(|_| start_one(stop.clone())).collect::<io::Result<_>>()?;
        Ok((Self { handles, next: AtomicUsize::new(0) }, guard))
    }

    /// Where the links are.
    pub(crate) fn first(&self) -> &Handle {
        &self.handles[0]
    }

    /// Where the next client goes.
    pub(crate) fn next(&self) -> &Handle {
        &self.handles[self.next.fetch_add(1, Ordering::Relaxed) % self.handles.len()]
    }
}

fn start_one(stop: CancellationToken) -> io::Result<Handle> {
    let runtime = Builder::new_current_thread().enable_all().build()?;
    let handle = runtime.handle().clone();
    let body = move || runtime.block_on(stop.cancelled());
    std::thread::Builder::new().name("pintail-clients".to_owned()).spawn(body)?;
    Ok(handle)
}
