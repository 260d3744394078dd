//! Each scenario of the stress test on a real cluster: everything that is sent is accounted for. Nothing is said of speed.

#![allow(clippy::unwrap_used, reason = "a test that fails says where")]

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use pintail_bench::bot::{Bot, BotContext, BotKind, Inputs};
use pintail_bench::report::{Run, Sample};
use pintail_bench::scenario::{self, Cycle, EchoGame, RequestLimit};
use pintail_bench::{DriveError, Gateways, LoadShape, Order, Phase, Scenario, Unmetered, drive};
use pintail_testkit::{Program, RedisServer};
use tokio_util::sync::CancellationToken;

/// Far more than any of these takes, for machines that are busy.
const PATIENCE: Duration = Duration::from_secs(120);

/// A whole cluster in one process.
struct Cluster {
    tcp: String,
    websocket: String,
    program: Program,
}

impl Cluster {
    fn start() -> Self {
        let (program, [tcp, http]) = support::dev("");
        Self { tcp, websocket: format!("{}/ws", http.replace("http://", "ws://")), program }
    }

    fn order(&self, scenario: Scenario, players: u64) -> Order {
        Order {
            gateways: Gateways::plain(vec![self.tcp.parse().unwrap()]),
            scenario,
            load: LoadShape::Constant(players),
            warm_up: Duration::from_millis(200),
            measure: Duration::from_millis(1500),
            seed: 7,
        }
    }
}

/// Drives a load and gives the run, and what was shown meanwhile.
fn load(order: &Order) -> (Run, Vec<(Phase, Sample)>) {
    let (run, seen) = try_load(order, &CancellationToken::new());
    let run = run.unwrap();
    // What is measured has a name that conditions can be checked by.
    if !matches!(order.scenario, Scenario::Bots(_)) {
        let known = order.scenario.measures();
        assert!(run.measures.keys().all(|name| known.contains(&name.as_str())), "{known:?}: {:?}", run.measures.keys());
    }
    (run, seen)
}

fn try_load(order: &Order, stop: &CancellationToken) -> (Result<Run, DriveError>, Vec<(Phase, Sample)>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let mut seen = Vec::new();
    let mut watch = |phase: Phase, sample: &Sample| seen.push((phase, sample.clone()));
    let mut meter = Unmetered;
    let driven = drive(order, &mut meter, &mut watch, stop);
    let run = runtime.block_on(async { tokio::time::timeout(PATIENCE, driven).await.unwrap() });
    (run, seen)
}

/// Nothing went wrong, and the parts of the run agree with each other.
#[track_caller]
fn assert_sound(run: &Run) {
    assert_eq!(run.errors, [].into(), "{:?}", run.counts);
    let primary = &run.measures[&run.primary];
    assert_eq!(run.measures.values().map(|measure| measure.lost).sum::<u64>(), 0);
    assert!(primary.count > 0 && primary.max >= primary.p99 && primary.p99 >= primary.p50, "{primary:?}");
    assert_eq!(run.series.iter().map(|sample| sample.sent).sum::<u64>(), count(run, "sent"));
    assert_eq!(run.series.iter().map(|sample| sample.received).sum::<u64>(), count(run, "received"));
    assert!(run.seconds > 0.0 && run.series.last().unwrap().at <= run.seconds);
}

fn count(run: &Run, name: &str) -> u64 {
    run.counts.get(name).copied().unwrap_or_default()
}

#[test]
fn every_echo_of_the_window_is_measured_over_tcp_and_websocket() {
    let cluster = Cluster::start();
    for (gateway, game) in [(&cluster.tcp, EchoGame::Ephemeral), (&cluster.websocket, EchoGame::Journaled)] {
        let echo = scenario::Echo { payload_bytes: 64, game };
        let order = Order {
            gateways: Gateways::plain(vec![gateway.parse().unwrap()]),
            ..cluster.order(Scenario::Echo(echo), 5)
        };
        let (run, seen) = load(&order);
        assert_sound(&run);
        assert_eq!(run.players, 5);
        assert_eq!(run.operations(), count(&run, "sent"), "each one sent is answered");
        assert!(seen.iter().any(|(phase, sample)| *phase == Phase::Measure && sample.p50.is_some()));
    }
}

#[test]
fn every_broadcast_reaches_all_others_at_the_rate_that_was_asked_for() {
    let cluster = Cluster::start();
    let broadcast = scenario::Broadcast { room_players: 4, per_second: 20.0, payload_bytes: 32 };
    // Rounded up to whole rooms.
    let (run, _) = load(&cluster.order(Scenario::Broadcast(broadcast), 7));
    assert_sound(&run);
    assert_eq!(run.players, 8);
    let deliveries = run.measures["delivery"].count;
    assert_eq!(deliveries % 3, 0, "each message has three receivers");
    // As many as were due in the window, one more or less for each player.
    let due = (run.seconds * 20.0) as u64;
    let each = deliveries / 3 / 8;
    assert!((due - 1..=due + 1).contains(&each), "{each} of {due} in {} s", run.seconds);
}

/// A load of messages that are due whether the servers can take them or not, in whose window these servers get a signal.
fn broadcast_until(name: &str) -> Run {
    let cluster = Cluster::start();
    let broadcast = scenario::Broadcast { room_players: 4, per_second: 20.0, payload_bytes: 32 };
    let order = Order { measure: Duration::from_secs(3), ..cluster.order(Scenario::Broadcast(broadcast), 8) };
    let mut is_struck = false;
    let mut watch = |phase: Phase, _: &Sample| {
        if phase == Phase::Measure && !std::mem::replace(&mut is_struck, true) {
            cluster.program.signal(name);
        }
    };
    let (mut meter, stop) = (Unmetered, CancellationToken::new());
    let driven = drive(&order, &mut meter, &mut watch, &stop);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let run = runtime.block_on(async { tokio::time::timeout(PATIENCE, driven).await.unwrap() }).unwrap();
    if name == "STOP" {
        cluster.program.signal("CONT");
    }
    run
}

/// Everything that was due in the window is there, done or lost.
fn assert_nothing_is_left_out(run: &Run) {
    let deliveries = &run.measures["delivery"];
    assert!(deliveries.lost > 0 && run.operations() > 0, "{deliveries:?}");
    // Each of eight players has twenty moves a second, each with three receivers, and each player one more or less at either end.
    let due = run.seconds * 8.0 * 20.0 * 3.0;
    assert!((deliveries.count as f64 - due).abs() <= 2.0 * 8.0 * 3.0, "{deliveries:?} where {due} were due");
    assert_eq!(run.operations(), deliveries.count - deliveries.lost);
    assert_eq!(run.errors.get("delivery never done"), Some(&deliveries.lost), "{:?}", run.errors);
}

#[test]
fn what_a_server_never_delivers_is_lost_and_not_throughput() {
    let run = broadcast_until("STOP");
    assert_nothing_is_left_out(&run);
    // The server stood still from the window's first second on, and for the three that follow it.
    let deliveries = &run.measures["delivery"];
    assert!(deliveries.max > 3_200_000, "it counts as long as it was waited for: {deliveries:?}");
}

#[test]
fn what_players_without_a_server_should_have_sent_is_lost() {
    let run = broadcast_until("KILL");
    assert_nothing_is_left_out(&run);
}

#[test]
fn half_of_a_matchs_messages_are_answered_to_all() {
    let cluster = Cluster::start();
    let settings = scenario::Match { room_players: 5, per_second: 10.0, payload_bytes: 32 };
    let (run, _) = load(&cluster.order(Scenario::Match(settings), 10));
    assert_sound(&run);
    let (all, alone) = (count(&run, "asked of all"), count(&run, "asked alone"));
    assert!(all.abs_diff(alone) <= 10, "{all} and {alone}: they differ by one for each player at most");
    assert!(all > 0);
}

#[test]
fn bots_fight_in_the_arena() {
    let cluster = Cluster::start();
    let (run, _) = load(&cluster.order(Scenario::Arena(scenario::Arena { room_players: 4 }), 4));
    assert_sound(&run);
    assert_eq!(run.primary, "input");
    assert!(count(&run, "received") > count(&run, "sent"), "20 states a second for 10 inputs: {:?}", run.counts);
}

#[test]
fn workers_make_rooms_and_whole_games_beyond_what_one_player_may() {
    let cluster = Cluster::start();
    for (cycle, name, step) in [(Cycle::Rooms, "room", "join room"), (Cycle::WholeGames, "game", "start game")] {
        let lobby = scenario::Lobby { cycle, requests: RequestLimit::Respected };
        let (run, _) = load(&cluster.order(Scenario::Lobby(lobby), 3));
        assert_sound(&run);
        assert_eq!(run.players, 3);
        // The last cycle of each worker may have begun in the window, and its step after it.
        assert!(run.measures[step].count + 3 >= run.measures[name].count, "{name}");
    }
}

#[test]
fn players_log_in_at_their_rate_and_stay() {
    let cluster = Cluster::start();
    let connect = scenario::Connect { per_second: Some(40.0) };
    let (run, _) = load(&cluster.order(Scenario::Connect(connect), 40));
    assert_sound(&run);
    assert_eq!((run.players, run.measures["login"].count), (40, 36), "a tenth was there before");
    let at_once = scenario::Connect { per_second: None };
    let (run, _) = load(&cluster.order(Scenario::Connect(at_once), 200));
    assert_sound(&run);
    assert_eq!((run.players, run.measures["login"].count), (200, 180));
}

#[test]
fn players_come_and_go() {
    let cluster = Cluster::start();
    let churn = scenario::Churn { stay: Duration::from_millis(300) };
    let (run, _) = load(&cluster.order(Scenario::Churn(churn), 6));
    assert_sound(&run);
    assert!(count(&run, "logins") > 6, "others took their places: {:?}", run.counts);
    for measure in ["arrival", "input", "chat", "quick match", "list rooms", "leave room"] {
        assert!(run.measures[measure].count > 0, "{measure}");
    }
}

#[test]
fn a_ramp_brings_more_players_while_it_is_measured() {
    let cluster = Cluster::start();
    let ramp = LoadShape::Ramp { from: 2, to: 10, over: Duration::from_secs(1) };
    let scenario = Scenario::Broadcast(scenario::Broadcast { room_players: 2, ..Default::default() });
    let (run, seen) =
        load(&Order { load: ramp, measure: Duration::from_secs(2), ..cluster.order(scenario.clone(), 0) });
    assert_sound(&run);
    assert_eq!(run.players, 10);
    assert!(seen.iter().filter(|(phase, _)| *phase == Phase::WarmUp).all(|(_, sample)| sample.players == 2));
}

#[test]
fn a_ramp_sends_players_home_and_what_they_have_under_way_is_no_fault() {
    let cluster = Cluster::start();
    let down = LoadShape::Ramp { from: 12, to: 2, over: Duration::from_secs(1) };
    let scenarios = [
        // Each has a message in flight at any time.
        Scenario::Echo(scenario::Echo::default()),
        Scenario::Broadcast(scenario::Broadcast { room_players: 2, per_second: 200.0, payload_bytes: 32 }),
        Scenario::Arena(scenario::Arena { room_players: 2 }),
        Scenario::Churn(scenario::Churn::default()),
        Scenario::Lobby(scenario::Lobby::default()),
        Scenario::Lobby(scenario::Lobby { cycle: Cycle::WholeGames, requests: RequestLimit::Respected }),
    ];
    for scenario in scenarios {
        let name = format!("{scenario:?}");
        let (run, _) = load(&Order { load: down, measure: Duration::from_secs(2), ..cluster.order(scenario, 0) });
        assert_sound(&run);
        // Those who come and go are not all there at once.
        assert!((3..=12).contains(&run.players), "{name}: {}", run.players);
        assert!(run.series.last().unwrap().players <= 2, "{name}");
    }
}

/// Throws what it is sent back at the game, three times, then leaves.
struct Juggler(u32);

impl Bot for Juggler {
    fn begin(&mut self, ctx: &mut BotContext<'_>) {
        assert_eq!((ctx.place(), ctx.room_players()), (0, 1));
        ctx.send(b"ball");
    }

    fn message(&mut self, ctx: &mut BotContext<'_>, payload: &[u8]) {
        assert_eq!(payload, b"ball");
        ctx.count("caught", 1);
        self.0 += 1;
        if self.0 == 3 { ctx.leave() } else { _ = ctx.send(payload) }
    }
}

#[test]
fn the_bots_of_an_author_play_and_leave_and_others_take_their_places() {
    let cluster = Cluster::start();
    let kind = BotKind {
        name: "juggle".to_owned(),
        game: "echo".to_owned(),
        settings: String::new(),
        room_players: 1,
        every: None,
        inputs: Inputs::Measured,
        primary: "input",
        make: Arc::new(|_| Box::new(Juggler(0))),
    };
    let (run, _) = load(&cluster.order(Scenario::Bots(kind), 3));
    assert_sound(&run);
    assert!(count(&run, "caught") >= 9 && count(&run, "logins") > 3, "{:?}", run.counts);
}

/// Throws a ball, and drops the first one of all that comes back.
struct Clumsy(Arc<AtomicU32>);

impl Bot for Clumsy {
    fn begin(&mut self, ctx: &mut BotContext<'_>) {
        ctx.send(b"ball");
    }

    fn message(&mut self, ctx: &mut BotContext<'_>, payload: &[u8]) {
        assert!(self.0.fetch_add(1, Ordering::Relaxed) > 0, "this panic belongs to the test");
        ctx.send(payload);
    }
}

#[test]
fn a_bot_that_panics_is_an_error_and_others_take_its_rooms_place() {
    let cluster = Cluster::start();
    let caught = Arc::new(AtomicU32::new(0));
    let kind = BotKind { room_players: 2, ..BotKind::new("clumsy", "echo", move |_| Clumsy(caught.clone())) };
    let (run, _) = load(&cluster.order(Scenario::Bots(kind), 4));
    assert_eq!(run.errors, [("a bot panicked".to_owned(), 1)].into(), "{:?}", run.counts);
    assert_eq!(run.series.last().unwrap().players, 4);
}

#[test]
fn a_load_that_is_stopped_tells_what_was_measured_so_far() {
    let cluster = Cluster::start();
    let order = Order { measure: PATIENCE * 10, ..cluster.order(Scenario::Echo(scenario::Echo::default()), 2) };
    let stop = CancellationToken::new();
    let stopper = stop.clone();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let mut watch = |phase: Phase, _: &Sample| {
        if phase == Phase::Measure {
            stopper.cancel();
        }
    };
    let mut meter = Unmetered;
    let driven = drive(&order, &mut meter, &mut watch, &stop);
    let run = runtime.block_on(async { tokio::time::timeout(PATIENCE, driven).await.unwrap() }).unwrap();
    assert_sound(&run);
    let stopped_before = try_load(&order, &stop).0.unwrap();
    assert_eq!((stopped_before.measures["round trip"].count, stopped_before.errors), (0, [].into()));
}

#[test]
fn players_go_on_after_a_gateway_and_a_game_server_died_and_nothing_is_lost() {
    let redis = RedisServer::start();
    let _lobby = support::start("lobby", &redis);
    let (mut games, mut gateways) = (Vec::new(), Vec::new());
    for _ in 0..2 {
        games.push(support::start("game", &redis));
        gateways.push(support::start("gateway", &redis));
    }
    let echo = scenario::Echo { payload_bytes: 16, game: EchoGame::Journaled };
    let order = Order {
        gateways: Gateways::plain(
            gateways.iter().map(|gateway| gateway.address.to_string().parse().unwrap()).collect(),
        ),
        scenario: Scenario::Echo(echo),
        load: LoadShape::Constant(6),
        warm_up: Duration::ZERO,
        measure: Duration::from_secs(8),
        seed: 7,
    };
    let mut seconds = 0;
    let mut watch = |phase: Phase, _: &Sample| {
        seconds += u32::from(phase == Phase::Measure);
        match (phase, seconds) {
            (Phase::Measure, 1) => gateways.pop().unwrap().kill(),
            (Phase::Measure, 3) => games.pop().unwrap().kill(),
            _ => {}
        }
    };
    let (mut meter, stop) = (Unmetered, CancellationToken::new());
    let driven = drive(&order, &mut meter, &mut watch, &stop);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let run = runtime.block_on(async { tokio::time::timeout(PATIENCE, driven).await.unwrap() }).unwrap();
    let expected = ["connection lost", "no connection", "game paused"];
    let is_expected = |what: &String| expected.iter().any(|expected| what.starts_with(expected));
    assert!(run.errors.keys().all(is_expected), "{:?}", run.errors);
    assert!(run.errors.keys().any(|what| what.starts_with("game paused")), "{:?}", run.errors);
    assert!(count(&run, "resumed") >= 1, "{:?}", run.counts);
    assert_eq!(run.operations(), count(&run, "sent"), "each one sent is answered once: {:?}", run.errors);
    assert_eq!(run.series.last().unwrap().players, 6);
}

#[test]
fn a_cluster_that_is_not_there_or_has_no_such_game_is_named() {
    let cluster = Cluster::start();
    let nobody = Order { gateways: Gateways::default(), ..cluster.order(Scenario::Echo(scenario::Echo::default()), 1) };
    let error = try_load(&nobody, &CancellationToken::new()).0.unwrap_err();
    assert!(matches!(error, DriveError::NoGateway), "{error}");
    let kind = |name: &str| BotKind {
        name: name.to_owned(),
        game: name.to_owned(),
        settings: String::new(),
        room_players: 1,
        every: None,
        inputs: Inputs::Unmeasured,
        primary: "x",
        make: Arc::new(|_| Box::new(Juggler(0))),
    };
    let error = try_load(&cluster.order(Scenario::Bots(kind("chess")), 1), &CancellationToken::new()).0.unwrap_err();
    assert!(error.to_string().contains("create room refused: UNKNOWN_GAME"), "{error}");
}
