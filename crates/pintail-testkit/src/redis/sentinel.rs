//! Sentinels: `redis-server --sentinel`.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use super::certificates::Certificates;
use super::daemon::{PATIENCE, Recipe};
use super::server::{Login, RedisServer};

/// How often sentinels are asked whether they are ready.
const POLL: Duration = Duration::from_millis(20);

/// Several sentinels that watch one master, and promote a replica when most of them find it gone. Dropping it ends them.
#[derive(Debug)]
pub struct Sentinels {
    sentinels: Vec<RedisServer>,
    master_name: String,
    master_login: Login,
    password: String,
    tls: bool,
}

/// Sentinels to be started.
#[derive(Debug)]
pub struct SentinelsBuilder {
    master: SocketAddr,
    master_login: Login,
    master_name: String,
    count: usize,
    down_after: Duration,
    password: String,
    tls: Option<Certificates>,
}

impl Sentinels {
    /// Three sentinels that watch this server as `mymaster`, and find it gone after a second.
    #[must_use]
    pub fn watching(master: &RedisServer) -> SentinelsBuilder {
        SentinelsBuilder::at(master.address(), master.login().clone())
    }

    /// A URL that names all of them, such as `redis+sentinel://127.0.0.1:20001,127.0.0.1:20002/mymaster`.
    #[must_use]
    pub fn url(&self) -> String {
        let addresses: Vec<_> = self.sentinels.iter().map(|sentinel| sentinel.address().to_string()).collect();
        self.url_by_way_of(&addresses.join(","))
    }

    /// The same with other addresses, separated by commas.
    #[must_use]
    pub fn url_by_way_of(&self, addresses: &str) -> String {
        let scheme = if self.tls { "rediss+sentinel" } else { "redis+sentinel" };
        let password =
            if self.password.is_empty() { String::new() } else { format!("?sentinel_password={}", self.password) };
        format!("{scheme}://{}{addresses}/{}{password}", self.master_login.in_url(), self.master_name)
    }

    /// One of them, from 0 on. It knows what it knew when it is restarted.
    ///
    /// # Panics
    /// If there are not as many.
    pub fn sentinel(&mut self, index: usize) -> &mut RedisServer {
        &mut self.sentinels[index]
    }

    /// Waits until each of them knows each other and this many replicas: earlier, no failover works.
    ///
    /// # Panics
    /// If they don't come to know them.
    pub fn wait_until_ready(&self, replicas: usize) {
        let others = self.sentinels.len() - 1;
        let expected = [
            format!("num-slaves\r\n${}\r\n{replicas}\r\n", replicas.to_string().len()),
            format!("num-other-sentinels\r\n${}\r\n{others}\r\n", others.to_string().len()),
        ];
        let deadline = Instant::now() + PATIENCE;
        for sentinel in &self.sentinels {
            loop {
                let answer = sentinel.command(&format!("SENTINEL MASTER {}", self.master_name));
                if expected.iter().all(|part| answer.contains(part)) {
                    break;
                }
                assert!(Instant::now() < deadline, "the sentinels don't find each other:\n{answer}");
                std::thread::sleep(POLL);
            }
        }
    }
}

impl SentinelsBuilder {
    fn at(master: SocketAddr, master_login: Login) -> Self {
        Self {
            master,
            master_login,
            master_name: "mymaster".to_owned(),
            count: 3,
            down_after: Duration::from_secs(1),
            password: String::new(),
            tls: None,
        }
    }

    /// As many.
    #[must_use]
    pub fn count(mut self, count: usize) -> Self {
        self.count = count;
        self
    }

    /// They want this password (letters and digits only) of those who ask them.
    #[must_use]
    pub fn password(mut self, password: &str) -> Self {
        password.clone_into(&mut self.password);
        self
    }

    /// They find the master gone after this time of silence. Below a second, they fail over again and again on a busy
    /// machine.
    #[must_use]
    pub fn down_after(mut self, silence: Duration) -> Self {
        self.down_after = silence;
        self
    }

    /// They know the master, and tell it to those who ask, by this address: that of a [`FaultProxy`](crate::FaultProxy).
    #[must_use]
    pub fn by_way_of(mut self, master: SocketAddr) -> Self {
        self.master = master;
        self
    }

    /// They speak TLS alone, with the server's certificate of these, and so does the master.
    #[must_use]
    pub fn tls(mut self, certificates: &Certificates) -> Self {
        self.tls = Some(certificates.clone());
        self
    }

    /// Starts them.
    ///
    /// # Panics
    /// If there is no `redis-server` to start, or one doesn't answer.
    #[must_use]
    pub fn start(self) -> Sentinels {
        let tls = self.tls.is_some();
        let login = Login { user: String::new(), password: self.password.clone() };
        let start = |_| RedisServer::launch(self.recipe(login.command()), login.clone(), tls);
        let sentinels = (0..self.count).map(start).collect();
        let Self { master_name, master_login, password, .. } = self;
        Sentinels { sentinels, master_name, master_login, password, tls }
    }

    fn recipe(&self, login: String) -> Recipe {
        let directory = tempfile::tempdir().expect("a temporary directory can be made");
        let name = &self.master_name;
        let mut lines = vec![
            "protected-mode no".to_owned(),
            format!("sentinel monitor {name} {} {} {}", self.master.ip(), self.master.port(), self.count / 2 + 1),
            format!("sentinel down-after-milliseconds {name} {}", self.down_after.as_millis()),
            // How long a failover may take, and how long the next one waits for one that failed (twice this).
            format!("sentinel failover-timeout {name} 5000"),
        ];
        let Login { user, password } = &self.master_login;
        if !password.is_empty() {
            lines.push(format!("sentinel auth-pass {name} {password}"));
        }
        if !user.is_empty() {
            lines.push(format!("sentinel auth-user {name} {user}"));
        }
        if !self.password.is_empty() {
            lines.push(format!("requirepass {}", self.password));
        }
        let port = if let Some(certificates) = &self.tls {
            certificates.copy_to(directory.path());
            lines.push("tls-ca-cert-file ca.pem\ntls-cert-file server.pem\ntls-key-file server.key".to_owned());
            lines.push("tls-auth-clients no\ntls-replication yes".to_owned());
            "--port 0 --tls-port {port}"
        } else {
            "--port {port}"
        };
        // It writes what it learns into this file.
        std::fs::write(directory.path().join("sentinel.conf"), lines.join("\n") + "\n").expect("it can be written");
        let mut arguments = vec!["sentinel.conf".to_owned()];
        arguments.extend(port.split(' ').map(str::to_owned));
        arguments.push("--sentinel".to_owned());
        Recipe { directory, wrapper: Vec::new(), arguments, ip: std::net::Ipv4Addr::LOCALHOST, login }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sentinels_find_each_other_and_a_replica_and_promote_it() {
        let mut master = RedisServer::builder().password("sesame").start();
        let replica = RedisServer::builder().password("sesame").replica_of(&master).start();
        let mut sentinels = Sentinels::watching(&master).password("open").start();
        assert!(sentinels.url().starts_with("redis+sentinel://:sesame@127.0.0.1:"), "{}", sentinels.url());
        assert!(sentinels.url().ends_with("/mymaster?sentinel_password=open"), "{}", sentinels.url());
        sentinels.wait_until_ready(1);
        master.kill();
        let deadline = Instant::now() + PATIENCE;
        let port = replica.address().port().to_string();
        while !sentinels.sentinel(0).command("SENTINEL GET-MASTER-ADDR-BY-NAME mymaster").contains(&port) {
            assert!(Instant::now() < deadline, "no failover");
            std::thread::sleep(POLL);
        }
    }
}
