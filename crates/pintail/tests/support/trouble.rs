//! A game that makes trouble for its server on command.

use std::time::{Duration, Instant};

use pintail::{Context, Game, Json, Player, Refusal, Rules};
use serde::{Deserialize, Serialize};

/// How long a game holds up its server in each step.
#[derive(Debug, Serialize, Deserialize)]
pub struct Trouble {
    busy_ms: u64,
}

/// What a room can choose.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// For how many milliseconds each step keeps a core busy.
    pub busy_ms: u64,
}

impl Game for Trouble {
    const NAME: &'static str = "trouble";
    const RULES: Rules = Rules::ephemeral().players(1, 8).fixed_steps(20);
    type Settings = Settings;
    /// For how many milliseconds to do nothing at all, and let nobody else either.
    type Input = Json<u64>;
    type Output = Json<u64>;

    fn new(settings: Settings, _: &mut Context<'_, Self>) -> Result<Self, Refusal> {
        Ok(Self { busy_ms: settings.busy_ms })
    }

    fn input(&mut self, ctx: &mut Context<'_, Self>, player: Player, Json(stuck_ms): Json<u64>) {
        std::thread::sleep(Duration::from_millis(stuck_ms));
        ctx.send(player, Json(stuck_ms));
    }

    fn step(&mut self, _: &mut Context<'_, Self>) {
        let until = Instant::now() + Duration::from_millis(self.busy_ms);
        while Instant::now() < until {
            std::hint::spin_loop();
        }
    }
}
