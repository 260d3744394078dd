//! A program under test: its lines come out, lines and signals go in.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

/// How long a program may take to say or do what is waited for. Far more than it needs, for machines that are busy.
const PATIENCE: Duration = Duration::from_secs(60);

/// How often a program that ends is looked at.
const POLL: Duration = Duration::from_millis(10);

/// A program that runs. Dropping it ends it; in a test that fails, it shows what it has said.
#[derive(Debug)]
pub struct Program {
    process: Child,
    stdin: Option<ChildStdin>,
    lines: Receiver<String>,
    /// Everything that was said until now, for the message of a test that fails.
    transcript: Vec<String>,
    /// What was started.
    name: String,
}

/// A program to be started.
#[derive(Debug)]
pub struct ProgramBuilder {
    command: Command,
    log: Option<File>,
}

impl Program {
    /// The program at this path, without any `PINTAIL_…` variable of the environment; `PINTAIL_TEST_LOG` is the filter
    /// of its log.
    #[must_use]
    #[expect(clippy::new_ret_no_self, reason = "a program is built, then started, as a process is")]
    pub fn new(path: impl AsRef<OsStr>) -> ProgramBuilder {
        let mut command = Command::new(path);
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("PINTAIL_") {
                command.env_remove(name);
            }
        }
        if let Some(filter) = std::env::var_os("PINTAIL_TEST_LOG") {
            command.env("PINTAIL_LOG", filter);
        }
        ProgramBuilder { command, log: None }
    }

    /// Waits for a line, on standard output or error, that contains this text, and returns it. Lines before it are
    /// passed over.
    ///
    /// # Panics
    /// If it does not come in time, or the program's output ends.
    pub fn wait_for(&mut self, text: &str) -> String {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let Ok(line) = self.lines.recv_timeout(left) else {
                panic!("the program did not say `{text}`; it said:\n{}", self.transcript.join("\n"));
            };
            self.transcript.push(line.clone());
            if line.contains(text) {
                return line;
            }
        }
    }

    /// Types a line.
    ///
    /// # Panics
    /// If the program's input is closed.
    pub fn type_line(&mut self, line: &str) {
        let stdin = self.stdin.as_mut().expect("the input is open");
        writeln!(stdin, "{line}").expect("the program reads its input");
    }

    /// Ends the program's input.
    pub fn close_input(&mut self) {
        self.stdin = None;
    }

    /// The process's id.
    #[must_use]
    pub fn process_id(&self) -> u32 {
        self.process.id()
    }

    /// Sends a signal, such as `TERM`.
    ///
    /// # Panics
    /// If it can't be sent.
    pub fn signal(&self, name: &str) {
        let pid = self.process.id().to_string();
        let status = Command::new("kill").args(["-s", name, &pid]).status();
        assert!(status.is_ok_and(|status| status.success()), "signal {name} can't be sent to process {pid}");
    }

    /// How the program has ended, if it has.
    ///
    /// # Panics
    /// If the operating system does not say.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.process.try_wait().expect("a child can be waited for")
    }

    /// Waits until the program has ended; the transcript has then all that it said.
    ///
    /// # Panics
    /// If it does not end in time.
    pub fn wait_for_end(&mut self) -> ExitStatus {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.ended() {
                // Its pipes end with it, unless it left children behind.
                while let Ok(line) = self.lines.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                    self.transcript.push(line);
                }
                return status;
            }
            assert!(Instant::now() < deadline, "the program does not end; it said:\n{}", self.transcript().join("\n"));
            std::thread::sleep(POLL);
        }
    }

    /// Everything that the program has said until now, line by line.
    pub fn transcript(&mut self) -> &[String] {
        self.transcript.extend(self.lines.try_iter());
        &self.transcript
    }
}

impl ProgramBuilder {
    /// With these arguments.
    #[must_use]
    pub fn args(mut self, arguments: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Self {
        self.command.args(arguments);
        self
    }

    /// With this environment variable.
    #[must_use]
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.command.env(name, value);
        self
    }

    /// With everything that it says written to a new file as well, for who looks later.
    ///
    /// # Panics
    /// If the file can't be made.
    #[must_use]
    pub fn log_to(mut self, path: impl AsRef<Path>) -> Self {
        let path = path.as_ref();
        self.log = Some(File::create(path).unwrap_or_else(|error| panic!("{} can't be made: {error}", path.display())));
        self
    }

    /// Starts it.
    ///
    /// # Panics
    /// If it can't be started.
    #[must_use]
    pub fn start(mut self) -> Program {
        let spawned = self.command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
        let mut process =
            spawned.unwrap_or_else(|error| panic!("{:?} can't be started: {error}", self.command.get_program()));
        let (sender, lines) = channel();
        let outputs: [Option<Box<dyn Read + Send>>; 2] =
            [process.stdout.take().map(|out| Box::new(out) as _), process.stderr.take().map(|out| Box::new(out) as _)];
        for output in outputs.into_iter().flatten() {
            let sender = sender.clone();
            let mut log = self.log.as_ref().map(|log| log.try_clone().expect("an open file has another handle"));
            std::thread::spawn(move || {
                // It ends with the program, whose pipe it reads, or with the test, which no longer listens.
                BufReader::new(output).lines().map_while(Result::ok).try_for_each(|line| {
                    // On a full disk the test goes on without its log.
                    let _ = log.as_mut().map(|log| log.write_all(format!("{line}\n").as_bytes()));
                    sender.send(line)
                })
            });
        }
        let name = format!("{:?}", self.command);
        Program { stdin: process.stdin.take(), process, lines, transcript: Vec::new(), name }
    }

    /// Runs it to its end.
    ///
    /// # Panics
    /// If it can't be started.
    #[must_use]
    pub fn output(mut self) -> std::process::Output {
        let output = self.command.stdin(Stdio::null()).output();
        output.unwrap_or_else(|error| panic!("{:?} can't be started: {error}", self.command.get_program()))
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // It may have ended by itself; there is nobody to tell.
        let _ = self.process.kill();
        let _ = self.process.wait();
        if std::thread::panicking() {
            let said = self.transcript().join("\n  ");
            println!("{} said:\n  {said}", self.name);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_go_in_and_come_out() {
        let mut cat = Program::new("cat").start();
        cat.type_line("one");
        cat.type_line("two words");
        assert_eq!(cat.wait_for("words"), "two words");
        cat.close_input();
        assert!(cat.wait_for_end().success());
        assert_eq!(cat.transcript(), ["one", "two words"]);
    }

    #[test]
    fn what_it_says_is_in_its_log_too() {
        let directory = tempfile::tempdir().unwrap();
        let log = directory.path().join("sh.log");
        let mut shell = Program::new("sh").args(["-c", "echo out; echo err >&2"]).log_to(&log).start();
        assert!(shell.wait_for_end().success());
        assert!(shell.ended().is_some_and(|status| status.success()));
        let mut lines: Vec<_> = std::fs::read_to_string(log).unwrap().lines().map(str::to_owned).collect();
        lines.sort_unstable();
        assert_eq!(lines, ["err", "out"]);
    }

    #[test]
    fn signals_end_it() {
        let mut cat = Program::new("cat").start();
        cat.signal("TERM");
        assert!(!cat.wait_for_end().success());
    }
}
