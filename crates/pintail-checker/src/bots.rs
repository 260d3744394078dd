//! The players: they send numbers, and tell the audit of their game all that they do and are told.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use pintail::client::{Client, ClientConfig, CreateRoom, Event, Events, GameEndReason, GameId};
use pintail::{Payload as _, Player, Postcard};
use thiserror::Error;
use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval, sleep, timeout};

use crate::audit::{At, GameAudit, Observation};
use crate::cluster::lock;
use crate::diary::Diary;
use crate::ledger::{Entered, Said, padding};

/// How long players may take to be seated before anything goes wrong.
const SEATED_WITHIN: Duration = Duration::from_secs(30);

/// How often a start is tried that was refused.
const RETRY: Duration = Duration::from_millis(50);

/// How often a player looks at what was acknowledged.
const LOOK: Duration = Duration::from_millis(50);

/// What the players are to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// Send numbers.
    Playing,
    /// Send nothing more.
    Quiet,
    /// End the games.
    Ending,
}

/// A game and its audit.
#[derive(Debug)]
pub struct Table {
    /// The game.
    pub id: GameId,
    began: Instant,
    diary: Arc<Diary>,
    audit: Mutex<GameAudit>,
}

/// Why players could not be seated.
#[derive(Debug, Error)]
#[error("the players of game {game} could not be seated ({why}): look into the servers' logs")]
pub struct NotSeated {
    game: usize,
    why: String,
}

/// Who is to play what.
#[derive(Debug, Clone)]
pub struct Invitation {
    /// Which game of the run.
    pub game: usize,
    /// The type.
    pub game_type: &'static str,
    /// How many players.
    pub players: usize,
    /// How many inputs a player sends in a second.
    pub rate: u32,
    /// Where players connect.
    pub gateways: Vec<SocketAddr>,
    /// When the run began.
    pub began: Instant,
    /// Where it is noted what happens to players.
    pub diary: Arc<Diary>,
}

/// A player at the table.
struct Bot {
    player: Player,
    client: Client,
    events: Events,
    table: Arc<Table>,
}

impl Table {
    /// The audit.
    pub fn audit(&self) -> MutexGuard<'_, GameAudit> {
        lock(&self.audit)
    }

    /// Now, as the audit counts time.
    #[must_use]
    pub fn now(&self) -> At {
        self.began.elapsed()
    }

    fn observe(&self, player: Player, observation: Observation) {
        let at = self.now();
        self.audit().observe(at, player, observation);
    }
}

/// Brings players together, starts their game, and lets them play until the game is over. Must be called in a runtime.
///
/// # Errors
/// If they could not be seated in time.
pub async fn seat(invitation: Invitation, phase: &watch::Receiver<Phase>) -> Result<Arc<Table>, NotSeated> {
    let game = invitation.game;
    let not_seated = |why: String| NotSeated { game, why };
    let seated = timeout(SEATED_WITHIN, try_to_seat(&invitation)).await;
    let (table, bots) = seated.map_err(|_| not_seated("it took too long".to_owned()))?.map_err(not_seated)?;
    for bot in bots {
        tokio::spawn(bot.play(phase.clone(), invitation.rate));
    }
    Ok(table)
}

async fn try_to_seat(invitation: &Invitation) -> Result<(Arc<Table>, Vec<Bot>), String> {
    let mut clients: Vec<(Client, Events)> = Vec::new();
    let mut invite = String::new();
    for number in 0..invitation.players {
        let (client, events) = connect(invitation, number).await?;
        if number == 0 {
            let room = CreateRoom {
                game: invitation.game_type.to_owned(),
                private: true,
                players_max: invitation.players as u32,
                ..CreateRoom::default()
            };
            invite = client.create_room(room).await.map_err(|error| error.to_string())?.invite;
        } else {
            client.join_by_invite(&invite).await.map_err(|error| error.to_string())?;
            client.set_ready(true).await.map_err(|error| error.to_string())?;
        }
        clients.push((client, events));
    }
    while clients[0].0.start_game().await.is_err() {
        sleep(RETRY).await;
    }
    let mut seated = Vec::new();
    for (client, mut events) in clients {
        let (id, player) = welcome(&mut events).await.ok_or("a client ended")?;
        seated.push((id, player, client, events));
    }
    let id = seated[0].0;
    let name = format!("{} {id}", invitation.game_type);
    let audit = Mutex::new(GameAudit::new(name, invitation.players));
    let table = Arc::new(Table { id, began: invitation.began, diary: Arc::clone(&invitation.diary), audit });
    let bots = seated.into_iter().map(|(_, player, client, events)| {
        table.observe(player, Observation::Attached);
        Bot { player, client, events, table: Arc::clone(&table) }
    });
    let bots = bots.collect();
    Ok((table, bots))
}

async fn connect(invitation: &Invitation, number: usize) -> Result<(Client, Events), String> {
    let addresses = invitation.gateways.iter().map(|address| address.to_string().parse());
    let addresses = addresses.collect::<Result<Vec<_>, _>>().map_err(|error| format!("{error}"))?;
    let config = ClientConfig::new(addresses, format!("player {number}"));
    Client::connect(config).await.map_err(|error| error.to_string())
}

/// Waits until the game says which seat is the player's. It is the first thing that it says.
async fn welcome(events: &mut Events) -> Option<(GameId, Player)> {
    loop {
        if let Event::GameMessage { game, payload, .. } = events.next().await?
            && let Ok(Postcard(Said::Welcome { you })) = Postcard::decode(&payload)
        {
            return Some((game, you));
        }
    }
}

impl Bot {
    async fn play(mut self, phase: watch::Receiver<Phase>, rate: u32) {
        let (player, table) = (self.player, Arc::clone(&self.table));
        let client = &self.client;
        let sent = watch::Sender::new(0);
        let send = async {
            let sent_any = send_numbers(client, player, &table, phase.clone(), rate, &sent).await;
            if sent_any && player.index() == 0 {
                end(client, phase).await;
            }
            std::future::pending::<()>().await;
        };
        let listen = listen(&mut self.events, client, player, &table, &sent);
        tokio::select! {
            () = send => {}
            () = listen => {}
        }
    }
}

/// Sends one number after the other while the phase is to play. Returns whether the game is still there.
async fn send_numbers(
    client: &Client,
    player: Player,
    table: &Table,
    mut phase: watch::Receiver<Phase>,
    rate: u32,
    sent: &watch::Sender<u64>,
) -> bool {
    let mut ticks = interval(Duration::from_secs(1) / rate.max(1));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    let mut number = 0;
    loop {
        tokio::select! {
            biased;
            changed = phase.wait_for(|phase| *phase != Phase::Playing) => return changed.is_ok(),
            _ = ticks.tick() => {}
        }
        number += 1;
        table.observe(player, Observation::Sent(number));
        sent.send_replace(number);
        let input = Postcard(Entered::Number { number, padding: padding(player, number) });
        if client.send(input.encode()).await.is_err() {
            // What the client tells last says why.
            return false;
        }
    }
}

async fn end(client: &Client, mut phase: watch::Receiver<Phase>) {
    if phase.wait_for(|phase| *phase == Phase::Ending).await.is_ok() {
        // If there is no game any more, the audit knows.
        let _ = client.send(Postcard(Entered::End).encode()).await;
    }
}

/// Tells the audit all that the player is told, until the game is over.
async fn listen(events: &mut Events, client: &Client, player: Player, table: &Table, sent: &watch::Sender<u64>) {
    let mut looks = interval(LOOK);
    let mut acknowledged = 0;
    loop {
        let event = tokio::select! {
            biased;
            event = events.next() => event,
            _ = looks.tick() => {
                // The last input ends the game, and is no number.
                let now = client.inputs().acknowledged.min(*sent.borrow());
                if std::mem::replace(&mut acknowledged, now) != now {
                    table.observe(player, Observation::Acknowledged(now));
                }
                continue;
            }
        };
        let Some(event) = event else {
            return table.observe(player, Observation::Closed("the client ended".to_owned()));
        };
        if let Some(noteworthy) = noteworthy(&event) {
            table.diary.note(table.now(), format_args!("{} player {player}: {noteworthy}", table.id));
        }
        for observation in observations(event) {
            let is_last = matches!(observation, Observation::Ended { .. } | Observation::Closed(_));
            table.observe(player, observation);
            if is_last {
                return;
            }
        }
    }
}

/// What is worth a note: what happens to connections and streams.
fn noteworthy(event: &Event) -> Option<String> {
    Some(match event {
        Event::Connected { gateway, .. } => format!("connected to {gateway}"),
        Event::Disconnected { why } => format!("disconnected: {why}"),
        Event::GamePaused { why, .. } => format!("paused: {why:?}"),
        Event::GameResumed { resynchronised, .. } => format!("resumed, resynchronised: {resynchronised}"),
        Event::GameEnded { reason, .. } => format!("ended: {}", reason.as_str_name()),
        Event::GameDetached { message, .. } => format!("detached: {message}"),
        Event::Ended(why) => format!("the client ended: {why}"),
        _ => return None,
    })
}

/// What an event of the client means to the audit.
fn observations(event: Event) -> Vec<Observation> {
    match event {
        Event::GameMessage { step, payload, .. } | Event::GameState { step, payload, .. } => {
            match Postcard::decode(&payload) {
                Ok(Postcard(Said::Applied(applied))) => vec![Observation::Applied { step: step.0, applied }],
                Ok(Postcard(Said::Position(position))) => vec![Observation::Position { step: step.0, position }],
                Ok(Postcard(Said::Welcome { .. })) => vec![Observation::Closed("it was welcomed twice".to_owned())],
                Err(error) => vec![Observation::Closed(format!("the game said what it never says: {error}"))],
            }
        }
        Event::GameAttached { resynchronised, .. } | Event::GameResumed { resynchronised, .. } => {
            let hole = resynchronised.then_some(Observation::Resynchronised);
            [Observation::Attached].into_iter().chain(hole).collect()
        }
        Event::GamePaused { .. } => vec![Observation::Interrupted],
        Event::GameDetached { message, .. } => vec![Observation::Closed(message)],
        Event::GameEnded { reason, result, message, .. } => {
            let is_finished = reason == GameEndReason::Finished;
            let book = is_finished.then(|| serde_json::from_str(&result).ok()).flatten();
            vec![Observation::Ended { reason: format!("{} {message}", reason.as_str_name()), book }]
        }
        Event::RoomLeft { reason, .. } => vec![Observation::Closed(format!("it lost its room: {reason:?}"))],
        Event::Ended(why) => vec![Observation::Closed(why.to_string())],
        Event::Room(_) | Event::Chat(_) | Event::Connected { .. } | Event::Disconnected { .. } => Vec::new(),
    }
}
