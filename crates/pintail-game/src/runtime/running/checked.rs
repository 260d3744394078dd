//! A game is played twice, to find code that is not deterministic before it matters. See [`crate::self_check`].

use std::sync::Arc;

use super::RunningGame;
use crate::runtime::host::JournalPolicy;
use crate::runtime::{Batch, Effects};
use crate::self_check::{Difference, SelfCheck, Shadow};
use crate::types::AnyType;

impl RunningGame {
    /// Checks the game from its creation on, whose messages are still in its turn. Only journaled games have to be
    /// deterministic.
    pub(super) fn check_from_creation(
        &mut self,
        policy: JournalPolicy,
        game_type: Option<&Arc<dyn AnyType>>,
        fx: &mut Effects,
    ) {
        if let (Some(game_type), Some(game)) = (self.checked(policy, game_type), &self.game) {
            let shadow = Shadow::of_new(game_type, &self.order.settings, &self.turn, game.get());
            self.keep_shadow(shadow, fx);
        }
    }

    /// Checks the game from here on.
    pub(super) fn check_from_here(
        &mut self,
        policy: JournalPolicy,
        game_type: Option<&Arc<dyn AnyType>>,
        fx: &mut Effects,
    ) {
        if let (Some(game_type), Some(game)) = (self.checked(policy, game_type), &self.game) {
            let shadow = Shadow::of(game_type, &self.turn, game.get());
            self.keep_shadow(shadow, fx);
        }
    }

    /// Compares a step that was just taken.
    pub(super) fn check_step(&mut self, batch: Batch, fx: &mut Effects) {
        let (Some(shadow), Some(game)) = (&mut self.shadow, &self.game) else { return };
        if let Err(difference) = shadow.follow(batch, &self.turn, game.get()) {
            self.shadow = None;
            fx.differences.push((self.order.clone(), difference));
        }
    }

    fn checked(&self, policy: JournalPolicy, game_type: Option<&Arc<dyn AnyType>>) -> Option<Arc<dyn AnyType>> {
        game_type.filter(|_| policy.self_check == SelfCheck::On && self.is_journaled()).cloned()
    }

    fn keep_shadow(&mut self, shadow: Result<Shadow, Difference>, fx: &mut Effects) {
        match shadow {
            Ok(shadow) => self.shadow = Some(Box::new(shadow)),
            Err(difference) => fx.differences.push((self.order.clone(), difference)),
        }
    }
}
