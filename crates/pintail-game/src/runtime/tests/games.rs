//! Two games that show what a host does with theirs.

use std::time::Duration;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::{Context, Game, Json, LeaveReason, Player, Refusal, Rules};

/// A game that does what it is told, and tells everyone what happens to it.
#[derive(Serialize, Deserialize)]
pub(super) struct Probe {
    settings: Settings,
}

#[derive(Serialize, Deserialize, Default)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Settings {
    refuse: bool,
    panic_in_new: bool,
    panic_in_drop: bool,
}

#[derive(Serialize, Deserialize, Clone)]
pub(super) enum Order {
    Say(String),
    State(String),
    /// Sends so many messages of so many bytes each.
    Flood(usize, usize),
    Wake(u64),
    Panic,
    TooLarge,
    End(u32),
}

impl Game for Probe {
    const NAME: &'static str = "probe";
    const RULES: Rules = Rules::ephemeral().players(1, 8).grace(Duration::from_secs(20));
    type Settings = Settings;
    type Input = Json<Order>;
    type Output = Json<String>;

    fn new(settings: Settings, ctx: &mut Context<'_, Self>) -> Result<Self, Refusal> {
        assert!(!settings.panic_in_new, "told to");
        if settings.refuse {
            return Err(Refusal::new("told to refuse"));
        }
        ctx.broadcast("welcome".to_owned());
        Ok(Self { settings })
    }

    fn join(&mut self, ctx: &mut Context<'_, Self>, player: Player) {
        ctx.broadcast(format!("{player} joined"));
    }

    fn leave(&mut self, ctx: &mut Context<'_, Self>, player: Player, reason: LeaveReason) {
        ctx.broadcast(format!("{player} left: {reason:?}"));
    }

    fn away(&mut self, ctx: &mut Context<'_, Self>, player: Player) {
        ctx.broadcast(format!("{player} away"));
    }

    fn back(&mut self, ctx: &mut Context<'_, Self>, player: Player) {
        ctx.broadcast(format!("{player} back"));
    }

    fn input(&mut self, ctx: &mut Context<'_, Self>, player: Player, Json(order): Json<Order>) {
        match order {
            Order::Say(text) => ctx.broadcast(format!("{player}: {text} in step {}", ctx.step())),
            Order::State(text) => ctx.broadcast_state(text),
            Order::Flood(count, bytes) => (0..count).for_each(|_| ctx.broadcast("x".repeat(bytes))),
            Order::Wake(millis) => ctx.wake_in(Duration::from_millis(millis)),
            Order::Panic => panic!("told to"),
            Order::TooLarge => ctx.broadcast("x".repeat(100_000)),
            Order::End(result) => ctx.end(result),
        }
    }

    fn step(&mut self, ctx: &mut Context<'_, Self>) {
        ctx.broadcast(format!("woken at {} ms", ctx.time().as_millis()));
    }

    fn resync(&mut self, ctx: &mut Context<'_, Self>, player: Player) {
        ctx.send(player, "everything".to_owned());
    }
}

impl Drop for Probe {
    fn drop(&mut self) {
        assert!(!self.settings.panic_in_drop, "told to");
    }
}

/// A game of ten steps a second that says in each what it got since the last.
#[derive(Serialize, Deserialize, Default)]
pub(super) struct Metronome {
    inputs: usize,
}

impl Game for Metronome {
    const NAME: &'static str = "metronome";
    const RULES: Rules = Rules::ephemeral().players(1, 8).fixed_steps(10);
    type Settings = ();
    type Input = Bytes;
    type Output = Bytes;

    fn new((): (), _: &mut Context<'_, Self>) -> Result<Self, Refusal> {
        Ok(Self::default())
    }

    fn input(&mut self, _: &mut Context<'_, Self>, _: Player, _: Bytes) {
        self.inputs += 1;
    }

    fn step(&mut self, ctx: &mut Context<'_, Self>) {
        ctx.broadcast_state(format!("{} at {} ms", self.inputs, ctx.time().as_millis()));
        self.inputs = 0;
    }
}
