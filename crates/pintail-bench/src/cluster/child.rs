//! One process of a test: what it says, and how it ends.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, BufReader};
use tokio::process::{Child as Process, Command};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout, timeout_at};

use super::ClusterError;
use super::hold::Hold;
use crate::pins::Cores;

/// How many of a process's last lines are kept, for when it ends unexpectedly.
const LINES_KEPT: usize = 20;

/// How much of a line is kept. The rest of it counts as the next line.
const LINE_BYTES_MAX: u64 = 1000;

/// How many lines may wait for whoever waits for the process to be ready. What comes when it is full is kept as a last
/// line only.
const LINES_WAITING_MAX: usize = 256;

/// How long the last words of a process that has ended may take to arrive.
const LAST_WORDS_PATIENCE: Duration = Duration::from_secs(1);

/// How processes are started: by this program, which becomes them.
#[derive(Debug, Clone)]
pub struct Launcher {
    /// This program, which serves as well as it tests.
    pub program: PathBuf,
    /// The words that make it read its other arguments as a [`Hold`].
    pub hold: Vec<OsString>,
}

/// A process to be started.
#[derive(Debug)]
pub(super) struct Recipe {
    /// What the report calls it.
    pub(super) name: String,
    pub(super) program: OsString,
    pub(super) arguments: Vec<OsString>,
    pub(super) environment: Vec<(&'static str, String)>,
    pub(super) cores: Option<Cores>,
}

/// A process of a test. Dropping it kills it.
#[derive(Debug)]
pub(super) struct Child {
    pub(super) name: String,
    pub(super) pid: u32,
    process: Process,
    last_lines: Arc<Mutex<VecDeque<String>>>,
    lines: mpsc::Receiver<String>,
    readers: Vec<JoinHandle<()>>,
}

impl Launcher {
    /// Starts a process.
    pub(super) fn start(&self, recipe: Recipe) -> Result<Child, ClusterError> {
        let Recipe { name, program, arguments, environment, cores } = recipe;
        let hold = Hold { parent: std::process::id(), cores, program, arguments };
        let mut command = Command::new(&self.program);
        command.args(&self.hold).args(hold.arguments());
        // The servers of a test have the settings of the test, and none that is meant for others.
        for (variable, _) in std::env::vars_os() {
            if variable.to_string_lossy().starts_with("PINTAIL_") {
                command.env_remove(variable);
            }
        }
        command.envs(environment);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        // Ctrl-C is for the test, which ends the servers when it has its report.
        command.process_group(0);
        let process = command.spawn();
        let mut process = process.map_err(|error| ClusterError::NotStarted { name: name.clone(), error })?;
        let pid = process.id().expect("a process that nobody has waited for has an id");
        let (lines_tx, lines) = mpsc::channel(LINES_WAITING_MAX);
        let last_lines = Arc::new(Mutex::new(VecDeque::new()));
        let stdout = process.stdout.take().expect("its output was asked for");
        let stderr = process.stderr.take().expect("its errors were asked for");
        let readers = vec![
            tokio::spawn(read(stdout, last_lines.clone(), lines_tx.clone())),
            tokio::spawn(read(stderr, last_lines.clone(), lines_tx)),
        ];
        Ok(Child { name, pid, process, last_lines, lines, readers })
    }
}

/// Takes what a process says, so that it is never blocked by it.
async fn read(stream: impl AsyncRead + Unpin, last: Arc<Mutex<VecDeque<String>>>, lines: mpsc::Sender<String>) {
    let mut stream = BufReader::new(stream);
    let mut line = Vec::new();
    loop {
        line.clear();
        match (&mut stream).take(LINE_BYTES_MAX).read_until(b'\n', &mut line).await {
            Ok(0) | Err(_) => return,
            Ok(_) => {}
        }
        let text = String::from_utf8_lossy(&line).trim_end().to_owned();
        {
            let mut last = last.lock().unwrap_or_else(PoisonError::into_inner);
            if last.len() == LINES_KEPT {
                last.pop_front();
            }
            last.push_back(text.clone());
        }
        let _ = lines.try_send(text);
    }
}

impl Child {
    /// Waits for a line that `pick` takes.
    pub(super) async fn wait_for<T>(
        &mut self,
        deadline: Instant,
        mut pick: impl FnMut(&str) -> Option<T>,
    ) -> Result<T, ClusterError> {
        let wanted = async {
            while let Some(line) = self.lines.recv().await {
                if let Some(picked) = pick(&line) {
                    return Some(picked);
                }
            }
            None
        };
        match timeout_at(deadline, wanted).await {
            Ok(Some(picked)) => Ok(picked),
            Ok(None) => {
                let status = timeout_at(deadline, self.process.wait()).await;
                Err(self.ended(status.ok().and_then(Result::ok)).await)
            }
            Err(_) => Err(ClusterError::NotReady { name: self.name.clone(), last: self.last_words().await }),
        }
    }

    /// How it ended, if it did.
    pub(super) async fn try_end(&mut self) -> Option<ClusterError> {
        match self.process.try_wait() {
            Ok(None) => None,
            Ok(Some(status)) => Some(self.ended(Some(status)).await),
            Err(_) => Some(self.ended(None).await),
        }
    }

    async fn ended(&mut self, status: Option<ExitStatus>) -> ClusterError {
        let how = status.map_or_else(|| "nobody knows how".to_owned(), |status| status.to_string());
        ClusterError::Ended { name: self.name.clone(), how, last: self.last_words().await }
    }

    /// The last lines, with those that it wrote before it ended.
    async fn last_words(&mut self) -> Vec<String> {
        if self.process.id().is_none() {
            let all_read = async {
                for reader in self.readers.drain(..) {
                    let _ = reader.await;
                }
            };
            let _ = timeout(LAST_WORDS_PATIENCE, all_read).await;
        }
        self.last_lines.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect()
    }

    /// Tells it to stop, if it still runs.
    pub(super) fn terminate(&mut self) {
        // Its id is its own as long as nobody has waited for it: that is asked first.
        if let Ok(None) = self.process.try_wait()
            && let Some(pid) = i32::try_from(self.pid).ok().and_then(Pid::from_raw)
        {
            // It may have ended in this moment.
            let _ = kill_process(pid, Signal::TERM);
        }
    }

    /// Waits until it has ended, and kills it if it has not by then.
    pub(super) async fn end_by(&mut self, deadline: Instant) {
        if timeout_at(deadline, self.process.wait()).await.is_err() {
            // Nothing is left to do for one that can't be killed.
            let _ = self.process.kill().await;
        }
    }
}
