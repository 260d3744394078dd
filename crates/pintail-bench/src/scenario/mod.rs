//! What the players of a stress test do.

mod arena;
mod churn;
mod connect;
mod lobby;
mod relayed;
mod table;

use std::collections::BTreeMap;
use std::fmt;
use std::rc::Rc;
use std::time::{Duration, Instant};

use tokio::task::{AbortHandle, JoinSet};

pub use relayed::PAYLOAD_BYTES_MIN;

use crate::bot::BotKind;
use crate::drive::stage::Ticket;
use crate::drive::{LoadShape, Phase};
use crate::report;

/// How long a player for whom something went wrong waits before it, or another in its place, tries again.
const PAUSE_AFTER_TROUBLE: Duration = Duration::from_millis(500);

/// What the players do.
#[derive(Debug, Clone)]
pub enum Scenario {
    /// Each player is alone in a game of echo and has one message in flight.
    Echo(Echo),
    /// Rooms in which each player's messages go to all others, at a steady rate.
    Broadcast(Broadcast),
    /// The real game, with bots that move and shoot.
    Arena(Arena),
    /// Rooms that are created, joined and left as fast as they can be.
    Lobby(Lobby),
    /// Players that log in, and are then silent but for their pings.
    Connect(Connect),
    /// Players that come, play and chat a moment, and go.
    Churn(Churn),
    /// Rooms of a game at 10 steps a second that answers half of the messages to all, the other half to the sender.
    Match(Match),
    /// Bots of a game's author.
    Bots(BotKind),
}

/// The settings of [`Scenario::Echo`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Echo {
    /// How long a message is.
    pub payload_bytes: usize,
    /// Which of the two types of echo is played.
    pub game: EchoGame,
}

/// Which type of echo is played.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EchoGame {
    /// Games that end with their server.
    Ephemeral,
    /// Games that outlive their server.
    Journaled,
}

impl Default for Echo {
    fn default() -> Self {
        Self { payload_bytes: 64, game: EchoGame::Ephemeral }
    }
}

/// The settings of [`Scenario::Broadcast`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Broadcast {
    /// How many players a room has: 2 to 100.
    pub room_players: u32,
    /// How many messages each player sends in a second.
    pub per_second: f64,
    /// How long a message is: at least [`PAYLOAD_BYTES_MIN`].
    pub payload_bytes: usize,
}

impl Default for Broadcast {
    fn default() -> Self {
        Self { room_players: 10, per_second: 20.0, payload_bytes: 32 }
    }
}

/// The settings of [`Scenario::Arena`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Arena {
    /// How many players a room has: 2 to 16.
    pub room_players: u32,
}

impl Default for Arena {
    fn default() -> Self {
        Self { room_players: 8 }
    }
}

/// The settings of [`Scenario::Lobby`], whose load counts workers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lobby {
    /// What a worker repeats.
    pub cycle: Cycle,
    /// What a worker does about the gateway's limit of requests.
    pub requests: RequestLimit,
}

impl Default for Lobby {
    fn default() -> Self {
        Self { cycle: Cycle::Rooms, requests: RequestLimit::Respected }
    }
}

/// What a lobby worker repeats.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cycle {
    /// One player creates a room, another joins it, both leave.
    Rooms,
    /// One player creates a room, starts a game of echo, attaches, and ends it.
    WholeGames,
}

impl fmt::Display for Cycle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Rooms => "rooms created, joined and left",
            Self::WholeGames => "games started and ended",
        })
    }
}

/// What a lobby worker does about the gateway's limit of requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RequestLimit {
    /// Goes on as new players when it has asked for as much as one may.
    Respected,
    /// Takes no notice of it: for gateways that have none.
    Ignored,
}

impl fmt::Display for RequestLimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Respected => "respected",
            Self::Ignored => "ignored",
        })
    }
}

/// The settings of [`Scenario::Connect`].
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Connect {
    /// How many players log in each second; `None` is as many as can.
    pub per_second: Option<f64>,
}

/// The settings of [`Scenario::Churn`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Churn {
    /// How long a player stays, on average.
    pub stay: Duration,
}

impl Default for Churn {
    fn default() -> Self {
        Self { stay: Duration::from_secs(2) }
    }
}

/// The settings of [`Scenario::Match`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Match {
    /// How many players a room has: 1 to 100.
    pub room_players: u32,
    /// How many messages each player sends in a second.
    pub per_second: f64,
    /// How long a message is: at least [`PAYLOAD_BYTES_MIN`].
    pub payload_bytes: usize,
}

impl Default for Match {
    fn default() -> Self {
        Self { room_players: 10, per_second: 2.0, payload_bytes: 32 }
    }
}

impl Scenario {
    /// Its name on the command line.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Self::Echo(_) => "echo",
            Self::Broadcast(_) => "broadcast",
            Self::Arena(_) => "arena",
            Self::Lobby(_) => "lobby",
            Self::Connect(_) => "connect",
            Self::Churn(_) => "churn",
            Self::Match(_) => "match",
            Self::Bots(kind) => &kind.name,
        }
    }

    /// How many players a room has. A load is made of whole rooms: its players are rounded up to a multiple of this.
    #[must_use]
    pub fn room_players(&self) -> u32 {
        match self {
            Self::Broadcast(broadcast) => broadcast.room_players,
            Self::Arena(arena) => arena.room_players,
            Self::Match(settings) => settings.room_players,
            Self::Bots(kind) => kind.room_players,
            Self::Echo(_) | Self::Lobby(_) | Self::Connect(_) | Self::Churn(_) => 1,
        }
    }

    /// What a load's players are, for people: `players`, or `workers`, each of which is one or two players.
    fn unit(&self) -> &'static str {
        if matches!(self, Self::Lobby(_)) { "workers" } else { "players" }
    }

    /// So many players, made up to whole rooms.
    #[must_use]
    pub fn whole_rooms(&self, players: u64) -> u64 {
        let size = u64::from(self.room_players()).max(1);
        players.div_ceil(size).saturating_mul(size)
    }

    /// Its name and settings for a report.
    #[must_use]
    pub fn describe(&self) -> report::Scenario {
        report::Scenario { name: self.name().to_owned(), unit: self.unit().to_owned(), settings: self.settings() }
    }

    fn settings(&self) -> BTreeMap<String, String> {
        let text = |name: &str, value: String| (name.to_owned(), value);
        let bytes = |bytes: usize| text("payload", format!("{bytes} B"));
        let room = |players: u32| text("players a room", players.to_string());
        let rate = |per_second: f64| text("messages of a player", format!("{per_second}/s"));
        match self {
            Self::Echo(echo) => [bytes(echo.payload_bytes), text("game", echo.bots().game)].into(),
            Self::Broadcast(Broadcast { room_players, per_second, payload_bytes })
            | Self::Match(Match { room_players, per_second, payload_bytes }) => {
                [room(*room_players), rate(*per_second), bytes(*payload_bytes)].into()
            }
            Self::Arena(arena) => [room(arena.room_players)].into(),
            Self::Lobby(lobby) => {
                [text("cycle", lobby.cycle.to_string()), text("request limits", lobby.requests.to_string())].into()
            }
            Self::Connect(connect) => {
                let rate = connect.per_second.map_or("as many as can".to_owned(), |rate| format!("{rate}/s"));
                [text("logins", rate)].into()
            }
            Self::Churn(churn) => [text("stay", format!("{} s on average", churn.stay.as_secs_f64()))].into(),
            Self::Bots(kind) => [room(kind.room_players), text("game", kind.game.clone())].into(),
        }
    }

    /// The measure that the report's figures are of.
    #[must_use]
    pub fn primary(&self) -> &'static str {
        match self {
            Self::Echo(_) => relayed::ROUND_TRIP,
            Self::Broadcast(_) | Self::Match(_) => relayed::DELIVERY,
            Self::Arena(_) => crate::player::seat::INPUT,
            Self::Lobby(Lobby { cycle: Cycle::Rooms, .. }) => lobby::ROOM,
            Self::Lobby(Lobby { cycle: Cycle::WholeGames, .. }) => lobby::GAME,
            Self::Connect(_) => connect::LOGIN,
            Self::Churn(_) => churn::ARRIVAL,
            Self::Bots(kind) => kind.primary,
        }
    }

    /// What else than the primary is timed, though not in every window. Not known of the bots of a game's author.
    #[must_use]
    pub fn measures(&self) -> Vec<&'static str> {
        const GATHERING: [&str; 4] = ["create room", "join room", "ready", "start game"];
        let more: &[&str] = match self {
            Self::Lobby(Lobby { cycle: Cycle::Rooms, .. }) => &["create room", "join room", "leave room"],
            Self::Lobby(Lobby { cycle: Cycle::WholeGames, .. }) => &["create room", "start game"],
            Self::Match(_) => &["lateness", "create room", "join room", "ready", "start game"],
            Self::Connect(_) => &[],
            Self::Churn(_) => {
                &["list rooms", "quick match", "ready", "start game", "chat", "leave room", crate::player::seat::INPUT]
            }
            Self::Echo(_) | Self::Broadcast(_) | Self::Arena(_) | Self::Bots(_) => &GATHERING,
        };
        std::iter::once(self.primary()).chain(more.iter().copied()).collect()
    }

    /// The bots that play, if rooms of bots are all that there is to it.
    fn bots(&self) -> Option<BotKind> {
        match self {
            Self::Echo(echo) => Some(echo.bots()),
            Self::Broadcast(broadcast) => Some(broadcast.bots()),
            Self::Arena(arena) => Some(arena.bots()),
            Self::Match(settings) => Some(settings.bots()),
            Self::Bots(kind) => Some(kind.clone()),
            Self::Lobby(_) | Self::Connect(_) | Self::Churn(_) => None,
        }
    }

    /// How many players there should be, so long after a phase began.
    pub(crate) fn players_at(&self, load: LoadShape, phase: Phase, elapsed: Duration) -> u64 {
        let elapsed_in_window = if phase == Phase::Measure { elapsed } else { Duration::ZERO };
        let players = load.players_at(elapsed_in_window);
        match self {
            Self::Connect(connect) => connect.players_at(players, phase, elapsed),
            _ => players,
        }
    }
}

/// Makes groups of players: those of a room, or one player, or one worker.
pub(crate) struct Groups {
    scenario: Scenario,
    bots: Option<Rc<BotKind>>,
}

impl Groups {
    pub(crate) fn new(scenario: &Scenario) -> Self {
        Self { scenario: scenario.clone(), bots: scenario.bots().map(Rc::new) }
    }

    /// Lets a group in, the `index`th from 0, as a task of its own. `window` is when the measured window began, and how many
    /// players there are to be in it.
    pub(crate) fn spawn(
        &self,
        tasks: &mut JoinSet<()>,
        ticket: Ticket,
        index: u64,
        window: Option<(Instant, u64)>,
    ) -> Option<AbortHandle> {
        Some(match (&self.scenario, &self.bots) {
            (_, Some(bots)) => tasks.spawn_local(table::host(ticket, bots.clone())),
            (Scenario::Lobby(lobby), _) => tasks.spawn_local(lobby::work(ticket, *lobby)),
            (Scenario::Churn(churn), _) => tasks.spawn_local(churn::come_and_go(ticket, *churn, index)),
            (Scenario::Connect(connect), _) => {
                let due = window.and_then(|(begin, players)| Some(begin + connect.due(players, index)?));
                tasks.spawn_local(connect::stay(ticket, due))
            }
            // Every other scenario has bots.
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use tokio::task::LocalSet;

    use super::*;
    use crate::drive::alarm::Alarms;
    use crate::drive::recorder::Recorder;
    use crate::drive::stage::Stage;

    #[test]
    fn every_scenario_has_its_name_and_says_its_settings() {
        let scenarios = [
            Scenario::Echo(Echo::default()),
            Scenario::Broadcast(Broadcast::default()),
            Scenario::Arena(Arena::default()),
            Scenario::Lobby(Lobby::default()),
            Scenario::Connect(Connect::default()),
            Scenario::Churn(Churn::default()),
            Scenario::Match(Match::default()),
        ];
        for scenario in scenarios {
            let description = scenario.describe();
            assert_eq!(description.name, scenario.name());
            assert!(!description.settings.is_empty() && scenario.measures().contains(&scenario.primary()));
            assert!(scenario.room_players() > 0, "{scenario:?}");
        }
        let ignorant = Lobby { requests: RequestLimit::Ignored, ..Lobby::default() };
        assert_ne!(Scenario::Lobby(ignorant).describe(), Scenario::Lobby(Lobby::default()).describe());
        let broadcast = Scenario::Broadcast(Broadcast::default()).describe().settings;
        let expected = [("messages of a player", "20/s"), ("payload", "32 B"), ("players a room", "10")];
        assert_eq!(broadcast, expected.map(|(name, value)| (name.to_owned(), value.to_owned())).into());
    }

    /// Who is due and still waits for a turn when the window ends has waited in vain: leaving them out would show a server the
    /// better the fewer it lets in.
    #[tokio::test]
    async fn whoever_queues_when_the_window_ends_is_expected() {
        let recorder = Recorder::new("x");
        let stage = Stage::new(crate::Gateways::default(), 7, Alarms::new().unwrap(), recorder);
        let turns = stage.gathering.available_permits();
        let _all_turns = stage.gathering.acquire_many(u32::try_from(turns).unwrap()).await.unwrap();
        let begin = Instant::now();
        stage.recorder.borrow_mut().open(begin);
        stage.enter(Phase::Measure);
        let scenarios = [
            Scenario::Connect(Connect { per_second: Some(1e6) }),
            Scenario::Churn(Churn::default()),
            // Nobody is due: each logs in when there is room.
            Scenario::Connect(Connect { per_second: None }),
        ];
        let (mut tasks, local) = (JoinSet::new(), LocalSet::new());
        local
            .run_until(async {
                for scenario in &scenarios {
                    for index in 100..105 {
                        let window = Some((begin, 200));
                        Groups::new(scenario).spawn(&mut tasks, Ticket::new(&stage), index, window);
                    }
                }
                let all_expected = async {
                    while stage.recorder.borrow().outstanding() < 10 {
                        tokio::time::sleep(Duration::from_millis(1)).await;
                    }
                };
                tokio::time::timeout(Duration::from_secs(20), all_expected).await.unwrap();
            })
            .await;
        let end = begin + Duration::from_secs(30);
        stage.recorder.borrow_mut().close(end);
        let recorder = std::mem::replace(&mut *stage.recorder.borrow_mut(), Recorder::new("x"));
        let measures = recorder.finish(end).measures;
        assert_eq!((measures["login"].lost, measures["arrival"].lost), (5, 5));
    }

    #[test]
    fn the_shape_counts_from_the_windows_beginning() {
        let scenario = Scenario::Echo(Echo::default());
        let ramp = LoadShape::Ramp { from: 10, to: 20, over: Duration::from_secs(1) };
        let late = Duration::from_secs(9);
        assert_eq!(scenario.players_at(ramp, Phase::WarmUp, late), 10);
        assert_eq!(scenario.players_at(ramp, Phase::Measure, late), 20);
    }
}
