//! How a process of a test is started: on its cores, and so that it ends with whoever started it.

use std::convert::Infallible;
use std::ffi::{OsStr, OsString};
use std::os::unix::process::CommandExt;
use std::process::Command;

use rustix::process::{Pid, Signal, getppid, set_parent_process_death_signal};
use thiserror::Error;

use crate::pins::{Cores, PinError};

/// What becomes of a process that is about to be another program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hold {
    /// Who started it. When that process is gone, however it went, this one is told to stop.
    pub parent: u32,
    /// Where it runs.
    pub cores: Option<Cores>,
    /// The program.
    pub program: OsString,
    /// Its arguments.
    pub arguments: Vec<OsString>,
}

/// Why a process did not become another program.
#[derive(Debug, Error)]
pub enum HoldError {
    /// Whoever started it is gone.
    #[error("whoever started this process is gone: it is for `pintail bench` to start, which ends its servers by it")]
    Orphaned,
    /// It can't be tied to who started it.
    #[error("the operating system does not tie this process to who started it ({0}): check what confines it")]
    Untied(rustix::io::Errno),
    /// It can't be put on its cores.
    #[error(transparent)]
    Pin(#[from] PinError),
    /// There is no such program.
    #[error("{program} can't be started ({error}): check that it is installed")]
    Program {
        /// Which.
        program: String,
        /// What happened.
        error: std::io::Error,
    },
}

impl Hold {
    /// The arguments that follow the program's own name and the words that lead to [`Hold::read`].
    #[must_use]
    pub fn arguments(&self) -> Vec<OsString> {
        let cores = self.cores.as_ref().map_or_else(|| "-".to_owned(), ToString::to_string);
        let own = [self.parent.to_string().into(), cores.into(), self.program.clone()];
        own.into_iter().chain(self.arguments.iter().cloned()).collect()
    }

    /// What [`Hold::arguments`] wrote.
    #[must_use]
    pub fn read(arguments: &[OsString]) -> Option<Self> {
        let [parent, cores, program, arguments @ ..] = arguments else { return None };
        let cores = if cores == OsStr::new("-") { None } else { Some(cores.to_str()?.parse().ok()?) };
        let parent = parent.to_str()?.parse().ok()?;
        Some(Self { parent, cores, program: program.clone(), arguments: arguments.to_vec() })
    }

    /// Turns this process into the program. It returns only if that can't be done. To be called on the first thread,
    /// before there are others.
    ///
    /// # Errors
    /// See [`HoldError`].
    pub fn become_program(self) -> Result<Infallible, HoldError> {
        set_parent_process_death_signal(Some(Signal::TERM)).map_err(HoldError::Untied)?;
        // Whoever is gone by now tells nobody any more.
        if getppid().map(Pid::as_raw_pid).and_then(|pid| u32::try_from(pid).ok()) != Some(self.parent) {
            return Err(HoldError::Orphaned);
        }
        if let Some(cores) = &self.cores {
            cores.take()?;
        }
        let error = Command::new(&self.program).args(&self.arguments).exec();
        Err(HoldError::Program { program: self.program.to_string_lossy().into_owned(), error })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        for cores in [None, Some("0-2+5".parse().unwrap())] {
            let arguments = ["--save".into(), OsString::new(), "x y".into()].to_vec();
            let hold = Hold { parent: 7, cores, program: "redis-server".into(), arguments };
            assert_eq!(Hold::read(&hold.arguments()), Some(hold));
        }
        for few in [&[][..], &["1".into(), "-".into()], &["x".into(), "-".into(), "p".into()]] {
            assert_eq!(Hold::read(few), None);
        }
    }

    #[test]
    fn nothing_is_started_for_someone_who_is_gone() {
        let hold = Hold { parent: u32::MAX, cores: None, program: "true".into(), arguments: Vec::new() };
        let refusal = std::thread::spawn(move || hold.become_program()).join().unwrap().unwrap_err();
        assert!(matches!(refusal, HoldError::Orphaned), "{refusal}");
    }
}
