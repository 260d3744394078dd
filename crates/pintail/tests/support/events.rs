//! What a server's events say, as they come.

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use serde_json::Value;

/// An event and when it came.
#[derive(Debug, Clone)]
pub struct Seen {
    pub at: Instant,
    pub event: String,
    pub server: String,
    pub cause: String,
}

/// Follows the events of one server, from its admin port.
pub struct Watcher {
    coming: Receiver<Seen>,
    seen: Vec<Seen>,
}

impl Watcher {
    /// Follows the events of the server whose admin port this is. Those that it kept come first.
    pub fn follow(admin: SocketAddr) -> Self {
        let mut stream = TcpStream::connect(admin).expect("the admin port listens");
        // With the old version, the body is no chunks but lines.
        stream.write_all(b"GET /events HTTP/1.0\r\n\r\n").expect("the admin port reads");
        let (sender, coming) = channel();
        std::thread::spawn(move || {
            let mut lines = BufReader::new(stream).lines().map_while(Result::ok);
            lines.by_ref().take_while(|line| !line.is_empty()).for_each(drop);
            // It ends with the server, or with the test, which no longer listens.
            lines.filter_map(|line| read(&line)).try_for_each(|seen| sender.send(seen))
        });
        Self { coming, seen: Vec::new() }
    }

    /// Waits for an event since `since` that fits; `None` if it does not come in time.
    pub fn wait(&mut self, since: Instant, within: Duration, fits: impl Fn(&Seen) -> bool) -> Option<Seen> {
        let deadline = Instant::now() + within;
        loop {
            if let Some(seen) = self.seen.iter().find(|seen| seen.at >= since && fits(seen)) {
                return Some(seen.clone());
            }
            match self.coming.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(seen) => self.seen.push(seen),
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => return None,
            }
        }
    }

    /// Everything that has come until now.
    pub fn all(&mut self) -> &[Seen] {
        self.seen.extend(self.coming.try_iter());
        &self.seen
    }
}

fn read(line: &str) -> Option<Seen> {
    let at = Instant::now();
    let event: Value = serde_json::from_str(line).ok()?;
    let text = |name: &str| event[name].as_str().unwrap_or_default().to_owned();
    Some(Seen { at, event: text("event"), server: text("server"), cause: text("cause") })
}
