//! Hosts that can be cut off: network namespaces on one bridge.

use std::fmt;
use std::net::Ipv4Addr;
use std::process::{Command, Output};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use crate::program::{Program, ProgramBuilder};

/// What the name of each namespace starts with. The process's id and a number follow.
const NAME_START: &str = "pintail-test-";

/// The addresses of hosts: from 10.91.0.1 on. They exist only inside the namespaces.
const FIRST_OCTETS: [u8; 3] = [10, 91, 0];

/// The hardware address of no host.
const NOBODY: &str = "02:00:00:00:00:fe";

/// How many hosts a network can have.
const HOSTS_MAX: u8 = 250;

/// A network of its own whose hosts are network namespaces, for tests in which packets to a host get lost without
/// anyone being told. Dropping it ends what runs there and removes it.
///
/// Nothing of it is in the machine's own network: not even its bridge. What the test's process itself connects to is
/// therefore not among its hosts; a test talks to programs there over their input and output, or over files.
#[derive(Debug)]
pub struct Namespaces {
    switch: Arc<Namespace>,
    hosts: AtomicU32,
}

/// A host of [`Namespaces`], with an address of its own. It goes with the network, or with its last clone if that is later.
#[derive(Debug, Clone)]
pub struct Host {
    namespace: Arc<Namespace>,
    switch: Arc<Namespace>,
    port: String,
    ip: Ipv4Addr,
}

/// Why this machine has no network namespaces for a test. A test that needs some prints `skipped: <reason>` and ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unsupported(String);

impl fmt::Display for Unsupported {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Unsupported {}

impl Namespaces {
    /// A network without hosts. Removes what tests that were killed left behind.
    ///
    /// # Errors
    /// If the machine does not allow it: no `ip`, no permission (root, as a rule), or a kernel without namespaces.
    pub fn new() -> Result<Self, Unsupported> {
        static CLEANED: Mutex<bool> = Mutex::new(false);
        let mut cleaned = CLEANED.lock().unwrap_or_else(PoisonError::into_inner);
        if !*cleaned {
            remove_stale()?;
            *cleaned = true;
        }
        drop(cleaned);
        let switch = Namespace::add()?;
        switch.ip("link add br0 type bridge stp_state 0 forward_delay 0")?;
        switch.ip("link set br0 up")?;
        Ok(Self { switch: Arc::new(switch), hosts: AtomicU32::new(0) })
    }

    /// One more host.
    ///
    /// # Panics
    /// If it can't be made, although the network could.
    #[must_use]
    pub fn host(&self) -> Host {
        let number = self.hosts.fetch_add(1, Ordering::Relaxed) + 1;
        let number = u8::try_from(number).ok().filter(|&number| number <= HOSTS_MAX);
        let number = number.unwrap_or_else(|| panic!("a network has at most {HOSTS_MAX} hosts"));
        let [a, b, c] = FIRST_OCTETS;
        let ip = Ipv4Addr::new(a, b, c, number);
        self.join(&format!("port{number}"), ip).unwrap_or_else(|problem| panic!("host {ip} can't be made: {problem}"))
    }

    fn join(&self, port: &str, ip: Ipv4Addr) -> Result<Host, Unsupported> {
        let namespace = Namespace::add()?;
        self.switch.ip(&format!("link add {port} type veth peer name eth0 netns {}", namespace.name))?;
        self.switch.ip(&format!("link set {port} master br0"))?;
        self.switch.ip(&format!("link set {port} up"))?;
        namespace.ip(&format!("address add {ip}/24 dev eth0"))?;
        namespace.ip("link set eth0 up")?;
        namespace.ip("link set lo up")?;
        Ok(Host { namespace: Arc::new(namespace), switch: Arc::clone(&self.switch), port: port.to_owned(), ip })
    }
}

impl Host {
    /// Its address.
    #[must_use]
    pub fn ip(&self) -> Ipv4Addr {
        self.ip
    }

    /// A program to be started there. Signals reach the program itself.
    #[must_use]
    pub fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> ProgramBuilder {
        let mut words = self.wrapper().into_iter();
        let first = words.next().expect("the wrapper has words");
        Program::new(first).args(words).args([program])
    }

    /// Cuts it off: packets from and to it get lost, and neither side is told.
    ///
    /// # Panics
    /// If it can't be.
    pub fn cut(&self) {
        self.set_port("nomaster");
    }

    /// Joins it again.
    ///
    /// # Panics
    /// If it can't be.
    pub fn heal(&self) {
        self.set_port("master br0");
    }

    /// Has every packet from here to another host get lost, and so every connection between the two go dead without a
    /// word, while both reach everyone else.
    ///
    /// # Panics
    /// If it can't be.
    pub fn lose_packets_to(&self, other: &Self) {
        // The packets go to a network card that nobody has.
        self.set_neighbour(&format!("replace {} lladdr {NOBODY} nud permanent dev eth0", other.ip));
    }

    /// Lets packets to another host through again.
    ///
    /// # Panics
    /// If it can't.
    pub fn reach(&self, other: &Self) {
        self.set_neighbour(&format!("delete {} dev eth0", other.ip));
    }

    fn set_neighbour(&self, change: &str) {
        let set = self.namespace.ip(&format!("neighbour {change}"));
        set.unwrap_or_else(|problem| {
            panic!("what host {} knows of its neighbours can't be changed: {problem}", self.ip)
        });
    }

    /// The words before a program that make it run there. `ip` becomes the program, so its process id is the program's.
    pub(crate) fn wrapper(&self) -> Vec<String> {
        ["ip", "netns", "exec", &self.namespace.name].map(str::to_owned).into()
    }

    fn set_port(&self, state: &str) {
        let set = self.switch.ip(&format!("link set {} {state}", self.port));
        set.unwrap_or_else(|problem| panic!("the link of host {} can't be changed: {problem}", self.ip));
    }
}

/// A network namespace. Dropping it ends what runs there and removes it.
#[derive(Debug)]
struct Namespace {
    name: String,
}

impl Namespace {
    fn add() -> Result<Self, Unsupported> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!("{NAME_START}{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        ip(&format!("netns add {name}"))?;
        Ok(Self { name })
    }

    fn ip(&self, arguments: &str) -> Result<(), Unsupported> {
        ip(&format!("-n {} {arguments}", self.name)).map(|_| ())
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        remove(&self.name);
    }
}

/// Removes the namespaces of test processes that are gone.
fn remove_stale() -> Result<(), Unsupported> {
    for line in ip("netns list")?.lines() {
        let name = line.split(' ').next().unwrap_or_default();
        let Some((pid, _)) = name.strip_prefix(NAME_START).and_then(|rest| rest.split_once('-')) else { continue };
        if !std::path::Path::new("/proc").join(pid).exists() {
            remove(name);
        }
    }
    Ok(())
}

/// Ends what runs in a namespace of ours and removes it. Another test may be doing the same to a stale one.
fn remove(name: &str) {
    let pids = ip(&format!("netns pids {name}")).unwrap_or_default();
    let pids: Vec<&str> = pids.split_whitespace().collect();
    if !pids.is_empty() {
        let _ = Command::new("kill").args(["-s", "KILL"]).args(pids).output();
    }
    let _ = ip(&format!("netns delete {name}"));
}

fn ip(arguments: &str) -> Result<String, Unsupported> {
    let words = arguments.split(' ');
    let Output { status, stdout, stderr } = Command::new("ip").args(words).output().map_err(|error| {
        Unsupported(format!("`ip` can't be started ({error}): run scripts/setup, which installs it"))
    })?;
    if !status.success() {
        let problem = String::from_utf8_lossy(&stderr);
        return Err(Unsupported(format!("`ip {arguments}` failed (does this run as root?): {}", problem.trim())));
    }
    Ok(String::from_utf8_lossy(&stdout).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A network, unless the machine allows none.
    fn network() -> Option<Namespaces> {
        Namespaces::new().inspect_err(|reason| println!("skipped: {reason}")).ok()
    }

    fn names() -> String {
        ip("netns list").unwrap()
    }

    #[test]
    fn hosts_reach_each_other_unless_one_is_cut_off() {
        let Some(network) = network() else { return };
        let (one, two) = (network.host(), network.host());
        let server = crate::RedisServer::builder().on(&two).start();
        assert_eq!(server.address().ip(), two.ip());
        let port = server.address().port().to_string();
        let ask = |host: &Host| {
            let words = ["1", "redis-cli", "-h", &two.ip().to_string(), "-p", &port, "PING"].map(str::to_owned);
            String::from_utf8(host.command("timeout").args(words).output().stdout).unwrap()
        };
        assert_eq!(ask(&one), "PONG\n");
        two.cut();
        assert_eq!(ask(&one), "");
        assert_eq!(ask(&two), "PONG\n", "it is there all the time");
        two.heal();
        assert_eq!(ask(&one), "PONG\n");
    }

    #[test]
    fn a_connection_survives_a_cut_that_nobody_is_told_of() {
        let Some(network) = network() else { return };
        let (one, two) = (network.host(), network.host());
        let server = crate::RedisServer::builder().on(&two).start();
        let (ip, port) = (two.ip().to_string(), server.address().port().to_string());
        let mut client = one.command("redis-cli").args(["-h", &ip, "-p", &port]).start();
        client.type_line("ECHO before");
        client.wait_for("before");
        two.cut();
        client.type_line("ECHO after");
        std::thread::sleep(std::time::Duration::from_millis(300));
        assert!(!client.transcript().iter().any(|line| line.contains("after")), "{:?}", client.transcript());
        two.heal();
        client.wait_for("after");
    }

    #[test]
    fn everything_is_removed_with_the_network_and_stale_ones_at_the_next_start() {
        let Some(network) = network() else { return };
        let host = network.host();
        let mut program = host.command("sleep").args(["1000"]).start();
        let (switch, name) = (network.switch.name.clone(), host.namespace.name.clone());
        assert!(names().contains(&switch) && names().contains(&name));
        drop((network, host));
        assert!(!program.wait_for_end().success(), "it was ended");
        assert!(!names().contains(&switch) && !names().contains(&name));

        // No process has such an id: it is above the kernel's highest.
        let stale = format!("{NAME_START}99999999-0");
        ip(&format!("netns add {stale}")).unwrap();
        remove_stale().unwrap();
        assert!(!names().contains(&stale));
    }
}
