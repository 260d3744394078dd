//! Which processes run on which cores.
//!
//! A load that shares its core with the servers measures itself as well. So a cluster that is started for a test leaves one
//! core to the load: [`Pins::apart`] is what that means on this machine.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
use thiserror::Error;

/// What the operator says about cores: `auto`, `off`, or `servers=0,load=1,redis=1`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum PinChoice {
    /// The load has a core of its own, if there are two.
    #[default]
    Auto,
    /// The operating system decides.
    Off,
    /// Exactly so.
    Exactly(Pins),
}

/// The cores of each part of a test. A part that is not named runs wherever the operating system wants.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Pins {
    /// The servers, all of them together.
    pub servers: Option<Cores>,
    /// The load.
    pub load: Option<Cores>,
    /// Redis.
    pub redis: Option<Cores>,
}

/// Some cores by their numbers, as the operating system counts them: `0`, `0-3`, `0+2`. At least one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cores(BTreeSet<usize>);

/// Why processes can't be pinned so.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum PinError {
    /// The text is no choice.
    #[error(
        "`{0}` names no cores: write `auto`, `off`, or such as `servers=0,load=1,redis=1` (several: `servers=0-2+5`)"
    )]
    Unreadable(String),
    /// There is no such core.
    #[error("core {core} is not among those that this program may use ({allowed}): choose from them with --pin")]
    NotAllowed {
        /// The one that was asked for.
        core: usize,
        /// Those that there are.
        allowed: Cores,
    },
    /// The operating system refused.
    #[error("the operating system does not let this program choose its cores ({0}): use `--pin off`")]
    Refused(String),
}

impl PinChoice {
    /// What it means on this machine.
    ///
    /// # Errors
    /// If it names a core that this program may not use.
    pub fn resolve(&self, allowed: &Cores) -> Result<Pins, PinError> {
        match self {
            Self::Off => Ok(Pins::default()),
            Self::Auto => Ok(Pins::apart(allowed)),
            Self::Exactly(pins) => pins.check(allowed).map(|()| pins.clone()),
        }
    }
}

impl Pins {
    /// The load, and Redis with it, on the last core; the servers on all others. Nothing if there is one core only.
    #[must_use]
    pub fn apart(allowed: &Cores) -> Self {
        let mut others = allowed.0.clone();
        match others.pop_last() {
            Some(last) if !others.is_empty() => {
                let last = Some(Cores(BTreeSet::from([last])));
                Self { servers: Some(Cores(others)), redis: last.clone(), load: last }
            }
            _ => Self::default(),
        }
    }

    fn check(&self, allowed: &Cores) -> Result<(), PinError> {
        let named = [&self.servers, &self.load, &self.redis];
        let strange = named.into_iter().flatten().flat_map(|cores| &cores.0).find(|core| !allowed.0.contains(core));
        strange.map_or(Ok(()), |&core| Err(PinError::NotAllowed { core, allowed: allowed.clone() }))
    }
}

impl fmt::Display for Pins {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts = [("servers", &self.servers), ("load", &self.load), ("redis", &self.redis)];
        let parts = parts.into_iter().filter_map(|(name, cores)| Some(format!("{name}={}", cores.as_ref()?)));
        f.write_str(&parts.collect::<Vec<_>>().join(","))
    }
}

impl FromStr for PinChoice {
    type Err = PinError;

    fn from_str(text: &str) -> Result<Self, PinError> {
        match text {
            "auto" => return Ok(Self::Auto),
            "off" => return Ok(Self::Off),
            _ => {}
        }
        let unreadable = || PinError::Unreadable(text.to_owned());
        let mut pins = Pins::default();
        for part in text.split(',') {
            let (name, cores) = part.split_once('=').ok_or_else(unreadable)?;
            let place = match name.trim() {
                "servers" => &mut pins.servers,
                "load" => &mut pins.load,
                "redis" => &mut pins.redis,
                _ => return Err(unreadable()),
            };
            if place.replace(cores.trim().parse().map_err(|_| unreadable())?).is_some() {
                return Err(unreadable());
            }
        }
        Ok(Self::Exactly(pins))
    }
}

impl Cores {
    /// Those that this thread may use.
    ///
    /// # Errors
    /// If the operating system does not say.
    pub fn allowed() -> Result<Self, PinError> {
        let set = sched_getaffinity(None).map_err(|error| PinError::Refused(error.to_string()))?;
        Ok(Self((0..CpuSet::MAX_CPU).filter(|&core| set.is_set(core)).collect()))
    }

    /// How many.
    #[must_use]
    pub fn count(&self) -> usize {
        self.0.len()
    }

    /// Keeps this thread, and whatever it starts from now on, on these cores.
    ///
    /// # Errors
    /// If the operating system refuses.
    pub fn take(&self) -> Result<(), PinError> {
        let mut set = CpuSet::new();
        for &core in &self.0 {
            set.set(core);
        }
        sched_setaffinity(None, &set).map_err(|error| PinError::Refused(error.to_string()))
    }
}

impl FromStr for Cores {
    type Err = PinError;

    fn from_str(text: &str) -> Result<Self, PinError> {
        let unreadable = || PinError::Unreadable(text.to_owned());
        let number = |text: &str| {
            let number = text.parse().ok().filter(|&core: &usize| core < CpuSet::MAX_CPU);
            number.ok_or_else(unreadable)
        };
        let mut cores = BTreeSet::new();
        for part in text.split('+') {
            match part.split_once('-') {
                Some((first, last)) => cores.extend(number(first)?..=number(last)?),
                None => cores.extend([number(part)?]),
            }
        }
        if cores.is_empty() { Err(unreadable()) } else { Ok(Self(cores)) }
    }
}

impl fmt::Display for Cores {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut ranges: Vec<(usize, usize)> = Vec::new();
        for &core in &self.0 {
            match ranges.last_mut() {
                Some((_, last)) if *last + 1 == core => *last = core,
                _ => ranges.push((core, core)),
            }
        }
        let ranges = ranges.into_iter().map(|(first, last)| match last - first {
            0 => first.to_string(),
            _ => format!("{first}-{last}"),
        });
        f.write_str(&ranges.collect::<Vec<_>>().join("+"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cores(text: &str) -> Cores {
        text.parse().unwrap()
    }

    #[test]
    fn choices_are_read() {
        assert_eq!("auto".parse(), Ok(PinChoice::Auto));
        assert_eq!("off".parse(), Ok(PinChoice::Off));
        let PinChoice::Exactly(pins) = "servers=0-2+5, load=1".parse().unwrap() else { panic!("exact pins") };
        assert_eq!(pins, Pins { servers: Some(cores("0+1+2+5")), load: Some(cores("1")), redis: None });
        assert_eq!(pins.to_string(), "servers=0-2+5,load=1");
    }

    #[test]
    fn what_names_no_cores_is_refused_with_what_would() {
        for text in ["", "on", "servers", "servers=", "servers=a", "servers=2-1", "servers=0,servers=1", "game=1"] {
            let refusal = text.parse::<PinChoice>().unwrap_err().to_string();
            assert!(refusal.contains("servers=0,load=1,redis=1"), "{text}: {refusal}");
        }
        for text in ["servers=99999", "servers=-1", "load=0-99999999999"] {
            assert!(text.parse::<PinChoice>().is_err(), "{text}");
        }
    }

    #[test]
    fn by_itself_the_load_has_a_core_of_its_own() {
        for (allowed, pins) in [
            ("0-1", "servers=0,load=1,redis=1"),
            ("0-3", "servers=0-2,load=3,redis=3"),
            ("2+5+7", "servers=2+5,load=7,redis=7"),
            ("4", ""),
        ] {
            assert_eq!(PinChoice::Auto.resolve(&cores(allowed)).unwrap().to_string(), pins, "{allowed}");
        }
        assert_eq!(PinChoice::Off.resolve(&cores("0-3")), Ok(Pins::default()));
    }

    #[test]
    fn a_core_that_is_not_there_is_named() {
        let choice: PinChoice = "servers=0,load=7".parse().unwrap();
        let refusal = choice.resolve(&cores("0-3")).unwrap_err();
        assert_eq!(refusal, PinError::NotAllowed { core: 7, allowed: cores("0-3") });
        assert!(refusal.to_string().contains("(0-3)"));
        assert!(choice.resolve(&cores("0+7")).is_ok());
    }

    #[test]
    fn a_thread_stays_where_it_is_put() {
        let put = std::thread::spawn(|| {
            let first = *Cores::allowed().unwrap().0.first().unwrap();
            let first = cores(&first.to_string());
            first.take().unwrap();
            (Cores::allowed().unwrap(), first)
        });
        let (allowed, first) = put.join().unwrap();
        assert_eq!(allowed, first);
    }
}
