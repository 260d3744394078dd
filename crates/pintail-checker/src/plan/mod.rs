//! What goes wrong in a run, and when: made from a seed before anything starts.

mod act;

use std::fmt;
use std::time::Duration;

use clap::ValueEnum;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

pub use act::{Act, Class, Disturbance, Way, name};

/// How long a cluster is left alone between two failures, in milliseconds.
const REST: std::ops::RangeInclusive<u64> = 300..=2500;

/// How soon a cluster can be healthy again. A plan for a certain time has as many failures as there could be in it.
const RECOVERY: Duration = Duration::from_millis(100);

/// Which failures a run has, and how often each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Scenario {
    /// All of them, kills most
    Mixed,
    /// Processes are killed
    Crash,
    /// Processes stand still
    Hang,
    /// Connections are cut and delayed
    Network,
    /// Redis is killed, stopped and slow
    Store,
    /// Servers are replaced in good order
    Rolling,
    /// Nothing goes wrong
    Calm,
}

/// An act with its place in a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Planned {
    /// How long everything is left alone before.
    pub rest: Duration,
    /// What is done.
    pub act: Act,
    /// To which server of the kind.
    pub pick: Pick,
}

/// Which server of a kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pick {
    /// The one with the most players or games.
    Fullest,
    /// This one of them, counted around.
    Number(usize),
}

/// Everything that goes wrong in a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// What it was made from.
    pub seed: u64,
    /// In order.
    pub acts: Vec<Planned>,
}

/// How likely each kind of failure is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mix(Vec<(Class, u32)>);

impl Mix {
    /// That of a scenario.
    #[must_use]
    pub fn of(scenario: Scenario) -> Self {
        Self(scenario.weights().to_vec())
    }

    /// These kinds alone, each as likely as any other.
    #[must_use]
    pub fn only(classes: &[Class]) -> Self {
        Self(classes.iter().map(|class| (*class, 1)).collect())
    }
}

impl Scenario {
    const fn weights(self) -> &'static [(Class, u32)] {
        use Class::{Cut, Drain, Kill, Pause, RedisKilled, RedisSlow, Rolling};
        use pintail_core::Kind::{Game, Gateway, Lobby};
        match self {
            Self::Mixed => &[
                (Kill(Game), 7),
                (Kill(Gateway), 3),
                (Kill(Lobby), 2),
                (Pause(Game), 5),
                (Pause(Gateway), 2),
                (Pause(Lobby), 1),
                (Cut(Game), 5),
                (Cut(Gateway), 3),
                (Cut(Lobby), 1),
                (RedisKilled, 2),
                (RedisSlow, 3),
                (Drain(Game), 3),
                (Drain(Gateway), 1),
                (Drain(Lobby), 1),
                (Rolling, 1),
            ],
            Self::Crash => &[(Kill(Game), 5), (Kill(Gateway), 2), (Kill(Lobby), 1), (RedisKilled, 1)],
            Self::Hang => &[(Pause(Game), 5), (Pause(Gateway), 2), (Pause(Lobby), 1), (RedisSlow, 2)],
            Self::Network => &[(Cut(Game), 5), (Cut(Gateway), 3), (Cut(Lobby), 1)],
            Self::Store => &[(RedisKilled, 3), (RedisSlow, 3)],
            Self::Rolling => &[(Drain(Game), 5), (Drain(Gateway), 2), (Drain(Lobby), 1), (Rolling, 1)],
            Self::Calm => &[],
        }
    }
}

impl Plan {
    /// As many failures as fit into this time. The same seed gives the same plan.
    #[must_use]
    pub fn new(seed: u64, Mix(weights): &Mix, duration: Duration) -> Self {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        let mut acts = Vec::new();
        let mut taken = Duration::ZERO;
        while !weights.is_empty() {
            let class = any_class(&mut random, weights);
            let planned = any_of(&mut random, class);
            taken += planned.rest + planned.act.duration() + RECOVERY;
            if taken > duration {
                break;
            }
            acts.push(planned);
        }
        Self { seed, acts }
    }

    /// One failure of each of these kinds, in an order that the seed gives, always of the fullest server.
    #[must_use]
    pub fn one_of_each(seed: u64, classes: &[Class]) -> Self {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        let mut left = classes.to_vec();
        let mut acts = Vec::new();
        while !left.is_empty() {
            let class = left.swap_remove(random.random_range(0..left.len()));
            acts.push(Planned { pick: Pick::Fullest, ..any_of(&mut random, class) });
        }
        Self { seed, acts }
    }
}

fn any_class(random: &mut ChaCha8Rng, weights: &[(Class, u32)]) -> Class {
    let total: u32 = weights.iter().map(|(_, weight)| weight).sum();
    let mut left = random.random_range(0..total);
    for (class, weight) in weights {
        match left.checked_sub(*weight) {
            None => return *class,
            Some(rest) => left = rest,
        }
    }
    unreachable!("what is left is less than the sum of all weights")
}

fn any_of(random: &mut ChaCha8Rng, class: Class) -> Planned {
    let rest = Duration::from_millis(random.random_range(REST));
    let act = Act::any(random, class);
    let pick = if random.random_range(0..2) == 0 { Pick::Fullest } else { Pick::Number(random.random_range(0..64)) };
    Planned { rest, act, pick }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, planned) in self.acts.iter().enumerate() {
            let rest = planned.rest.as_secs_f64();
            writeln!(f, "{:>4}  after {rest:.1} s of rest: {planned}", number + 1)?;
        }
        Ok(())
    }
}

impl fmt::Display for Planned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.act.class(), self.pick) {
            (Class::RedisKilled | Class::RedisSlow | Class::Rolling, _) => self.act.fmt(f),
            (_, Pick::Fullest) => write!(f, "{} (the fullest)", self.act),
            (_, Pick::Number(number)) => write!(f, "{} (number {number})", self.act),
        }
    }
}

#[cfg(test)]
mod tests {
    use pintail_core::Kind;

    use super::*;

    #[test]
    fn a_seed_gives_one_plan_and_another_gives_another() {
        let plan = |seed| Plan::new(seed, &Mix::of(Scenario::Mixed), Duration::from_secs(600));
        assert_eq!(plan(7), plan(7));
        assert_ne!(plan(7).acts, plan(8).acts);
        assert!((100..240).contains(&plan(7).acts.len()), "{}", plan(7).acts.len());
        assert_eq!(plan(7).to_string().lines().count(), plan(7).acts.len());
    }

    #[test]
    fn a_scenario_has_its_own_kinds_alone_and_the_mixed_one_all() {
        let kinds = |scenario| {
            let acts = Plan::new(1, &Mix::of(scenario), Duration::from_secs(36_000)).acts;
            let mut classes: Vec<Class> = acts.iter().map(|planned| planned.act.class()).collect();
            classes.sort_unstable();
            classes.dedup();
            classes
        };
        let all = Scenario::value_variants().iter();
        for scenario in all.filter(|scenario| **scenario != Scenario::Calm) {
            let mut expected: Vec<Class> = scenario.weights().iter().map(|(class, _)| *class).collect();
            expected.sort_unstable();
            assert_eq!(kinds(*scenario), expected, "{scenario:?}");
        }
        assert_eq!(kinds(Scenario::Calm), []);
        assert_eq!(kinds(Scenario::Mixed).len(), Class::every().count());
    }

    #[test]
    fn each_kind_has_a_name_that_can_be_typed() {
        for class in Class::every() {
            assert_eq!(class.key().parse(), Ok(class));
        }
        assert!("kill-redis".parse::<Class>().unwrap_err().contains("redis-killed"));
        let only = Plan::new(1, &Mix::only(&[Class::RedisKilled]), Duration::from_secs(60));
        assert!(only.acts.iter().all(|planned| planned.act.class() == Class::RedisKilled) && !only.acts.is_empty());
    }

    #[test]
    fn one_of_each_is_that() {
        let classes = [Class::Kill(Kind::Game), Class::RedisKilled, Class::Drain(Kind::Game)];
        let plan = Plan::one_of_each(3, &classes);
        let mut of_plan: Vec<Class> = plan.acts.iter().map(|planned| planned.act.class()).collect();
        of_plan.sort_unstable();
        assert_eq!(of_plan, classes);
    }
}
