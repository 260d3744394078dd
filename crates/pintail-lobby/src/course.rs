//! Starting a game, and settling its end.

use pintail_core::{EndOutcome, EndReason, GameId, TraceParent};
use pintail_engine::room::{Phase, RoomError, Start};
use pintail_net::trace::handed_on;
use pintail_store::{GameOrder, OrderedPlayer, PlaceOutcome};
use tracing::debug;

use crate::change::{Find, Snapshot};
use crate::lobby::Lobby;
use crate::metrics::Placement;
use crate::refusal::Refusal;

impl Lobby {
    /// Brings a start to its end, whoever began it: places the game, or gives the start up. Returns the room as it is
    /// then. Every step can be repeated, by this server or another.
    pub(crate) async fn start(&self, game: GameId, trace: Option<TraceParent>) -> Result<Option<Snapshot>, Refusal> {
        let span = self.tracer.child("place game", trace).map(|mut span| {
            span.set("pintail.game", &game);
            span
        });
        let trace = handed_on(span.as_ref(), trace);
        let find = Find::Id(game.room);
        let Some(snapshot) = self.find(&find).await? else { return Ok(None) };
        let Some((pending, start)) = snapshot.room.pending_start() else { return finished(snapshot, game) };
        if pending != game {
            return Ok(Some(snapshot));
        }
        let Some(order) = self.order(&snapshot, game, start, trace) else {
            self.give_up(game).await?;
            return Err(RoomError::unknown_game(&self.catalog).into());
        };
        let outcome = self.store.place(&order).await;
        // What comes after it is the room's business.
        drop(span);
        self.metrics.placed(match &outcome {
            Ok(PlaceOutcome::Placed(_)) => Placement::Placed,
            Ok(PlaceOutcome::NoServer) => Placement::NoServer,
            Ok(PlaceOutcome::Over(_)) => Placement::Over,
            Err(_) => Placement::Failed,
        });
        match outcome? {
            PlaceOutcome::Placed(owner) => {
                debug!(%game, server = %owner.slot, "game placed");
                self.placed(game, &order).await
            }
            PlaceOutcome::Over(outcome) => {
                self.end(game, &outcome).await?;
                self.find(&find).await
            }
            PlaceOutcome::NoServer => {
                self.give_up(game).await?;
                Err(Refusal::NoGameServer)
            }
        }
    }

    /// What the game's server has to know; `None` if this lobby server does not know the game.
    fn order(&self, snapshot: &Snapshot, game: GameId, start: &Start, trace: Option<TraceParent>) -> Option<GameOrder> {
        let choice = snapshot.room.choice();
        let info = self.catalog.get(&choice.game)?;
        let lobby = self.identity.borrow().as_ref().map(|identity| identity.slot)?;
        let players =
            start.seats.iter().map(|seat| OrderedPlayer { session: seat.session, name: seat.name.clone() }).collect();
        Some(GameOrder {
            id: game,
            game_type: choice.game.clone(),
            durability: info.durability,
            settings: choice.settings.clone(),
            players,
            seed: start.seed,
            lobby,
            trace,
        })
    }

    async fn placed(&self, game: GameId, order: &GameOrder) -> Result<Option<Snapshot>, Refusal> {
        let find = Find::Id(game.room);
        let done = self.change(&find, |room| Ok(room.game_placed(game))).await?;
        let committed = done.as_ref().is_some_and(|done| done.committed);
        let now = done.and_then(|done| done.now);
        if committed {
            self.metrics.games_started.inc();
        } else if now.as_ref().is_none_or(|now| now.room.game() != Some(game)) {
            // The room is gone or has given the start up: nobody comes, so that the game ends by itself.
            for player in &order.players {
                self.player_left(game, player.session).await;
            }
        }
        Ok(now)
    }

    async fn give_up(&self, game: GameId) -> Result<(), Refusal> {
        debug!(%game, "the start is given up: the room waits again");
        self.change(&Find::Id(game.room), |room| Ok(room.start_failed(game))).await?;
        Ok(())
    }

    /// Tells the room of a game how it ended, if it has.
    pub(crate) async fn settle(&self, game: GameId) -> Result<(), Refusal> {
        match self.store.game(game).await? {
            Some(record) => match record.outcome {
                Some(outcome) => self.end(game, &outcome).await,
                None => Ok(()),
            },
            // Nothing is known of it any more; its room, if there is one, is found by the sweep.
            None => Ok(self.store.settle_game(game).await?),
        }
    }

    /// The room's game is gone without a trace: its server and what the store knew of it were lost together.
    pub(crate) async fn lost(&self, game: GameId) -> Result<(), Refusal> {
        let message = "the game was lost together with its server".to_owned();
        let outcome = EndOutcome { reason: EndReason::ServerLost, result: String::new(), message };
        self.end(game, &outcome).await
    }

    async fn end(&self, game: GameId, outcome: &EndOutcome) -> Result<(), Refusal> {
        match self.change(&Find::Id(game.room), |room| Ok(room.game_over(game, outcome.clone()))).await {
            Ok(_) | Err(Refusal::Corrupt(_)) => Ok(self.store.settle_game(game).await?),
            Err(refusal) => Err(refusal),
        }
    }
}

/// What the one who asked for a start is told when somebody else brought it to its end.
fn finished(snapshot: Snapshot, game: GameId) -> Result<Option<Snapshot>, Refusal> {
    let room = &snapshot.room;
    let ended = room.last_end().is_some_and(|end| end.round == game.round);
    if *room.phase() == Phase::Wait && room.round() == game.round && !ended {
        return Err(Refusal::NoGameServer);
    }
    Ok(Some(snapshot))
}
