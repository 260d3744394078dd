//! Stores, servers, games, rooms and sessions to test with.

use std::cell::RefCell;
use std::fmt::Debug;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use pintail_core::{
    Durability, Endpoint, GameId, GameType, Generation, Incarnation, Kind, PlayerName, ResumeToken, RoomId, Round,
    SessionId, Slot, Status,
};
use pintail_store::{
    Announcement, Charge, Checkpoint, EmbeddedStore, EndOutcome, EndReason, GameOrder, Heartbeat, HeartbeatOutcome,
    HeldSession, Login, LoginMode, LoginOutcome, OrderedPlayer, Owner, Periods, PlaceOutcome, RedisOptions, RedisStore,
    Registration, RoomChange, RoomState, ServerRecord, SharedStore, Store, Verdict, Version,
};
use pintail_testkit::RedisServer;
use tokio::time::Instant;

use crate::foreign::raw;

/// How long a condition may take to come true.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// Periods that never end within a test, and no probation.
pub(crate) const LONG: Periods = Periods {
    lease_ttl: Duration::from_secs(600),
    recycle_after: Duration::from_secs(600),
    reap_interval: Duration::ZERO,
    accusation_ttl: Duration::from_secs(600),
    probation_first: Duration::ZERO,
    probation_max: Duration::ZERO,
    falls_forgiven_after: Duration::from_secs(600),
    room_idle_ttl: Duration::from_secs(600),
    session_ttl: Duration::from_secs(600),
    game_record_ttl: Duration::from_secs(600),
    proven_after: Duration::from_millis(500),
    orphan_ttl: Duration::from_secs(600),
    failed_game_ttl: Duration::from_secs(600),
};

pub(crate) const fn ms(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

/// Makes stores of one of the two kinds.
pub(crate) struct Fixture {
    redis: Option<RedisServer>,
    /// The last store that was made, if it is an embedded one.
    embedded: RefCell<Option<Arc<EmbeddedStore>>>,
}

/// What a store knew.
pub(crate) enum Backup {
    Embedded(Checkpoint),
    /// It is in the Redis database with this number.
    Redis(u8),
}

/// Copies everything from one Redis database, ARGV[1], to another, ARGV[2], and to nothing else.
const COPY_ALL: &str = "redis.call('SELECT', ARGV[2])
    redis.call('FLUSHDB')
    redis.call('SELECT', ARGV[1])
    for _, key in ipairs(redis.call('KEYS', '*')) do
      redis.call('COPY', key, key, 'DB', ARGV[2])
    end";

impl Fixture {
    pub(crate) fn embedded() -> Self {
        Self { redis: None, embedded: RefCell::default() }
    }

    pub(crate) fn redis() -> Self {
        Self { redis: Some(RedisServer::start()), embedded: RefCell::default() }
    }

    /// How many addresses are listed for a kind, if the store keeps a list.
    pub(crate) async fn list_length(&self, kind: Kind) -> Option<usize> {
        let length = raw(self.redis.as_ref()?, &format!("LLEN Server:{kind}")).await;
        Some(redis::FromRedisValue::from_redis_value(length).unwrap())
    }

    /// An empty store.
    pub(crate) fn store(&self, periods: Periods) -> SharedStore {
        match &self.redis {
            None => {
                let store = Arc::new(EmbeddedStore::with_periods(periods));
                self.embedded.replace(Some(Arc::clone(&store)));
                store
            }
            Some(server) => Arc::new(redis_store(server, periods)),
        }
    }

    /// Whether it is Redis, where each call costs something.
    pub(crate) fn is_redis(&self) -> bool {
        self.redis.is_some()
    }

    /// Empties the stores that were made, if there is anything that they share.
    pub(crate) async fn clear(&self) {
        if let Some(server) = &self.redis {
            raw(server, "FLUSHALL").await;
        }
    }

    /// Keeps what the store knows. There are five places for it, from 1 on.
    pub(crate) async fn back_up(&self, place: u8) -> Backup {
        if let Some(store) = &*self.embedded.borrow() {
            return Backup::Embedded(store.checkpoint());
        }
        self.copy_all(0, place).await;
        Backup::Redis(place)
    }

    /// The store loses what was written since.
    pub(crate) async fn roll_back(&self, to: &Backup) {
        match to {
            Backup::Embedded(checkpoint) => self.embedded.borrow().as_ref().unwrap().roll_back(checkpoint),
            Backup::Redis(place) => self.copy_all(*place, 0).await,
        }
    }

    async fn copy_all(&self, from: u8, to: u8) {
        let client = redis::Client::open(self.redis.as_ref().unwrap().url()).unwrap();
        let mut connection = client.get_multiplexed_async_connection().await.unwrap();
        redis::Script::new(COPY_ALL).arg(from).arg(to).invoke_async::<()>(&mut connection).await.unwrap();
    }
}

/// A store in this Redis, patient with a busy machine.
pub(crate) fn redis_store(server: &RedisServer, periods: Periods) -> RedisStore {
    let mut options = RedisOptions::new(&server.url()).unwrap();
    options.periods = periods;
    options.timeout = PATIENCE;
    RedisStore::connect(options).unwrap()
}

/// Calls `probe` until it returns something.
pub(crate) async fn eventually<T>(what: &str, mut probe: impl AsyncFnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = probe().await {
            return found;
        }
        assert!(Instant::now() < deadline, "not within {PATIENCE:?}: {what}");
        tokio::time::sleep(ms(10)).await;
    }
}

/// A server's announcement, with an address of its own for each number.
pub(crate) fn announcement(kind: Kind, number: u8) -> Announcement {
    Announcement {
        kind,
        endpoint: Endpoint::new(Ipv4Addr::new(10, 0, 0, number), kind.default_port()),
        incarnation: Incarnation::random(),
        capacity: 100,
        game_types: if kind == Kind::Game { vec![echo()] } else { Vec::new() },
        version: "1.2.3".to_owned(),
        admin_port: None,
        http_port: None,
    }
}

/// A registered server.
#[derive(Debug, Clone)]
pub(crate) struct Server {
    pub(crate) slot: Slot,
    pub(crate) announcement: Announcement,
}

impl Server {
    pub(crate) async fn start(store: &dyn Store, kind: Kind, number: u8) -> Self {
        Self::register(store, announcement(kind, number)).await
    }

    pub(crate) async fn game(store: &dyn Store, number: u8, capacity: u32) -> Self {
        Self::register(store, Announcement { capacity, ..announcement(Kind::Game, number) }).await
    }

    /// A game server on a host of its own for each number.
    pub(crate) async fn at_new_address(store: &dyn Store, number: u16) -> Self {
        let [high, low] = number.to_be_bytes();
        let endpoint = Endpoint::new(Ipv4Addr::new(10, 1, high, low), Kind::Game.default_port());
        Self::register(store, Announcement { endpoint, ..announcement(Kind::Game, 0) }).await
    }

    pub(crate) async fn register(store: &dyn Store, announcement: Announcement) -> Self {
        let Registration { slot, .. } = store.register(&announcement).await.unwrap();
        Self { slot, announcement }
    }

    pub(crate) fn incarnation(&self) -> Incarnation {
        self.announcement.incarnation
    }

    pub(crate) fn heartbeat(&self, status: Status) -> Heartbeat {
        Heartbeat { endpoint: self.announcement.endpoint, status, cause: String::new(), players: 0 }
    }

    /// Says, as a gateway, which connections it holds; gives those that are held no longer.
    pub(crate) async fn hold(&self, store: &dyn Store, sessions: &[HeldSession]) -> Vec<SessionId> {
        store.hold_sessions(self.slot, self.incarnation(), sessions).await.unwrap()
    }

    pub(crate) async fn beat(&self, store: &dyn Store, status: Status) -> HeartbeatOutcome {
        store.heartbeat(self.slot, self.incarnation(), &self.heartbeat(status)).await.unwrap()
    }

    pub(crate) async fn report_players(&self, store: &dyn Store, players: u32) {
        let beat = Heartbeat { players, ..self.heartbeat(Status::Smooth) };
        store.heartbeat(self.slot, self.incarnation(), &beat).await.unwrap();
    }

    pub(crate) async fn stop(&self, store: &dyn Store) {
        store.deregister(self.slot, self.incarnation()).await.unwrap();
    }

    /// Waits until its lease is gone and it is reaped, while the witness shows that the store can hear.
    pub(crate) async fn reaped(&self, store: &dyn Store, witness: &Self) {
        eventually("the server is reaped", async || witness.reaps(store).await.contains(&self.slot).then_some(()))
            .await;
    }

    /// Renews its own lease and looks for those that ran out.
    pub(crate) async fn reaps(&self, store: &dyn Store) -> Vec<Slot> {
        self.beat(store, Status::Smooth).await;
        store.reap().await.unwrap()
    }

    /// A server that others are reaped beside.
    pub(crate) async fn witness(store: &dyn Store) -> Self {
        Self::start(store, Kind::Gateway, 200).await
    }

    /// What the registry shows of it.
    pub(crate) async fn record(&self, store: &dyn Store) -> ServerRecord {
        let found = servers(store, self.slot.kind).await.into_iter().find(|server| server.slot == self.slot);
        found.expect("a slot that was taken stays")
    }

    /// Accuses it, as this observer.
    pub(crate) async fn accused(&self, store: &dyn Store, observer: Slot, charge: Charge) -> Verdict {
        store.accuse(self.slot, self.incarnation(), observer, charge).await.unwrap()
    }

    pub(crate) async fn absolved(&self, store: &dyn Store, observer: Slot) {
        store.absolve(self.slot, self.incarnation(), observer).await.unwrap();
    }

    /// Another start of it.
    pub(crate) fn restarted(&self) -> Announcement {
        Announcement { incarnation: Incarnation::random(), ..self.announcement.clone() }
    }
}

/// A heartbeat's answer to a server that nobody asked to drain.
pub(crate) fn renewed(games: u32) -> HeartbeatOutcome {
    HeartbeatOutcome::Renewed { games, drain: false }
}

/// A gateway that observes.
pub(crate) fn gateway(index: u32) -> Slot {
    Slot::new(Kind::Gateway, index)
}

/// The servers of a kind that are live.
pub(crate) async fn live_servers(store: &dyn Store, kind: Kind) -> Vec<ServerRecord> {
    servers(store, kind).await.into_iter().filter(ServerRecord::is_live).collect()
}

/// The slots of a kind, used or not, of which none may be broken.
pub(crate) async fn servers(store: &dyn Store, kind: Kind) -> Vec<ServerRecord> {
    store.scan(kind).await.unwrap().into_iter().collect::<Result<_, _>>().unwrap()
}

pub(crate) fn echo() -> GameType {
    GameType::new("echo").unwrap()
}

pub(crate) fn name(text: &str) -> PlayerName {
    PlayerName::new(text).unwrap()
}

/// The order of the first game of a room with this number.
pub(crate) fn order(number: u64) -> GameOrder {
    GameOrder {
        id: GameId { room: RoomId(number), round: Round(1) },
        game_type: echo(),
        durability: Durability::Ephemeral,
        settings: r#"{"speed":"fast"}"#.to_owned(),
        players: vec![OrderedPlayer { session: SessionId(number), name: name("Ada, “the first”") }],
        seed: u64::MAX - number,
        lobby: Slot::new(Kind::Lobby, 0),
        trace: None,
    }
}

pub(crate) async fn placed(store: &dyn Store, order: &GameOrder) -> Owner {
    match store.place(order).await.unwrap() {
        PlaceOutcome::Placed(owner) => owner,
        other => panic!("not placed: {other:?}"),
    }
}

pub(crate) fn finished() -> EndOutcome {
    EndOutcome { reason: EndReason::Finished, result: r#"{"winner":0}"#.to_owned(), message: String::new() }
}

/// How many games each server of the registry has, by index.
pub(crate) async fn game_counts(store: &dyn Store) -> Vec<u32> {
    servers(store, Kind::Game).await.iter().map(|server| server.games).collect()
}

/// A change that creates a room.
pub(crate) fn creation(number: u64, labels: &[&str]) -> RoomChange {
    change(number, 0, labels)
}

/// A change of a room.
pub(crate) fn change(number: u64, from: u64, labels: &[&str]) -> RoomChange {
    let state = RoomState {
        body: format!(r#"{{"room":{number}}}"#),
        invite: format!("CODE{number}"),
        labels: labels.iter().map(|&label| label.to_owned()).collect(),
    };
    RoomChange { id: RoomId(number), from: Version(from), to: Some(state), enter: Vec::new(), leave: Vec::new() }
}

/// A session and its token.
pub(crate) struct Player {
    pub(crate) token: ResumeToken,
}

impl Player {
    pub(crate) fn new() -> Self {
        Self { token: ResumeToken::random() }
    }

    pub(crate) fn id(&self) -> SessionId {
        self.token.session()
    }

    pub(crate) fn login(&self, mode: LoginMode, gateway: &Server) -> Login {
        Login {
            session: self.id(),
            token: self.token.hash(),
            mode,
            gateway: gateway.slot,
            incarnation: gateway.incarnation(),
        }
    }

    /// The player's connection of this generation, as its gateway holds it.
    pub(crate) fn held(&self, generation: Generation) -> HeldSession {
        HeldSession { session: self.id(), generation, name: name("Ada"), token: self.token.hash() }
    }

    /// Logs in as a new session.
    pub(crate) async fn enter(store: &dyn Store, gateway: &Server) -> Self {
        let player = Self::new();
        player.accepted(store, LoginMode::New(name("Ada")), gateway).await;
        player
    }

    pub(crate) async fn accepted(&self, store: &dyn Store, mode: LoginMode, gateway: &Server) -> Generation {
        match store.login(&self.login(mode, gateway)).await.unwrap() {
            LoginOutcome::Accepted { generation, .. } => generation,
            other => panic!("not accepted: {other:?}"),
        }
    }
}

/// The error of a result, whatever else it holds.
pub(crate) fn error_of<T: Debug, E>(result: Result<T, E>) -> E {
    match result {
        Ok(value) => panic!("it worked: {value:?}"),
        Err(error) => error,
    }
}
