//! Two journaled games that show everything that happens to them.

use std::time::Duration;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::{Context, Game, LeaveReason, Player, Refusal, Rules};

/// What both know: what happened so far, as one number. Two games that differ in anything differ in it.
#[derive(Serialize, Deserialize, Default)]
struct Course {
    number: u64,
    /// The step in which the game ends by itself.
    ends_in: Option<u64>,
}

impl Course {
    fn take<G: Game>(&mut self, ctx: &mut Context<'_, G>, what: &str) -> u64 {
        let chance = ctx.rng().next_u64();
        for byte in what.bytes().chain(chance.to_be_bytes()).chain(ctx.step().0.to_be_bytes()) {
            self.number = (self.number ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
        self.number
    }
}

/// What both do with an input.
fn obey<G: Game<Output = Bytes>>(course: &mut Course, ctx: &mut Context<'_, G>, player: Player, input: &Bytes) {
    let text = String::from_utf8_lossy(input).into_owned();
    let number = course.take(ctx, &text);
    match text.split_once(' ') {
        Some(("end", _)) => ctx.end(number),
        Some(("panic", _)) => panic!("told to"),
        Some(("flood", _)) => (0..9).for_each(|_| ctx.broadcast(vec![b'x'; 60_000])),
        Some(("large", _)) => ctx.broadcast(vec![b'x'; 60_000]),
        Some(("until", step)) => course.ends_in = step.parse().ok(),
        Some(("wake", millis)) => ctx.wake_in(Duration::from_millis(millis.parse().unwrap_or(1))),
        Some(("state", _)) => ctx.broadcast_state(format!("{text} {number:x}")),
        _ => ctx.broadcast(format!("{player}: {text} {number:x}")),
    }
}

fn tell<G: Game<Output = Bytes>>(course: &mut Course, ctx: &mut Context<'_, G>, what: &str) {
    let number = course.take(ctx, what);
    ctx.broadcast(format!("{what} {number:x}"));
}

macro_rules! journaled_game {
    ($(#[$doc:meta])* $game:ident, $name:literal, $rules:expr, $step:expr) => {
        $(#[$doc])*
        #[derive(Serialize, Deserialize, Default)]
        pub(super) struct $game {
            course: Course,
        }

        impl Game for $game {
            const NAME: &'static str = $name;
            const RULES: Rules = $rules;
            type Settings = ();
            type Input = Bytes;
            type Output = Bytes;

            fn new((): (), ctx: &mut Context<'_, Self>) -> Result<Self, Refusal> {
                let mut game = Self::default();
                tell(&mut game.course, ctx, "begins");
                Ok(game)
            }

            fn join(&mut self, ctx: &mut Context<'_, Self>, player: Player) {
                tell(&mut self.course, ctx, &format!("{player} joins"));
            }

            fn leave(&mut self, ctx: &mut Context<'_, Self>, player: Player, reason: LeaveReason) {
                tell(&mut self.course, ctx, &format!("{player} leaves: {reason:?}"));
            }

            fn away(&mut self, ctx: &mut Context<'_, Self>, player: Player) {
                tell(&mut self.course, ctx, &format!("{player} away"));
            }

            fn back(&mut self, ctx: &mut Context<'_, Self>, player: Player) {
                tell(&mut self.course, ctx, &format!("{player} back"));
            }

            fn resync(&mut self, ctx: &mut Context<'_, Self>, player: Player) {
                self.course.take(ctx, "resync");
                ctx.send(player, "everything");
            }

            fn input(&mut self, ctx: &mut Context<'_, Self>, player: Player, input: Bytes) {
                obey(&mut self.course, ctx, player, &input);
            }

            fn step(&mut self, ctx: &mut Context<'_, Self>) {
                $step(&mut self.course, ctx);
            }
        }
    };
}

journaled_game! {
    /// Steps when something happens.
    Diary, "diary", Rules::journaled().players(1, 8).grace(Duration::from_secs(20)),
    |course: &mut Course, ctx: &mut Context<'_, Self>| {
        let woken = format!("woken at {} ms", ctx.time().as_millis());
        tell(course, ctx, &woken);
    }
}

journaled_game! {
    /// Steps 20 times a second, shows each, and says something in every seventh.
    Pulse, "pulse", Rules::journaled().players(1, 8).grace(Duration::from_secs(20)).fixed_steps(20),
    |course: &mut Course, ctx: &mut Context<'_, Self>| {
        let (step, number) = (ctx.step(), course.take(ctx, "step"));
        ctx.broadcast_state(format!("step {step}: {number:x}"));
        if course.ends_in == Some(step.0) {
            ctx.end(number);
        }
        if step.0 % 7 == 0 {
            ctx.broadcast(format!("seventh {step} {number:x}"));
        }
    }
}
