//! How long players wait when something happens to a server.

use std::time::{Duration, Instant};

use crate::cluster::{Cluster, Node};
use crate::players::{self, PLAYERS_PER_GAME, Player};
use crate::report::{self, Figures};

/// How many game servers there are; one of them is lost, the others take over.
const GAME_SERVERS: usize = 3;

/// How long after a fault its pauses are looked at, at least: longer than any detection takes.
const WINDOW: Duration = Duration::from_secs(4);

/// How long the players may take to play again.
const PATIENCE: Duration = Duration::from_secs(60);

/// How long nothing happens between two faults, so that one has nothing to do with the other.
const REST: Duration = Duration::from_secs(3);

/// A fault: done to a node that was taken out of the cluster.
type Fault = fn(&mut Node);

/// Injects each wanted fault so often and prints what the players noticed.
pub(crate) async fn run(games: usize, runs: usize, wanted: &impl Fn(&str) -> bool) {
    if !["smooth", "killed", "stopped", "drained", "gateway", "lobby", "redis"].into_iter().any(wanted) {
        return;
    }
    let mut cluster = Cluster::start(GAME_SERVERS);
    println!("starting {games} games of {PLAYERS_PER_GAME} players on {GAME_SERVERS} game servers …");
    let began = Instant::now();
    let mut players = players::start(&cluster, games).await;
    println!("… playing after {:.1} s", began.elapsed().as_secs_f64());
    report::head();
    if wanted("smooth") {
        smooth(&players, runs).await;
    }
    let kill: Fault = |node| {
        node.program.signal("KILL");
        node.program.wait_for_end();
    };
    let stop: Fault = |node| node.program.signal("STOP");
    let drain: Fault = |node| node.program.signal("TERM");
    let of_game_servers = [
        ("killed", "game server killed", "p50 <= 300, p99 <= 1000", kill, false),
        ("stopped", "game server stopped", "+ detection (1500)", stop, true),
        ("drained", "game server drained", "p99 <= 100", drain, false),
    ];
    for (name, title, reach, fault, is_left_over) in of_game_servers {
        if wanted(name) {
            players = fresh(&cluster, players, games).await;
            let figures = Figures::new(title, reach);
            game_server(&mut cluster, &players, figures, runs, fault, is_left_over).await;
        }
    }
    if wanted("lobby") {
        players = fresh(&cluster, players, games).await;
        let mut figures = Figures::new("lobby killed", "0 (a step is 50)");
        for _ in 0..runs.min(3) {
            tokio::time::sleep(REST).await;
            cluster.lobby.program.signal("STOP");
            figures.add(pauses(&players, |_| true, || {}).await);
            cluster.lobby.program.signal("CONT");
        }
        figures.print();
    }
    if wanted("redis") {
        players = fresh(&cluster, players, games).await;
        let mut figures = Figures::new("Redis killed and restarted", "");
        for _ in 0..runs.min(3) {
            tokio::time::sleep(REST).await;
            figures.add(pauses(&players, |_| true, || cluster.redis.restart()).await);
        }
        figures.print();
    }
    if wanted("gateway") {
        gateway(&mut cluster, games, runs, players).await;
    }
}

/// New games in the place of old ones, which end by themselves after ten minutes.
async fn fresh(cluster: &Cluster, players: Vec<Player>, games: usize) -> Vec<Player> {
    drop(players);
    players::start(cluster, games).await
}

/// What players notice when nothing happens.
async fn smooth(players: &[Player], runs: usize) {
    let mut figures = Figures::new("nothing happens", "(a step is 50)");
    for _ in 0..runs.min(3) {
        figures.add(pauses(players, |_| true, || {}).await);
    }
    figures.print();
}

/// Takes the busiest game server out, run by run. A process that the fault leaves over is ended after its run.
async fn game_server(
    cluster: &mut Cluster,
    players: &[Player],
    mut figures: Figures,
    runs: usize,
    fault: Fault,
    is_left_over: bool,
) {
    for _ in 0..runs {
        tokio::time::sleep(REST).await;
        let mut node = cluster.take_busiest();
        let servers = cluster.servers_of(players.iter().map(|player| player.game.clone()));
        let concerned = |index: usize| servers[index] == node.slot;
        let concerned: Vec<bool> = (0..players.len()).map(concerned).collect();
        figures.add(pauses(players, |index| concerned[index], || fault(&mut node)).await);
        if is_left_over {
            node.program.signal("KILL");
        }
        node.program.wait_for_end();
        cluster.add_game_server();
    }
    figures.print();
}

async fn gateway(cluster: &mut Cluster, games: usize, runs: usize, mut players: Vec<Player>) {
    let mut figures = Figures::new("gateway killed", "p99 <= 1000");
    for _ in 0..runs {
        // Clients know the gateways that they were told of, so they begin anew with those that there are.
        players = fresh(cluster, players, games).await;
        tokio::time::sleep(REST).await;
        let mut node = cluster.gateways.remove(0);
        let kill = || {
            node.program.signal("KILL");
            node.program.wait_for_end();
        };
        figures.add(pauses(&players, |index| players[index].gateway == 0, kill).await);
        cluster.add_gateway();
    }
    figures.print();
}

/// The pauses of those who are concerned around a fault.
async fn pauses(players: &[Player], concerned: impl Fn(usize) -> bool, fault: impl FnOnce()) -> Vec<Duration> {
    players.iter().for_each(Player::forget);
    // A fault waits for processes to end, which must not hold the players up.
    tokio::task::yield_now().await;
    fault();
    tokio::time::sleep(WINDOW).await;
    let deadline = Instant::now() + PATIENCE;
    while !players.iter().all(|player| player.plays() || player.is_over()) {
        if Instant::now() > deadline {
            let lost = players.iter().filter(|player| !player.plays() && !player.is_over()).count();
            println!("  {lost} players hear nothing from their games any more");
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let over = players.iter().filter(|player| player.is_over()).count();
    if over > 0 {
        println!("  {over} players' games are over");
    }
    let concerned = players.iter().enumerate().filter(|(index, player)| concerned(*index) && !player.is_over());
    concerned.map(|(_, player)| player.pause()).collect()
}
