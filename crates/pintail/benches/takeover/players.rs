//! Players of arena who note when they hear from their game.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bytes::Bytes;
use pintail::client::{Address, Client, ClientConfig, CreateRoom, Event, Events, RoomState, Step};
use pintail_arena::Input;
use pintail_game::{Payload, Postcard};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::cluster::Cluster;

/// How many players a game has.
pub(crate) const PLAYERS_PER_GAME: usize = 4;

/// How often a player moves or shoots.
const INPUT_PERIOD: Duration = Duration::from_millis(500);

/// How long anything may take that should be there soon.
const PATIENCE: Duration = Duration::from_secs(60);

/// How many rooms are opened at once at the beginning.
const ROOMS_AT_ONCE: usize = 16;

/// The longest round that there is, and nobody wins before its end.
const SETTINGS: &str = r#"{"round_seconds": 600, "score_to_win": 100}"#;

/// What a player has heard from the game.
#[derive(Debug)]
struct Heard {
    step: Step,
    at: Instant,
    /// The longest time without anything newer, since it was last asked.
    longest: Duration,
    is_over: bool,
}

/// One player.
pub(crate) struct Player {
    /// The room and round that are played.
    pub(crate) game: String,
    /// The gateway that the player logged in at.
    pub(crate) gateway: usize,
    heard: Arc<Mutex<Heard>>,
    task: JoinHandle<()>,
}

impl Drop for Player {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Player {
    /// Forgets the pauses until now. One that goes on counts from its beginning.
    pub(crate) fn forget(&self) {
        self.heard().longest = Duration::ZERO;
    }

    /// The longest pause since then.
    pub(crate) fn pause(&self) -> Duration {
        let heard = self.heard();
        heard.longest.max(heard.at.elapsed())
    }

    /// Whether the player hears from the game all the time.
    pub(crate) fn plays(&self) -> bool {
        self.heard().at.elapsed() < Duration::from_millis(500)
    }

    /// Whether the game is over.
    pub(crate) fn is_over(&self) -> bool {
        self.heard().is_over
    }

    fn heard(&self) -> std::sync::MutexGuard<'_, Heard> {
        self.heard.lock().expect("nobody panics with it")
    }
}

/// Starts so many games, and waits until all are played.
pub(crate) async fn start(cluster: &Cluster, games: usize) -> Vec<Player> {
    let addresses: Vec<Address> =
        cluster.gateways.iter().map(|gateway| gateway.address.to_string().parse().expect("an address")).collect();
    let mut players = Vec::with_capacity(games * PLAYERS_PER_GAME);
    while players.len() < games * PLAYERS_PER_GAME {
        let rooms = ROOMS_AT_ONCE.min(games - players.len() / PLAYERS_PER_GAME);
        let opened = (0..rooms).map(|_| tokio::spawn(open_game(addresses.clone())));
        for room in opened.collect::<Vec<_>>() {
            players.extend(room.await.expect("a game starts"));
        }
    }
    players
}

async fn open_game(addresses: Vec<Address>) -> Vec<Player> {
    let mut clients = Vec::new();
    for number in 0..PLAYERS_PER_GAME {
        let mut config = ClientConfig::new(addresses.clone(), format!("player {number}"));
        // Each begins at another gateway, and tries the others when it is gone.
        let gateway = number % addresses.len();
        config.first_address = Some(gateway);
        clients.push((Client::connect(config).await.expect("the gateway lets players in"), gateway));
    }
    let ((owner, _), _) = &clients[0];
    let room = CreateRoom { game: "arena".to_owned(), settings: SETTINGS.to_owned(), ..CreateRoom::default() };
    let room = owner.create_room(room).await.expect("a room");
    for ((client, _), _) in &clients[1..] {
        client.join_by_invite(&room.invite).await.expect("a place in the room");
        client.set_ready(true).await.expect("the room takes it");
    }
    let room = owner.start_game().await.expect("a game server");
    assert_eq!(room.state(), RoomState::Playing);
    let game = format!("{:016x}-{}", room.id, room.round);
    let mut players = Vec::new();
    for ((client, mut events), gateway) in clients {
        attached(&mut events).await;
        let now = Instant::now();
        let heard = Heard { step: Step(0), at: now, longest: Duration::ZERO, is_over: false };
        let heard = Arc::new(Mutex::new(heard));
        let task = tokio::spawn(play(client, events, heard.clone()));
        players.push(Player { game: game.clone(), gateway, heard, task });
    }
    players
}

async fn attached(events: &mut Events) {
    let attached = async {
        while let Some(event) = events.next().await {
            if matches!(event, Event::GameAttached { .. }) {
                return;
            }
        }
        panic!("the client ended");
    };
    timeout(PATIENCE, attached).await.expect("the game is there soon");
}

async fn play(client: Client, mut events: Events, heard: Arc<Mutex<Heard>>) {
    // Players act at different times.
    let offset = INPUT_PERIOD.mul_f64(rand::random::<f64>());
    let mut acts = tokio::time::interval_at(tokio::time::Instant::now() + offset, INPUT_PERIOD);
    acts.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut turn = 0_u16;
    loop {
        tokio::select! {
            event = events.next() => match event {
                Some(Event::GameState { step, .. }) => note(&heard, step),
                Some(Event::GameEnded { .. }) | None => break,
                Some(_) => {}
            },
            _ = acts.tick() => {
                turn = turn.wrapping_add(1);
                if client.send(act(turn)).await.is_err() {
                    break;
                }
            }
        }
    }
    heard.lock().expect("nobody panics with it").is_over = true;
}

/// Walks in a square, and shoots now and then.
fn act(turn: u16) -> Bytes {
    let input = match turn % 8 {
        0 => Input::Move { x: 1, y: 0 },
        2 => Input::Move { x: 0, y: 1 },
        4 => Input::Move { x: -1, y: 0 },
        6 => Input::Move { x: 0, y: -1 },
        odd => Input::Shoot { x: 3 - odd as i16, y: 1 },
    };
    Postcard(input).encode()
}

fn note(heard: &Mutex<Heard>, step: Step) {
    let mut heard = heard.lock().expect("nobody panics with it");
    if step > heard.step {
        let now = Instant::now();
        heard.longest = heard.longest.max(now - heard.at);
        (heard.step, heard.at) = (step, now);
    }
}
