//! What ends a command, and its exit code.

use std::io::ErrorKind;
use std::process::ExitCode;

use pintail_net::RoleError;
use thiserror::Error;

use crate::config::UsageError;
use crate::config::server::Impossible;
use crate::output::warn;

/// What ends a command other than success.
#[derive(Debug, Error)]
pub(crate) enum Failure {
    /// The command can't be understood. Also `--help`, which is no failure.
    #[error(transparent)]
    Usage(#[from] UsageError),
    /// Nobody reads on (`pintail status | head`), and nobody minds: no failure either.
    #[error("nobody reads the output any more")]
    Unread,
    /// It went wrong.
    #[error("{sentence}")]
    Failed {
        /// What to do about it.
        sentence: String,
        /// The exit code, for programs.
        code: u8,
    },
}

/// The exit code of what went wrong without one of its own.
const FAILED: u8 = 1;

/// The exit code of a command that can't be understood.
const USAGE: u8 = 2;

impl Failure {
    /// A failure with this sentence.
    pub(crate) fn new(sentence: impl Into<String>) -> Self {
        Self::with_code(FAILED, sentence)
    }

    /// A failure with this sentence and an exit code of its own.
    pub(crate) fn with_code(code: u8, sentence: impl Into<String>) -> Self {
        Self::Failed { sentence: sentence.into(), code }
    }

    /// A command that makes no sense, and what to do about it.
    pub(crate) fn usage(sentence: impl Into<String>) -> Self {
        Self::with_code(USAGE, sentence)
    }

    /// What ends a command whose output can't be written.
    pub(crate) fn unprinted(error: &std::io::Error) -> Self {
        if error.kind() == ErrorKind::BrokenPipe {
            return Self::Unread;
        }
        Self::new(format!("the output can't be written ({error}): check where it goes, and that there is room"))
    }

    /// Tells the operator on the standard error, and gives the exit code.
    pub(crate) fn report(&self) -> ExitCode {
        match self {
            Self::Usage(UsageError::CommandLine(error)) => {
                // Help and version go to the standard output and are a success. If nobody reads them, nobody minds.
                let _ = error.print();
                u8::try_from(error.exit_code()).map_or(ExitCode::FAILURE, ExitCode::from)
            }
            Self::Unread => ExitCode::SUCCESS,
            Self::Usage(error) => {
                warn(format_args!("error: {error}"));
                ExitCode::from(USAGE)
            }
            Self::Failed { sentence, code } => {
                warn(format_args!("error: {sentence}"));
                ExitCode::from(*code)
            }
        }
    }
}

impl From<Impossible> for Failure {
    fn from(error: Impossible) -> Self {
        Self::Usage(error.into())
    }
}

impl From<RoleError> for Failure {
    fn from(error: RoleError) -> Self {
        Self::new(error.to_string())
    }
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        Self::new(format!(
            "the operating system refused ({error}): check the limits of this process, such as `ulimit -n`"
        ))
    }
}
