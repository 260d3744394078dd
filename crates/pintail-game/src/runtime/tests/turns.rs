//! Whoever looks at a loop that hangs finds the game whose turn it is.

use std::cell::RefCell;

use pintail_core::limits::PENDING_INPUTS_MAX;
use serde::{Deserialize, Serialize};

use super::*;
use crate::runtime::CurrentGame;
use crate::{Context, Game, Player, Refusal, Rules};

thread_local! {
    /// The host's, so that the game can see what others would.
    static CURRENT: RefCell<Arc<CurrentGame>> = RefCell::default();
}

/// A game that can't be run but in its turn.
#[derive(Serialize, Deserialize)]
struct Witness;

fn assert_has_its_turn() {
    let current = CURRENT.with_borrow(|current| current.get());
    assert_eq!(current.map(|(id, _)| id), Some(GAME), "game code runs, and nobody could say whose");
}

impl Game for Witness {
    const NAME: &'static str = "witness";
    const RULES: Rules = Rules::ephemeral().players(1, 8);
    type Settings = ();
    type Input = Bytes;
    type Output = Bytes;

    fn new((): (), _: &mut Context<'_, Self>) -> Result<Self, Refusal> {
        assert_has_its_turn();
        Ok(Self)
    }

    fn input(&mut self, _: &mut Context<'_, Self>, _: Player, _: Bytes) {
        assert_has_its_turn();
    }
}

#[test]
fn game_code_runs_in_its_games_turn_alone() {
    let mut world = World::new();
    world.host = GameHost::new(Arc::new(GameTypes::new().with::<Witness>()), INCARNATION, JournalPolicy::default(), 5);
    world.event(HostEvent::Joined(SLOT));
    CURRENT.set(world.host.current());
    world.place(GAME, "witness", "");
    world.attach_new(ANN);
    let before = world.stats.steps;
    // More than wait for one step: the game takes it while they arrive.
    for _ in 0..=PENDING_INPUTS_MAX {
        let payload = Bytes::from("x");
        let seq = world.number_input(ANN, &payload);
        let (link, body) = world.input_frame(ANN, seq, &payload);
        world.hold(HostEvent::Frame(link, Frame { kind: kind::link::INPUT, body: body.into() }));
    }
    world.settle();
    assert_eq!((world.stats.steps, world.stats.panics), (before + 2, 0));
    assert_eq!((world.host.live_games(), world.host.current().get()), (1, None));
}
