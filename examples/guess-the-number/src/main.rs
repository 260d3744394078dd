//! A race to guess a number: a game of your own on Pintail. Run `cargo run -p guess-the-number -- dev`, then in two other
//! terminals `cargo run -p guess-the-number -- play guess-the-number`; a guess is typed as a number. How many races a machine
//! carries: `cargo run --release -p guess-the-number -- bench race --self --rooms 100`.

use std::process::ExitCode;

use pintail::bench::{Bot, BotContext, BotKind, Bots};
use pintail::{Context, Game, GameTypes, Json, LeaveReason, Payload, Player, Program, Refusal, Rules};
use serde::{Deserialize, Serialize};

/// One race. Everything that it knows is in here, so that it can go on elsewhere.
#[derive(Serialize, Deserialize)]
struct Guess {
    secret: u32,
    highest: u32,
}

#[derive(Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Settings {
    /// The highest number that the secret can be.
    highest: u32,
}

impl Default for Settings {
    fn default() -> Self {
        Self { highest: 100 }
    }
}

#[derive(Serialize, Deserialize)]
enum Said {
    GuessFrom1To(u32),
    Higher,
    Lower,
    Won { by: String, secret: u32 },
}

impl Game for Guess {
    const NAME: &'static str = "guess-the-number";
    const RULES: Rules = Rules::journaled().players(2, 8);
    type Settings = Settings;
    type Input = Json<u32>;
    type Output = Json<Said>;

    fn check(settings: &Settings) -> Result<(), Refusal> {
        if settings.highest > 0 { Ok(()) } else { Err(Refusal::new("the highest number must be 1 or more")) }
    }

    fn new(settings: Settings, ctx: &mut Context<'_, Self>) -> Result<Self, Refusal> {
        Ok(Self { secret: 1 + ctx.rng().below(settings.highest), highest: settings.highest })
    }

    fn join(&mut self, ctx: &mut Context<'_, Self>, player: Player) {
        ctx.send(player, Said::GuessFrom1To(self.highest));
    }

    fn leave(&mut self, ctx: &mut Context<'_, Self>, _: Player, _: LeaveReason) {
        if ctx.players().count() < 2 {
            ctx.end("everyone else has left");
        }
    }

    fn input(&mut self, ctx: &mut Context<'_, Self>, player: Player, Json(guess): Json<u32>) {
        match guess.cmp(&self.secret) {
            std::cmp::Ordering::Less => ctx.send(player, Said::Higher),
            std::cmp::Ordering::Greater => ctx.send(player, Said::Lower),
            std::cmp::Ordering::Equal => {
                let by = ctx.name(player).to_owned();
                ctx.broadcast(Said::Won { by: by.clone(), secret: self.secret });
                ctx.end(by);
            }
        }
    }
}

/// A player for the stress test, who halves what is left: each answer is followed by the next guess.
struct Racer {
    low: u32,
    high: u32,
}

impl Racer {
    fn guess(&self) -> u32 {
        self.low + (self.high - self.low) / 2
    }
}

impl Bot for Racer {
    fn message(&mut self, ctx: &mut BotContext<'_>, payload: &[u8]) {
        match Json::decode(&payload.to_vec().into()) {
            Ok(Json(Said::GuessFrom1To(highest))) => (self.low, self.high) = (1, highest),
            Ok(Json(Said::Higher)) => self.low = self.guess() + 1,
            Ok(Json(Said::Lower)) => self.high = self.guess() - 1,
            Ok(Json(Said::Won { .. })) => return ctx.count("races seen to their end", 1),
            Err(_) => return ctx.error("an answer can't be read"),
        }
        ctx.send(&Json(self.guess()).encode());
    }
}

fn main() -> ExitCode {
    let racers = BotKind { room_players: 2, ..BotKind::new("race", Guess::NAME, |_seed| Racer { low: 1, high: 1 }) };
    Program::new(GameTypes::new().with::<Guess>()).bots(Bots::new().with(racers)).main()
}
