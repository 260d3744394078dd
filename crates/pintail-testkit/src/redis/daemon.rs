//! One process of `redis-server`, whatever it serves as.

use std::fs::File;
use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::ports::{PORT_ATTEMPTS, next_port};

/// How long a server may take to start, to stop or to answer. Far more than it needs, for machines that are busy.
pub(super) const PATIENCE: Duration = Duration::from_secs(20);

/// How often a server that starts or stops is looked at.
const POLL: Duration = Duration::from_millis(5);

/// How a process is started, but for its port.
#[derive(Debug)]
pub(super) struct Recipe {
    /// Its own directory, where it is started.
    pub(super) directory: TempDir,
    /// What stands before `redis-server` on the command line.
    pub(super) wrapper: Vec<String>,
    /// What stands after it, with `{port}` for the port.
    pub(super) arguments: Vec<String>,
    pub(super) ip: Ipv4Addr,
    /// The words of the command that logs in; empty if none is needed.
    pub(super) login: String,
}

/// A process of `redis-server`. Dropping it ends it. It is asked over a socket in its own directory, so that neither TLS
/// nor a network between stands in the way, and nobody else is asked by mistake.
#[derive(Debug)]
pub(super) struct Daemon {
    recipe: Recipe,
    port: u16,
    process: Option<Child>,
}

impl Daemon {
    /// The process, while it runs.
    pub(super) fn process_id(&self) -> Option<u32> {
        self.process.as_ref().map(Child::id)
    }

    /// Starts on a free port.
    pub(super) fn start(recipe: Recipe) -> Self {
        for _ in 0..PORT_ATTEMPTS {
            let port = next_port();
            // Only a hint, and only for addresses of this network: another may take the port before it is used.
            if recipe.wrapper.is_empty() && TcpListener::bind((recipe.ip, port)).is_err() {
                continue;
            }
            if let Some(process) = recipe.launch(port) {
                return Self { recipe, port, process: Some(process) };
            }
        }
        panic!("no redis-server could be started on {PORT_ATTEMPTS} ports; the last said:\n{}", recipe.log());
    }

    pub(super) fn address(&self) -> SocketAddr {
        SocketAddr::from((self.recipe.ip, self.port))
    }

    pub(super) fn directory(&self) -> PathBuf {
        self.recipe.directory.path().to_owned()
    }

    pub(super) fn restart(&mut self) {
        self.end("KILL");
        let deadline = Instant::now() + PATIENCE;
        while self.process.is_none() {
            let (port, log) = (self.port, self.recipe.log());
            assert!(Instant::now() < deadline, "redis-server can't come back to port {port}; it said:\n{log}");
            self.process = self.recipe.launch(self.port);
        }
    }

    pub(super) fn signal(&self, name: &str) {
        let Some(process) = &self.process else { return };
        let pid = process.id().to_string();
        let status = Command::new("kill").args(["-s", name, &pid]).status();
        assert!(status.is_ok_and(|status| status.success()), "signal {name} can't be sent to redis-server ({pid})");
    }

    pub(super) fn end(&mut self, signal: &str) {
        self.signal(signal);
        let Some(mut process) = self.process.take() else { return };
        let deadline = Instant::now() + PATIENCE;
        while process.try_wait().expect("a child can be waited for").is_none() {
            assert!(Instant::now() < deadline, "redis-server does not end");
            std::thread::sleep(POLL);
        }
    }

    pub(super) fn command(&self, command: &str) -> String {
        self.recipe.ask(command).unwrap_or_else(|error| panic!("redis-server does not answer `{command}`: {error}"))
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        if let Some(process) = &mut self.process {
            // It may have ended by itself; there is nobody to tell.
            let _ = process.kill();
            let _ = process.wait();
        }
    }
}

impl Recipe {
    /// Starts a process and waits until it answers; `None` if it ended, most likely because its port was taken.
    fn launch(&self, port: u16) -> Option<Child> {
        // That of a process before would be mistaken for this one's.
        let _ = std::fs::remove_file(self.socket());
        let mut process = self.spawn(port);
        let deadline = Instant::now() + PATIENCE;
        loop {
            if process.try_wait().expect("a child can be waited for").is_some() {
                return None;
            }
            if self.ask("PING").is_ok_and(|answer| answer == "+PONG\r\n") {
                return Some(process);
            }
            if Instant::now() > deadline {
                let _ = process.kill();
                let _ = process.wait();
                panic!("redis-server does not answer on port {port}; it said:\n{}", self.log());
            }
            std::thread::sleep(POLL);
        }
    }

    fn spawn(&self, port: u16) -> Child {
        let log = File::create(self.directory.path().join("redis.log")).expect("a log file can be made");
        let words = self.wrapper.iter().map(String::as_str).chain(["redis-server"]);
        let arguments = self.arguments.iter().map(|argument| argument.replace("{port}", &port.to_string()));
        let mut words = words.map(str::to_owned).chain(arguments);
        let mut command = Command::new(words.next().expect("redis-server at least"));
        command.args(words).args(["--unixsocket", "redis.sock", "--bind", &self.ip.to_string()]);
        command.current_dir(self.directory.path()).stdin(Stdio::null()).stdout(log).stderr(Stdio::null());
        match command.spawn() {
            Ok(process) => process,
            Err(error) if error.kind() == ErrorKind::NotFound => {
                panic!("there is no redis-server on the PATH: run scripts/setup, which installs what the tests need")
            }
            Err(error) => panic!("redis-server can't be started: {error}"),
        }
    }

    /// Sends one command and returns the answer as it comes over the wire.
    fn ask(&self, command: &str) -> std::io::Result<String> {
        let mut stream = UnixStream::connect(self.socket())?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let login = if self.login.is_empty() { String::new() } else { format!("{}\r\n", self.login) };
        stream.write_all(format!("{login}{command}\r\n").as_bytes())?;
        stream.shutdown(Shutdown::Write)?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok(if login.is_empty() { answer } else { answer.strip_prefix("+OK\r\n").unwrap_or(&answer).to_owned() })
    }

    fn socket(&self) -> PathBuf {
        self.directory.path().join("redis.sock")
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.directory.path().join("redis.log")).unwrap_or_default()
    }
}
