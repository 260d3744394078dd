//! Injects each fault, again and again, and takes the time until it is noticed.

use std::time::{Duration, Instant, SystemTime};

use pintail::client::{Client, ClientConfig, CreateRoom, Event, Events};
use pintail_testkit::{Fault, FaultProxy};

use crate::cluster::{Cluster, Node};
use crate::redis::Peek;
use crate::report::{self, Figures};
use crate::{alone, storm};

/// How long a fault may stay unnoticed before the run counts as missed.
const WITHIN: Duration = Duration::from_secs(15);

/// A pause that no one should make much of.
const SHORT_PAUSE: Duration = Duration::from_millis(400);

/// How many short pauses there are for each run of the other faults.
const PAUSES_PER_RUN: usize = 5;

/// How many very slow games run at once: together they want more than a core.
const SLOW_GAMES: usize = 4;

/// For how long a game does nothing, and lets nobody else: longer than anyone takes to notice.
const STUCK_MS: &str = "8000";

type Scenario = fn(usize);

/// Every fault, by the name that `--only` takes.
const SCENARIOS: [(&str, Scenario); 12] = [
    ("killed", killed),
    ("stopped", stopped),
    ("stuck", stuck),
    ("slow", slow),
    ("host", host_cut_off),
    ("redis", cut_off_from_redis),
    ("gateways", cut_off_from_gateways),
    ("alone", alone::run),
    ("pause", short_pause),
    ("deaf", deaf),
    ("new", new_server),
    ("storm", storm::run),
];

/// Runs the faults named, or all.
pub(crate) fn run(runs: usize, only: Option<&[String]>) {
    report::head();
    for (name, scenario) in SCENARIOS {
        if only.is_none_or(|only| only.iter().any(|wanted| wanted == name)) {
            scenario(runs);
        }
    }
}

/// The figures of a fault that takes a server out: suspected, out of placement, down.
struct TakenOut {
    suspect: Figures,
    placement: Figures,
    down: Figures,
}

impl TakenOut {
    fn new(name: &str, reach: [&str; 3]) -> Self {
        let figures = |what, reach| Figures::new(&format!("{name} → {what}"), reach);
        Self {
            suspect: figures("suspect", reach[0]),
            placement: figures("out of placement", reach[1]),
            down: figures("down", reach[2]),
        }
    }

    /// Injects the fault and takes the times.
    fn observe(&mut self, cluster: &mut Cluster, slot: &str, inject: impl FnOnce()) {
        let placement = cluster.leaves_placement(slot, WITHIN);
        let since = Instant::now();
        inject();
        self.down.add(cluster.noticed("down", slot, since, WITHIN));
        self.suspect.add(cluster.noticed("suspect", slot, since, Duration::ZERO));
        let left = placement.join().expect("the watch on placement does not panic");
        self.placement.add(left.map(|left| left.duration_since(since)));
    }

    fn print(self) {
        self.suspect.print();
        self.placement.print();
        self.down.print();
    }
}

fn killed(runs: usize) {
    let mut cluster = Cluster::start();
    let _others = [cluster.game_server(""), cluster.game_server("")];
    let mut figures = TakenOut::new("process killed", ["", "150 ms", "150 ms"]);
    for _ in 0..runs {
        let server = cluster.game_server("");
        figures.observe(&mut cluster, &server.slot, || server.program.signal("KILL"));
    }
    figures.placement.print();
    figures.down.print();
}

fn stopped(runs: usize) {
    let mut cluster = Cluster::start();
    let _others = [cluster.game_server(""), cluster.game_server("")];
    let mut figures = TakenOut::new("process stopped", ["1 s", "1 s", "3 s"]);
    let mut healed = Figures::new("stopped process continued → up", "");
    for _ in 0..runs {
        let server = cluster.game_server("");
        figures.observe(&mut cluster, &server.slot, || server.program.signal("STOP"));
        let since = Instant::now();
        server.program.signal("CONT");
        healed.add(cluster.noticed("up", &server.slot, since, WITHIN));
    }
    figures.print();
    healed.print();
}

fn stuck(runs: usize) {
    let mut cluster = Cluster::start();
    let runtime = runtime();
    let mut figures = TakenOut::new("games' loop stuck", ["1 s", "1 s", "3 s"]);
    for _ in 0..runs {
        // The only one, so that it gets the game.
        let server = cluster.game_server("");
        let mut player = runtime.block_on(Player::join(&cluster.gateways[0].node));
        runtime.block_on(player.play(0));
        figures.observe(&mut cluster, &server.slot, || runtime.block_on(player.send(STUCK_MS)));
    }
    figures.print();
}

fn slow(runs: usize) {
    let mut cluster = Cluster::start();
    let runtime = runtime();
    let mut congested = Figures::new("a busy loop in every game → congested", "");
    let began = Instant::now();
    for _ in 0..runs {
        let server = cluster.game_server("");
        let since = Instant::now();
        let mut players = Vec::new();
        for _ in 0..SLOW_GAMES {
            let mut player = runtime.block_on(Player::join(&cluster.gateways[0].node));
            runtime.block_on(player.play(30));
            players.push(player);
        }
        congested.add(cluster.noticed("congested", &server.slot, since, WITHIN));
        drop(players);
        server.program.signal("KILL");
        cluster.noticed("down", &server.slot, since, WITHIN);
    }
    congested.print();
    report::count("a busy loop in every game → suspect", cluster.count("suspect", began), runs);
}

fn host_cut_off(runs: usize) {
    let mut cluster = Cluster::start();
    let _others = [cluster.game_server(""), cluster.game_server("")];
    let mut figures = TakenOut::new("host cut off", ["1 s", "1 s", "3 s"]);
    let redis = FaultProxy::start(cluster.redis.address());
    for _ in 0..runs {
        let (server, links) = cluster.game_server_behind_proxy(&format!("redis://{}", redis.address()));
        figures.observe(&mut cluster, &server.slot, || {
            links.set(Fault::SwallowAll);
            redis.set(Fault::SwallowAll);
        });
        drop(server);
        redis.set(Fault::Pass);
    }
    figures.print();
}

fn cut_off_from_redis(runs: usize) {
    let mut cluster = Cluster::start();
    let _others = [cluster.game_server(""), cluster.game_server("")];
    let mut figures = TakenOut::new("cut off from Redis only", ["", "3 s", "3 s"]);
    let redis = FaultProxy::start(cluster.redis.address());
    for _ in 0..runs {
        let server = cluster.game_server_at(&format!("redis://{}", redis.address()), "");
        figures.observe(&mut cluster, &server.slot, || redis.set(Fault::SwallowAll));
        drop(server);
        redis.set(Fault::Pass);
    }
    figures.placement.print();
    figures.down.print();
}

fn cut_off_from_gateways(runs: usize) {
    let mut cluster = Cluster::start();
    let _others = [cluster.game_server(""), cluster.game_server("")];
    let mut figures = TakenOut::new("cut off from gateways only", ["1 s", "1 s", "3 s"]);
    let url = cluster.redis.url();
    for _ in 0..runs {
        let (server, links) = cluster.game_server_behind_proxy(&url);
        figures.observe(&mut cluster, &server.slot, || links.set(Fault::SwallowAll));
        drop(server);
    }
    figures.print();
}

fn short_pause(runs: usize) {
    let mut cluster = Cluster::start();
    let servers = [cluster.game_server(""), cluster.game_server(""), cluster.game_server("")];
    let began = Instant::now();
    let pauses = runs * PAUSES_PER_RUN;
    for pause in 0..pauses {
        let server = &servers[pause % servers.len()];
        server.program.signal("STOP");
        std::thread::sleep(SHORT_PAUSE);
        server.program.signal("CONT");
        std::thread::sleep(SHORT_PAUSE);
    }
    report::count("pause of 400 ms → down", cluster.count("down", began), pauses);
    report::count("pause of 400 ms → suspect", cluster.count("suspect", began), pauses);
}

/// The gateways' connections to Redis go half-open: nothing comes through them any more, and nobody says so.
fn deaf(runs: usize) {
    let mut figures = Figures::new("subscription deaf → subscribed again", "5 s");
    let mut false_downs = 0;
    for _ in 0..runs {
        let mut proxy = None;
        let mut cluster = Cluster::with(|redis| {
            let started = FaultProxy::start(redis.address());
            let url = format!("redis://{}", started.address());
            proxy = Some(started);
            url
        });
        let _server = cluster.game_server("");
        let proxy = proxy.expect("it was started");
        let before = subscriptions(&mut cluster);
        let since = Instant::now();
        proxy.strand_connections();
        let again = wait(WITHIN, || subscriptions(&mut cluster).iter().filter(|id| !before.contains(id)).count() >= 2);
        figures.add(again.then(|| since.elapsed()));
        false_downs += cluster.count("down", since);
    }
    figures.print();
    report::count("subscription deaf → down", false_downs, runs);
}

/// The connections that subscribe, by their ids.
fn subscriptions(cluster: &mut Cluster) -> Vec<String> {
    let list = cluster.peek.one("CLIENT LIST TYPE pubsub").unwrap_or_default();
    list.lines().filter_map(|line| line.split(' ').next().map(str::to_owned)).collect()
}

fn new_server(runs: usize) {
    let mut cluster = Cluster::start();
    let mut told = Figures::new("new server → linked", "100 ms");
    let mut lost = Figures::new("new server, ServerOn lost → linked", "5 s");
    for (figures, is_lost) in [(&mut told, false), (&mut lost, true)] {
        for _ in 0..runs {
            let url = cluster.redis.url();
            let registered = registration(&cluster, is_lost);
            let server = Node::start("game", &url, "");
            let since = registered.join().expect("the watch on the registry does not panic");
            figures.add(cluster.linked(&server.slot, since));
            let killed = Instant::now();
            server.program.signal("KILL");
            cluster.noticed("down", &server.slot, killed, WITHIN);
        }
    }
    told.print();
    lost.print();
}

/// Watches for the next server in the registry. To lose its announcement, it cuts every subscription until then.
fn registration(cluster: &Cluster, lose_announcement: bool) -> std::thread::JoinHandle<SystemTime> {
    let mut peek = Peek::at(cluster.redis.address());
    let leases = |peek: &mut Peek| peek.ask("KEYS Server:Game:*:lease");
    let before = leases(&mut peek);
    std::thread::spawn(move || {
        wait(WITHIN, || {
            if lose_announcement {
                peek.ask("CLIENT KILL TYPE pubsub");
            }
            leases(&mut peek).iter().any(|lease| !before.contains(lease))
        });
        SystemTime::now()
    })
}

fn wait(within: Duration, mut holds: impl FnMut() -> bool) -> bool {
    let deadline = Instant::now() + within;
    while !holds() {
        if Instant::now() > deadline {
            return false;
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    true
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a runtime")
}

/// A player of the game that makes trouble.
struct Player {
    client: Client,
    events: Events,
}

impl Player {
    async fn join(gateway: &Node) -> Self {
        let config = ClientConfig::new(vec![gateway.client_address.to_string().parse().expect("an address")], "Ann");
        let (client, events) = Client::connect(config).await.expect("the gateway lets players in");
        Self { client, events }
    }

    /// Starts a game whose steps take this long.
    async fn play(&mut self, busy_ms: u64) {
        let settings = format!(r#"{{"busy_ms":{busy_ms}}}"#);
        let room = CreateRoom { game: "trouble".to_owned(), settings, ..CreateRoom::default() };
        self.client.create_room(room).await.expect("a room");
        while self.client.start_game().await.is_err() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        while !matches!(self.events.next().await.expect("the client goes on"), Event::GameAttached { .. }) {}
    }

    async fn send(&self, input: &str) {
        self.client.send(input.to_owned()).await.expect("the game takes inputs");
    }
}
