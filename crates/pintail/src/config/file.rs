//! The settings of the TOML file.

use std::path::{Path, PathBuf};

use clap::Command;
use thiserror::Error;
use toml::de::{DeTable, DeValue};

use super::{program, settings_of, similar};

/// The most bytes of a configuration file. Thousands of times what it needs; a wrong path to something huge is found.
const FILE_BYTES_MAX: u64 = 1024 * 1024;

/// What is wrong with a configuration file.
#[derive(Debug, Error)]
pub(crate) enum FileError {
    /// It can't be read.
    #[error("the configuration file {} can't be read ({error}): check --config or PINTAIL_CONFIG", .path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the operating system says.
        error: std::io::Error,
    },
    /// It is too large to be one.
    #[error("{} has over {FILE_BYTES_MAX} bytes, so it is no configuration file: check --config", .0.display())]
    TooLarge(PathBuf),
    /// It is not TOML.
    #[error("{} is not TOML: {error}", .path.display())]
    Syntax {
        /// The file.
        path: PathBuf,
        /// What the parser says, with the line.
        error: toml::de::Error,
    },
    /// A line of it is no setting.
    #[error("{}, line {line}: {problem}", .path.display())]
    Line {
        /// The file.
        path: PathBuf,
        /// The line, counted from 1.
        line: usize,
        /// What is wrong, and what to do.
        problem: String,
    },
}

/// The settings of a file, each known to its command.
#[derive(Debug)]
pub(crate) struct FileSettings {
    entries: Vec<Entry>,
}

#[derive(Debug)]
struct Entry {
    /// The command whose table the setting stands in; `None` at the top.
    command: Option<String>,
    setting: String,
    value: String,
}

impl FileSettings {
    /// Reads a file and checks that every key is a setting of the program.
    ///
    /// # Errors
    /// If it can't be read, is not TOML, or has a key that is no setting.
    pub(crate) fn read(path: &Path, program: &Command) -> Result<Self, FileError> {
        let unreadable = |error| FileError::Unreadable { path: path.to_owned(), error };
        if std::fs::metadata(path).map_err(unreadable)?.len() > FILE_BYTES_MAX {
            return Err(FileError::TooLarge(path.to_owned()));
        }
        let text = std::fs::read_to_string(path).map_err(unreadable)?;
        let table = DeTable::parse(&text).map_err(|error| FileError::Syntax { path: path.to_owned(), error })?;
        let entries = entries(table.get_ref(), program).map_err(|(offset, problem)| {
            let line = text.bytes().take(offset).filter(|&byte| byte == b'\n').count() + 1;
            FileError::Line { path: path.to_owned(), line, problem }
        })?;
        Ok(Self { entries })
    }

    /// The settings for a command, each once: its own table before the top of the file.
    pub(crate) fn of_command(&self, command: &str) -> impl Iterator<Item = (&str, &str)> {
        let own = |entry: &&Entry| entry.command.as_deref() == Some(command);
        let program = program();
        let known: Vec<String> = program
            .find_subcommand(command)
            .map(|command| settings_of(command).map(str::to_owned).collect())
            .unwrap_or_default();
        let shared = self.entries.iter().filter(move |entry| {
            entry.command.is_none()
                && known.contains(&entry.setting)
                && !self.entries.iter().filter(own).any(|other| other.setting == entry.setting)
        });
        self.entries.iter().filter(own).chain(shared).map(|entry| (entry.setting.as_str(), entry.value.as_str()))
    }
}

/// Where in the file a problem is, and which.
type Problem = (usize, String);

fn entries(table: &DeTable<'_>, program: &Command) -> Result<Vec<Entry>, Problem> {
    let mut entries = Vec::new();
    for (key, value) in table {
        let offset = key.span().start;
        if let (DeValue::Table(inner), Some(command)) =
            (value.get_ref(), program.find_subcommand(key.get_ref().as_ref()))
        {
            for (key, value) in inner {
                let offset = key.span().start;
                check_setting_of(command, key.get_ref(), program).map_err(|problem| (offset, problem))?;
                let value = text_of(key.get_ref(), value.get_ref()).map_err(|problem| (offset, problem))?;
                let command = Some(command.get_name().to_owned());
                entries.push(Entry { command, setting: key.get_ref().to_string(), value });
            }
        } else {
            check_setting(key.get_ref(), program).map_err(|problem| (offset, problem))?;
            let value = text_of(key.get_ref(), value.get_ref()).map_err(|problem| (offset, problem))?;
            entries.push(Entry { command: None, setting: key.get_ref().to_string(), value });
        }
    }
    Ok(entries)
}

fn check_setting(key: &str, program: &Command) -> Result<(), String> {
    let settings = || program.get_subcommands().flat_map(settings_of);
    if settings().any(|setting| setting == key) {
        return Ok(());
    }
    let commands = program.get_subcommands().map(Command::get_name);
    Err(match similar(key, settings().chain(commands)) {
        Some(meant) => format!("there is no setting `{key}`: did you mean `{meant}`?"),
        None => format!("there is no setting `{key}`: `pintail COMMAND --help` lists those of a command"),
    })
}

fn check_setting_of(command: &Command, key: &str, program: &Command) -> Result<(), String> {
    if settings_of(command).any(|setting| setting == key) {
        return Ok(());
    }
    let name = command.get_name();
    let others: Vec<&str> = program
        .get_subcommands()
        .filter(|other| settings_of(other).any(|setting| setting == key))
        .map(Command::get_name)
        .collect();
    // What another command knows is no slip of the keyboard.
    if !others.is_empty() {
        return Err(format!("`{key}` is no setting of `{name}`, but of {}: move or remove it", others.join(", ")));
    }
    Err(match similar(key, settings_of(command)) {
        Some(meant) => format!("`{key}` is no setting of `{name}`: did you mean `{meant}`?"),
        None => format!("there is no setting `{key}`: `pintail {name} --help` lists those of `{name}`"),
    })
}

fn text_of(key: &str, value: &DeValue<'_>) -> Result<String, String> {
    match value {
        DeValue::String(text) => Ok(text.to_string()),
        DeValue::Integer(number) if number.radix() == 10 => Ok(number.as_str().to_owned()),
        _ => Err(format!("the value of `{key}` must be a string in quotes or a whole number")),
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn read(text: &str) -> Result<FileSettings, String> {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(text.as_bytes()).unwrap();
        FileSettings::read(file.path(), &program())
            .map_err(|error| error.to_string().replace(&file.path().display().to_string(), "FILE"))
    }

    #[test]
    fn a_commands_own_table_beats_the_top_and_others_do_not_count() {
        let settings = read("capacity = 7\nhttp = '127.0.0.1:0'\n[game]\ncapacity = 8\nlog = 'debug'").unwrap();
        let of = |command| {
            let mut settings: Vec<_> = settings.of_command(command).collect();
            settings.sort_unstable();
            settings
        };
        assert_eq!(of("game"), [("capacity", "8"), ("log", "debug")]);
        assert_eq!(of("gateway"), [("capacity", "7"), ("http", "127.0.0.1:0")]);
        assert_eq!(of("lobby"), [("capacity", "7")]);
        assert_eq!(of("status"), []);
    }

    #[test]
    fn what_is_no_setting_is_refused_with_its_line_and_a_hint() {
        for (text, said) in [
            ("\ncapcity = 7", "FILE, line 2: there is no setting `capcity`: did you mean `capacity`?"),
            ("color = 'red'", "there is no setting `color`: `pintail COMMAND --help`"),
            ("[gmae]\ncapacity = 1", "FILE, line 1: there is no setting `gmae`: did you mean `game"),
            ("[game]\n\nhttp = '127.0.0.1:0'", "FILE, line 3: `http` is no setting of `game`, but of dev, gateway"),
            ("[game]\nlissten = '127.0.0.1:0'", "line 2: `lissten` is no setting of `game`: did you mean `listen`?"),
            ("[game]\ncolor = 1", "there is no setting `color`: `pintail game --help`"),
            ("config = 'other.toml'", "there is no setting `config`"),
            ("json = true", "there is no setting `json`"),
            ("capacity = 1.5", "line 1: the value of `capacity` must be"),
            ("capacity = [1]", "line 1: the value of `capacity` must be"),
            ("capacity 7", "FILE is not TOML: "),
        ] {
            let refusal = read(text).unwrap_err();
            assert!(refusal.contains(said), "{text:?}: {refusal}");
        }
    }

    #[test]
    fn a_file_that_is_not_there_is_told_with_the_setting_that_names_it() {
        let refusal = FileSettings::read(Path::new("/nowhere/pintail.toml"), &program()).unwrap_err().to_string();
        assert!(refusal.contains("/nowhere/pintail.toml") && refusal.contains("--config"), "{refusal}");
    }
}
