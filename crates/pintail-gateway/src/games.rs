//! Attaching sessions to games, and carrying what they send.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use pintail_core::limits::ATTACH_WAIT;
use pintail_core::{GameId, Incarnation, RoomId, Round};
use pintail_net::PushError;
use pintail_store::{GameRecord, StoreError};
use pintail_wire::client::{GameAttach, GameDetachReason};
use tokio::time::{MissedTickBehavior, interval, timeout};
use tracing::debug;

use crate::links::Link;
use crate::server::Gateway;
use crate::session::{AttachFailed, AttachNumber, Attachment, LastServer, Session};
use crate::waiting::{Answer, FirstLook, LOOK_PERIOD, Question, TooMany, Waiter};

/// How long a client's input waits for a link whose queue is full.
const LINK_ROOM_TIMEOUT: Duration = pintail_core::limits::LINK_SILENCE_MAX;

/// How long a client that has played a game waits until the store knows it, which may have lost it. Its server looks for what
/// the store lacks each second.
const FORGOTTEN_PATIENCE: Duration = Duration::from_secs(3);

/// What a session that waits for a game wants.
#[derive(Debug)]
pub(crate) struct Wish {
    pub(crate) session: Arc<Session>,
    number: AttachNumber,
    attach: GameAttach,
}

impl Wish {
    /// Whether there is no hope for a game that the store does not know. A client that has played it knows better: its server
    /// will put it back into a store that lost it.
    fn is_vain(&self, game: GameId, waited: Duration) -> bool {
        let has_played = self.attach.received > 0 || self.attach.step_seen > 0;
        self.session.last_server(game).is_none() && (!has_played || waited >= FORGOTTEN_PATIENCE)
    }
}

impl Gateway {
    /// A client's `GAME_ATTACH`: it waits until the game's server is known and linked, which is mostly at once.
    pub(crate) fn begin_attach(self: &Arc<Self>, session: &Arc<Session>, attach: GameAttach) {
        let (game, now) = (game_of(&attach), self.now());
        let number = session.next_attach();
        self.end_wait(session);
        let wish = Wish { session: session.clone(), number, attach };
        let waiter = Waiter { session: session.id, game, since: now, wish };
        let last = session.last_server(game);
        let first_look = match last {
            Some(LastServer::Lost(server)) => match self.links.to_incarnation(server) {
                Some(link) => return self.open_stream(waiter, &link),
                None => FirstLook::Later,
            },
            // It may have moved.
            Some(LastServer::Linked(_)) | None => FirstLook::AtOnce,
        };
        if self.wait(waiter, last.map(LastServer::incarnation), first_look) == Err(TooMany) {
            self.metrics.detaches.inc();
            let message = "too many players wait for their games here: try again";
            return session.push_detached(game, GameDetachReason::ServerUnreachable, message, true);
        }
        // Its server may have been linked, or another have taken it over, between the look at them and now; then nobody
        // found this session waiting.
        if let Some(LastServer::Lost(server)) = session.last_server(game)
            && let Some(link) = self.links.to_incarnation(server)
        {
            self.attach_waiting(game, &link);
        }
        self.ask_store();
    }

    /// Asks the store about the games that are due.
    fn ask_store(self: &Arc<Self>) {
        while let Some(question) = self.next_question() {
            self.tasks.spawn(self.clone().look_up(question));
        }
    }

    fn next_question(&self) -> Option<Question> {
        let now = self.now();
        self.with_waiting(|waiting| waiting.next_question(now))
    }

    /// Asks about one game, and then about those that are due by then.
    async fn look_up(self: Arc<Self>, mut question: Question) {
        loop {
            self.metrics.game_lookups.inc();
            let found = self.store.game(question.game).await;
            self.found(question, found);
            match self.next_question() {
                Some(next) => question = next,
                None => return,
            }
        }
    }

    fn found(&self, question: Question, found: Result<Option<GameRecord>, StoreError>) {
        let Question { game, .. } = question;
        match found {
            Ok(Some(GameRecord { owner, outcome, .. })) => {
                self.answered(question, Answer::Server(owner.incarnation));
                // The server of a game that is over keeps its last messages for a while, for players who were away.
                if let Some(link) = self.links.to(owner.slot, owner.incarnation) {
                    self.attach_waiting(game, &link);
                } else if outcome.is_some() {
                    self.refuse_over(question, |_| true);
                }
            }
            Ok(None) => {
                self.answered(question, Answer::Nobody);
                // The store may have lost it. Then its server has it, and will put it back.
                self.attach_where_played(question);
                let now = self.now();
                self.refuse_over(question, |waiter| waiter.wish.is_vain(game, now.saturating_sub(waiter.since)));
            }
            Err(error) => {
                debug!(%game, %error, "can't look a game up");
                self.answered(question, Answer::Failed);
                self.attach_where_played(question);
            }
        }
    }

    fn answered(&self, question: Question, answer: Answer) {
        let now = self.now();
        self.with_waiting(|waiting| waiting.answered(now, question, answer));
    }

    /// Attaches those whom this question was about where they played last, if that is linked.
    fn attach_where_played(&self, question: Question) {
        let Question { game, since } = question;
        let linked = |waiter: &Waiter<Wish>| {
            let server = waiter.wish.session.last_server(game)?.incarnation();
            self.links.to_incarnation(server)
        };
        let is_linked = |waiter: &Waiter<Wish>| waiter.since <= since && linked(waiter).is_some();
        for waiter in self.with_waiting(|waiting| waiting.take_where(game, is_linked)) {
            match linked(&waiter) {
                Some(link) => self.open_stream(waiter, &link),
                None => self.wait_again(waiter),
            }
        }
    }

    /// There is no such game for those whom this question was about and of whom this is so.
    fn refuse_over(&self, question: Question, is_so: impl Fn(&Waiter<Wish>) -> bool) {
        let Question { game, since } = question;
        let is_refused = |waiter: &Waiter<Wish>| waiter.since <= since && is_so(waiter);
        for waiter in self.with_waiting(|waiting| waiting.take_where(game, is_refused)) {
            self.metrics.detaches.inc();
            let message = "there is no such game, or it is over";
            waiter.wish.session.push_detached(game, GameDetachReason::NoSuchGame, message, false);
        }
    }

    /// A game server says that it has taken these games over: their players go there without a question, those who come
    /// for them a moment later as well.
    pub(crate) fn games_here(&self, link: &Arc<Link>, games: &[GameId]) {
        let taken: HashSet<_> = games.iter().copied().collect();
        for session in self.sessions.all() {
            if let Some(game) = session.moved(&taken, link) {
                self.metrics.detaches.inc();
                let message = "another server has taken the game over";
                session.push_detached(game, GameDetachReason::ServerUnreachable, message, true);
            }
        }
        games.iter().for_each(|game| self.attach_waiting(*game, link));
    }

    /// A link to a game server is open: whoever waits for its games has waited for that.
    pub(crate) fn game_server_linked(&self, link: &Arc<Link>) {
        let games = self.with_waiting(|waiting| waiting.games_of(link.incarnation));
        games.into_iter().for_each(|game| self.attach_waiting(game, link));
    }

    /// Opens the streams of all who wait for a game.
    fn attach_waiting(&self, game: GameId, link: &Arc<Link>) {
        for waiter in self.with_waiting(|waiting| waiting.take(game)) {
            self.open_stream(waiter, link);
        }
    }

    fn open_stream(&self, waiter: Waiter<Wish>, link: &Arc<Link>) {
        let Wish { session, number, attach } = &waiter.wish;
        match session.attach(*number, Attachment { game: waiter.game, link: link.clone() }, attach) {
            Ok(()) => {
                self.metrics.attaches.inc();
                self.metrics.attach_wait.observe(self.now().saturating_sub(waiter.since).as_secs_f64());
            }
            // The client is gone, or wants something else by now.
            Err(AttachFailed::Outdated) => {}
            Err(AttachFailed::Unsent(_)) => self.wait_again(waiter),
        }
    }

    /// A connection that is over waits for nothing: a newer one of the session may.
    fn wait(&self, waiter: Waiter<Wish>, server: Option<Incarnation>, first_look: FirstLook) -> Result<(), TooMany> {
        let now = self.now();
        self.with_waiting(|waiting| {
            let is_outdated = waiter.wish.session.is_outdated(waiter.wish.number);
            if is_outdated { Ok(()) } else { waiting.add(now, waiter, server, first_look) }
        })
    }

    /// What was in the way may be gone at the next look.
    fn wait_again(&self, waiter: Waiter<Wish>) {
        // It had its place a moment ago; should another have it by now, the client asks again by itself.
        let _ = self.wait(waiter, None, FirstLook::Later);
    }

    /// Looks for the games that are waited for, and tells those who have waited for too long.
    pub(crate) fn look_for_games(self: &Arc<Self>) {
        let now = self.now();
        for waiter in self.with_waiting(|waiting| waiting.look(now)) {
            // One who wants something else by now hears of that.
            if waiter.wish.session.is_outdated(waiter.wish.number) {
                continue;
            }
            self.metrics.detaches.inc();
            let message = format!("the game's server could not be reached for {} s", ATTACH_WAIT.as_secs());
            let reason = GameDetachReason::ServerUnreachable;
            waiter.wish.session.push_detached(waiter.game, reason, &message, true);
        }
        self.ask_store();
    }

    /// Carries a `GAME_INPUT` or `GAME_ACK` to the session's game. Without one it is dropped: what is numbered is sent
    /// again after the next attach. Waits while the link is full, which slows the client down.
    pub(crate) async fn carry(&self, session: &Session, link_kind: u8, body: &Bytes) {
        let Some(Attachment { link, .. }) = session.attachment() else { return };
        let sender = session.id.0.to_be_bytes();
        let is_carried = match link.outbox.push(link_kind, &[&sender, body]) {
            Err(PushError::Full) => carry_when_there_is_room(&link, link_kind, &[&sender, body]).await,
            pushed => pushed.is_ok(),
        };
        if !is_carried {
            self.detach_broken(session, &link);
        }
    }

    /// The session's link is of no more use: the client is told to attach again.
    pub(crate) fn detach_broken(&self, session: &Session, link: &Link) {
        if let Some(game) = session.detach_from(link) {
            self.metrics.detaches.inc();
            let message = "the link to the game's server is lost";
            session.push_detached(game, GameDetachReason::ServerUnreachable, message, true);
        }
    }

    /// The session's connection is gone: its game hears of it, and it waits for none.
    pub(crate) fn detach_gone(&self, session: &Session) {
        session.leave();
        self.end_wait(session);
    }

    /// The connection waits for no game any more.
    fn end_wait(&self, session: &Session) {
        self.with_waiting(|waiting| {
            let waits = waiting.wish(session.id).is_some_and(|wish| wish.session.generation == session.generation);
            if waits {
                waiting.remove(session.id);
            }
        });
    }
}

fn game_of(attach: &GameAttach) -> GameId {
    GameId { room: RoomId(attach.room), round: Round(attach.round) }
}

/// Looks for the games that are waited for, until the gateway stops.
pub(crate) async fn look_for_games(gateway: Arc<Gateway>) {
    let mut looks = interval(LOOK_PERIOD);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = gateway.stop.cancelled() => return,
            _ = looks.tick() => gateway.look_for_games(),
        }
    }
}
/// Waits for room on the link, but not for ever: whether the frame was queued.
async fn carry_when_there_is_room(link: &Link, kind: u8, parts: &[&[u8]]) -> bool {
    let carried = async {
        loop {
            link.outbox.has_room().await;
            match link.outbox.push(kind, parts) {
                // Others who waited may be faster.
                Err(PushError::Full) => {}
                pushed => return pushed.is_ok(),
            }
        }
    };
    timeout(LINK_ROOM_TIMEOUT, carried).await.unwrap_or(false)
}
