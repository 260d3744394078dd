//! A real `redis-server` for one test.

use std::fs::File;
use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// How long a server may take to start or to stop. Far more than it needs, for machines that are busy with other tests.
const PATIENCE: Duration = Duration::from_secs(20);

/// How often a server that starts or stops is looked at.
const POLL: Duration = Duration::from_millis(5);

/// Ports are taken from here: below the range that the system gives to outgoing connections, so that nobody's
/// connection (a client's own attempts to reconnect included) takes the port while the server is down.
const PORTS: std::ops::Range<u32> = 20_000..32_000;

/// How many ports are tried before the start counts as failed.
const PORT_ATTEMPTS: u32 = 200;

/// Whether a server remembers across [`RedisServer::restart`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Persistence {
    /// It comes back empty.
    None,
    /// It writes an append-only file with `appendfsync always`, and comes back with everything that it acknowledged.
    AppendOnly,
}

/// A real `redis-server` on a free port of 127.0.0.1, with a directory of its own. Dropping it ends it.
///
/// Its methods wait without yielding to other tasks, for some tens of milliseconds; that is meant for tests only.
#[derive(Debug)]
pub struct RedisServer {
    directory: TempDir,
    persistence: Persistence,
    port: u16,
    process: Option<Child>,
}

impl RedisServer {
    /// Starts a server that keeps nothing on disk.
    ///
    /// # Panics
    /// If there is no `redis-server` to start, or it doesn't answer.
    #[must_use]
    pub fn start() -> Self {
        Self::start_with(Persistence::None)
    }

    /// Starts a server.
    ///
    /// # Panics
    /// If there is no `redis-server` to start, or it doesn't answer.
    #[must_use]
    pub fn start_with(persistence: Persistence) -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory can be made");
        for _ in 0..PORT_ATTEMPTS {
            let port = next_port();
            if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_err() {
                continue;
            }
            // Another test may take the port between the check and the start; then the next one is tried.
            if let Some(process) = launch(&directory, persistence, port) {
                return Self { directory, persistence, port, process: Some(process) };
            }
        }
        panic!("no redis-server could be started on {PORT_ATTEMPTS} ports from {} on", PORTS.start);
    }

    /// Where clients reach it, such as `redis://127.0.0.1:20001`.
    #[must_use]
    pub fn url(&self) -> String {
        format!("redis://{}", self.address())
    }

    /// Its address.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        SocketAddr::from((Ipv4Addr::LOCALHOST, self.port))
    }

    /// Stops it in good order (SIGTERM). No effect if it is down.
    ///
    /// # Panics
    /// If it doesn't end.
    pub fn stop(&mut self) {
        self.signal("TERM");
        self.wait_for_end();
    }

    /// Ends it at once (SIGKILL). No effect if it is down.
    ///
    /// # Panics
    /// If it doesn't end.
    pub fn kill(&mut self) {
        self.signal("KILL");
        self.wait_for_end();
    }

    /// Starts it again on the same port, after [`kill`](Self::kill) if it was up.
    ///
    /// # Panics
    /// If it doesn't answer, or someone else has taken its port.
    pub fn restart(&mut self) {
        self.kill();
        let deadline = Instant::now() + PATIENCE;
        while self.process.is_none() {
            assert!(Instant::now() < deadline, "port {} stays taken: redis-server can't come back to it", self.port);
            self.process = launch(&self.directory, self.persistence, self.port);
        }
    }

    /// Holds it up: connections stay open and nothing answers (SIGSTOP).
    ///
    /// # Panics
    /// If the signal can't be sent.
    pub fn pause(&self) {
        self.signal("STOP");
    }

    /// Lets it go on after [`pause`](Self::pause) (SIGCONT).
    ///
    /// # Panics
    /// If the signal can't be sent.
    pub fn resume(&self) {
        self.signal("CONT");
    }

    fn signal(&self, name: &str) {
        let Some(process) = &self.process else { return };
        let pid = process.id().to_string();
        let status = Command::new("kill").args(["-s", name, &pid]).status();
        assert!(status.is_ok_and(|status| status.success()), "signal {name} can't be sent to redis-server ({pid})");
    }

    fn wait_for_end(&mut self) {
        let Some(mut process) = self.process.take() else { return };
        let deadline = Instant::now() + PATIENCE;
        while process.try_wait().expect("a child can be waited for").is_none() {
            assert!(Instant::now() < deadline, "redis-server does not end");
            std::thread::sleep(POLL);
        }
    }
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        if let Some(process) = &mut self.process {
            // It may have ended by itself; there is nobody to tell.
            let _ = process.kill();
            let _ = process.wait();
        }
    }
}

/// A port that this process has not tried lately. Processes that run side by side start at different places.
fn next_port() -> u16 {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let start = std::process::id().wrapping_mul(127);
    let offset = start.wrapping_add(COUNT.fetch_add(1, Ordering::Relaxed)) % (PORTS.end - PORTS.start);
    u16::try_from(PORTS.start + offset).expect("the range is one of ports")
}

/// Starts a server and waits until it answers; `None` if it ended because its port was taken.
fn launch(directory: &TempDir, persistence: Persistence, port: u16) -> Option<Child> {
    let mut process = spawn(directory, persistence, port);
    let deadline = Instant::now() + PATIENCE;
    loop {
        if process.try_wait().expect("a child can be waited for").is_some() {
            return None;
        }
        if answers(port, process.id()) {
            return Some(process);
        }
        if Instant::now() > deadline {
            let _ = process.kill();
            let _ = process.wait();
            panic!("redis-server does not answer on port {port}; its log is in {}", log_of(directory));
        }
        std::thread::sleep(POLL);
    }
}

fn spawn(directory: &TempDir, persistence: Persistence, port: u16) -> Child {
    let log = File::create(directory.path().join("redis.log")).expect("a log file can be made");
    let append_only: &[&str] = match persistence {
        Persistence::None => &["--appendonly", "no"],
        Persistence::AppendOnly => &["--appendonly", "yes", "--appendfsync", "always"],
    };
    let spawned = Command::new("redis-server")
        .args(["--bind", "127.0.0.1", "--port", &port.to_string(), "--save", ""])
        .args(append_only)
        .current_dir(directory.path())
        .stdin(Stdio::null())
        .stdout(log)
        .stderr(Stdio::null())
        .spawn();
    match spawned {
        Ok(process) => process,
        Err(error) if error.kind() == ErrorKind::NotFound => {
            panic!("there is no redis-server on the PATH: run scripts/setup, which installs what the tests need")
        }
        Err(error) => panic!("redis-server can't be started: {error}"),
    }
}

fn log_of(directory: &TempDir) -> String {
    directory.path().join("redis.log").display().to_string()
}

/// Whether the server at this port serves and is this process: a server of another test may have taken the port.
fn answers(port: u16, pid: u32) -> bool {
    let ask = || -> std::io::Result<bool> {
        let mut stream = TcpStream::connect_timeout(&SocketAddr::from((Ipv4Addr::LOCALHOST, port)), PATIENCE)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.write_all(b"PING\r\nINFO server\r\nQUIT\r\n")?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok(answer.starts_with("+PONG") && answer.contains(&format!("\r\nprocess_id:{pid}\r\n")))
    };
    ask().unwrap_or(false)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set_and_get(server: &RedisServer, command: &str) -> String {
        let mut stream = TcpStream::connect(server.address()).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.write_all(format!("{command}\r\nQUIT\r\n").as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }

    #[test]
    fn it_comes_back_on_its_port_with_what_it_keeps() {
        for (persistence, kept) in [(Persistence::None, "$-1"), (Persistence::AppendOnly, "$4\r\nhere")] {
            let mut server = RedisServer::start_with(persistence);
            let url = server.url();
            assert_eq!(set_and_get(&server, "SET key here"), "+OK\r\n+OK\r\n");
            server.restart();
            assert_eq!(server.url(), url);
            assert_eq!(set_and_get(&server, "GET key"), format!("{kept}\r\n+OK\r\n"));
            server.stop();
            assert!(TcpStream::connect(server.address()).is_err(), "it is down");
        }
    }

    #[test]
    fn a_paused_server_answers_after_it_is_resumed() {
        let server = RedisServer::start();
        server.pause();
        let mut stream = TcpStream::connect(server.address()).unwrap();
        stream.write_all(b"PING\r\n").unwrap();
        stream.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
        let mut answer = [0; 7];
        assert!(stream.read_exact(&mut answer).is_err(), "it is held up");
        server.resume();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.read_exact(&mut answer).unwrap();
        assert_eq!(&answer, b"+PONG\r\n");
    }

    #[test]
    fn servers_that_start_at_once_get_ports_of_their_own() {
        let start = || std::thread::spawn(RedisServer::start);
        let servers: Vec<_> =
            (0..8).map(|_| start()).collect::<Vec<_>>().into_iter().map(|server| server.join().unwrap()).collect();
        let mut ports: Vec<_> = servers.iter().map(RedisServer::address).collect();
        ports.sort_unstable();
        ports.dedup();
        assert_eq!(ports.len(), 8);
    }
}
