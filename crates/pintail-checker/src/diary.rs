//! What happened in a run, as lines of a file beside the processes' logs.

use std::fmt::Display;
use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::sync::Mutex;

use crate::audit::At;
use crate::cluster::lock;

/// A file of lines, each with its time since the run began.
#[derive(Debug)]
pub struct Diary(Mutex<File>);

impl Diary {
    /// A new file.
    ///
    /// # Errors
    /// If it can't be made.
    pub fn create(path: &Path) -> std::io::Result<Self> {
        File::create(path).map(|file| Self(Mutex::new(file)))
    }

    /// Adds a line.
    pub fn note(&self, at: At, what: impl Display) {
        // On a full disk the run goes on without it.
        let _ = writeln!(lock(&self.0), "{:>8.2} s  {what}", at.as_secs_f64());
    }
}
