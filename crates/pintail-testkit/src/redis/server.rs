//! A real `redis-server` for one test.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;

use super::certificates::Certificates;
use super::daemon::{Daemon, Recipe};
use crate::namespaces::Host;

/// Whether a server remembers across [`RedisServer::restart`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Persistence {
    /// It comes back empty.
    None,
    /// It writes an append-only file with `appendfsync always`, and comes back with everything that it acknowledged.
    AppendOnly,
    /// It writes an append-only file with `appendfsync everysec`, as most are run: it comes back with everything unless the
    /// machine itself fails.
    EverySecond,
}

/// Whether a server with TLS wants to see a certificate of its clients.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClientCertificates {
    /// It does, as `redis-server` does by default.
    Wanted,
    /// It does not.
    NotWanted,
}

/// A real `redis-server` on a free port, with a directory of its own. Dropping it ends it.
///
/// Its methods wait without yielding to other tasks, for some tens of milliseconds; that is meant for tests only.
#[derive(Debug)]
pub struct RedisServer {
    daemon: Daemon,
    login: Login,
    tls: bool,
}

/// The user and password of a server; both empty if it wants none.
#[derive(Debug, Clone, Default)]
pub(super) struct Login {
    pub(super) user: String,
    pub(super) password: String,
}

impl Login {
    /// The command that logs in.
    pub(super) fn command(&self) -> String {
        if self.password.is_empty() { String::new() } else { format!("AUTH {} {}", self.name(), self.password) }
    }

    /// What stands before the host in a URL.
    pub(super) fn in_url(&self) -> String {
        if self.password.is_empty() { String::new() } else { format!("{}:{}@", self.user, self.password) }
    }

    fn name(&self) -> &str {
        if self.user.is_empty() { "default" } else { &self.user }
    }
}

/// A `redis-server` to be started.
#[derive(Debug)]
pub struct RedisServerBuilder {
    persistence: Persistence,
    login: Login,
    tls: Option<(Certificates, ClientCertificates)>,
    master: Option<(SocketAddr, Login)>,
    settings: Vec<String>,
    ip: Ipv4Addr,
    wrapper: Vec<String>,
}

impl RedisServer {
    /// Starts a server on 127.0.0.1 that keeps nothing on disk.
    ///
    /// # Panics
    /// If there is no `redis-server` to start, or it doesn't answer.
    #[must_use]
    pub fn start() -> Self {
        Self::builder().start()
    }

    /// Starts a server on 127.0.0.1.
    ///
    /// # Panics
    /// If there is no `redis-server` to start, or it doesn't answer.
    #[must_use]
    pub fn start_with(persistence: Persistence) -> Self {
        Self::builder().persistence(persistence).start()
    }

    /// A server that differs: with TLS, a password, a master of its own.
    #[must_use]
    pub fn builder() -> RedisServerBuilder {
        RedisServerBuilder {
            persistence: Persistence::None,
            login: Login::default(),
            tls: None,
            master: None,
            settings: Vec::new(),
            ip: Ipv4Addr::LOCALHOST,
            wrapper: Vec::new(),
        }
    }

    /// Where clients reach it, such as `redis://127.0.0.1:20001` or `rediss://user:password@127.0.0.1:20001`.
    #[must_use]
    pub fn url(&self) -> String {
        self.url_by_way_of(self.address())
    }

    /// The same for clients that come by way of a [`FaultProxy`](crate::FaultProxy) that listens there.
    #[must_use]
    pub fn url_by_way_of(&self, address: SocketAddr) -> String {
        let scheme = if self.tls { "rediss" } else { "redis" };
        format!("{scheme}://{}{address}", self.login.in_url())
    }

    /// Its address.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.daemon.address()
    }

    /// The process's id, while it runs.
    #[must_use]
    pub fn process_id(&self) -> Option<u32> {
        self.daemon.process_id()
    }

    /// Its directory, where its log and its files are.
    #[must_use]
    pub fn directory(&self) -> std::path::PathBuf {
        self.daemon.directory()
    }

    /// Runs one command, as `redis-cli` would on its host, and returns the answer as it comes over the wire, such as
    /// `+OK\r\n`. Works with TLS, a password, and in a network of its own; not while it is paused.
    ///
    /// # Panics
    /// If it doesn't answer.
    pub fn command(&self, command: &str) -> String {
        self.daemon.command(command)
    }

    /// Stops it in good order (SIGTERM). No effect if it is down.
    ///
    /// # Panics
    /// If it doesn't end.
    pub fn stop(&mut self) {
        self.daemon.end("TERM");
    }

    /// Ends it at once (SIGKILL). No effect if it is down.
    ///
    /// # Panics
    /// If it doesn't end.
    pub fn kill(&mut self) {
        self.daemon.end("KILL");
    }

    /// Starts it again on the same port as it was started first, after [`kill`](Self::kill) if it was up.
    ///
    /// # Panics
    /// If it doesn't answer, or someone else has taken its port.
    pub fn restart(&mut self) {
        self.daemon.restart();
    }

    /// Holds it up: connections stay open and nothing answers (SIGSTOP).
    ///
    /// # Panics
    /// If the signal can't be sent.
    pub fn pause(&self) {
        self.daemon.signal("STOP");
    }

    /// Lets it go on after [`pause`](Self::pause) (SIGCONT).
    ///
    /// # Panics
    /// If the signal can't be sent.
    pub fn resume(&self) {
        self.daemon.signal("CONT");
    }

    pub(super) fn launch(recipe: Recipe, login: Login, tls: bool) -> Self {
        Self { daemon: Daemon::start(recipe), login, tls }
    }

    pub(super) fn login(&self) -> &Login {
        &self.login
    }
}

impl RedisServerBuilder {
    /// Keeps this on disk.
    #[must_use]
    pub fn persistence(mut self, persistence: Persistence) -> Self {
        self.persistence = persistence;
        self
    }

    /// Wants this password (letters and digits only).
    #[must_use]
    pub fn password(mut self, password: &str) -> Self {
        self.login = Login { user: String::new(), password: password.to_owned() };
        self
    }

    /// Knows this user alone, who may everything (name and password in letters and digits only).
    #[must_use]
    pub fn user(mut self, name: &str, password: &str) -> Self {
        self.login = Login { user: name.to_owned(), password: password.to_owned() };
        self
    }

    /// Speaks TLS alone, with the server's certificate of these.
    #[must_use]
    pub fn tls(mut self, certificates: &Certificates, clients: ClientCertificates) -> Self {
        self.tls = Some((certificates.clone(), clients));
        self
    }

    /// Is a replica of this server, which has no TLS.
    #[must_use]
    pub fn replica_of(mut self, master: &RedisServer) -> Self {
        self.master = Some((master.address(), master.login.clone()));
        self
    }

    /// With this line of redis.conf.
    #[must_use]
    pub fn setting(mut self, name: &str, value: &str) -> Self {
        self.settings.extend([format!("--{name}"), value.to_owned()]);
        self
    }

    /// Runs on this host of a network of its own and listens on its address.
    #[must_use]
    pub fn on(mut self, host: &Host) -> Self {
        self.ip = host.ip();
        self.wrapper = host.wrapper();
        self
    }

    /// Starts it.
    ///
    /// # Panics
    /// If there is no `redis-server` to start, or it doesn't answer.
    #[must_use]
    pub fn start(self) -> RedisServer {
        let directory = tempfile::tempdir().expect("a temporary directory can be made");
        let arguments = self.arguments(directory.path());
        let tls = self.tls.is_some();
        let (ip, wrapper, login) = (self.ip, self.wrapper, self.login);
        let recipe = Recipe { directory, wrapper, arguments, ip, login: login.command() };
        RedisServer::launch(recipe, login, tls)
    }

    fn arguments(&self, directory: &Path) -> Vec<String> {
        let mut words: Vec<String> = Vec::new();
        let mut add = |line: &str| words.extend(line.split(' ').map(str::to_owned));
        // A replica is served at once, and not after the 5 s in which others might join it.
        add("--protected-mode no --repl-diskless-sync-delay 0");
        add(match self.persistence {
            Persistence::None => "--appendonly no",
            Persistence::AppendOnly => "--appendonly yes --appendfsync always",
            Persistence::EverySecond => "--appendonly yes --appendfsync everysec",
        });
        let Login { user, password } = &self.login;
        match (user.as_str(), password.as_str()) {
            (_, "") => {}
            ("", password) => add(&format!("--requirepass {password} --masterauth {password}")),
            (user, password) => {
                add(&format!("--user {user} on >{password} ~* &* +@all --user default off"));
                add(&format!("--masteruser {user} --masterauth {password}"));
            }
        }
        if let Some((master, login)) = &self.master {
            add(&format!("--replicaof {} {}", master.ip(), master.port()));
            if self.login.password.is_empty() && !login.password.is_empty() {
                add(&format!("--masteruser {} --masterauth {}", login.name(), login.password));
            }
        }
        match &self.tls {
            None => add("--port {port}"),
            Some((certificates, clients)) => {
                certificates.copy_to(directory);
                add("--port 0 --tls-port {port} --tls-replication yes --tls-ca-cert-file ca.pem");
                add("--tls-cert-file server.pem --tls-key-file server.key");
                add(match clients {
                    ClientCertificates::Wanted => "--tls-auth-clients yes",
                    ClientCertificates::NotWanted => "--tls-auth-clients no",
                });
            }
        }
        words.extend(["--save".to_owned(), String::new()]);
        words.extend(self.settings.iter().cloned());
        words
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::TcpStream;
    use std::time::{Duration, Instant};

    use super::super::daemon::PATIENCE;
    use super::*;

    #[test]
    fn it_comes_back_on_its_port_with_what_it_keeps() {
        for (persistence, kept) in [(Persistence::None, "$-1\r\n"), (Persistence::AppendOnly, "$4\r\nhere\r\n")] {
            let mut server = RedisServer::start_with(persistence);
            let url = server.url();
            assert_eq!(server.command("SET key here"), "+OK\r\n");
            server.restart();
            assert_eq!(server.url(), url);
            assert_eq!(server.command("GET key"), kept);
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

    #[test]
    fn a_replica_follows_its_master_whatever_password_it_wants() {
        for master in [RedisServer::builder().password("sesame"), RedisServer::builder().user("alice", "sesame")] {
            let master = master.start();
            let replica = RedisServer::builder().replica_of(&master).start();
            let deadline = Instant::now() + PATIENCE;
            while replica.command("GET key") != "$4\r\nhere\r\n" {
                assert_eq!(master.command("SET key here"), "+OK\r\n");
                assert!(Instant::now() < deadline, "{}", replica.command("INFO replication"));
                std::thread::sleep(Duration::from_millis(10));
            }
            assert!(replica.command("SET key there").starts_with("-READONLY"));
        }
    }

    #[test]
    fn a_server_with_tls_speaks_nothing_else() {
        let certificates = Certificates::new();
        let server = RedisServer::builder().tls(&certificates, ClientCertificates::Wanted).start();
        assert!(server.url().starts_with("rediss://"));
        assert_eq!(server.command("PING"), "+PONG\r\n");
        let mut stream = TcpStream::connect(server.address()).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.write_all(b"PING\r\nQUIT\r\n").unwrap();
        let mut answer = Vec::new();
        // It may also be reset.
        let _ = stream.read_to_end(&mut answer);
        assert!(!answer.starts_with(b"+PONG"), "{answer:?}");
    }
}
