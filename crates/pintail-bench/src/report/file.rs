//! The JSON file of a report.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use super::{HistogramError, REPORT_FORMAT, Report};

/// How large a report may be that is read. A day of seconds of ten servers, with flame graphs, has some 100 MB.
const FILE_BYTES_MAX: u64 = 512 << 20;

/// Why a report can't be read or written.
#[derive(Debug, thiserror::Error)]
pub enum ReportError {
    /// The file can't be read.
    #[error("{path} can't be read: {error}. Give the file that `pintail bench … --json FILE` wrote.")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the operating system says.
        error: std::io::Error,
    },
    /// The file can't be written.
    #[error("the report can't be written to {path}: {error}. Choose another file with --json.")]
    Unwritable {
        /// The file.
        path: PathBuf,
        /// What the operating system says.
        error: std::io::Error,
    },
    /// The file is larger than a report can be.
    #[error(
        "{path} has more than {} bytes, which no report has. Give the file that `pintail bench … --json FILE` wrote.",
        FILE_BYTES_MAX
    )]
    TooLarge {
        /// The file.
        path: PathBuf,
    },
    /// The file holds something else.
    #[error("{path} is no report of a stress test: {error}. Give the file that `pintail bench … --json FILE` wrote.")]
    NoReport {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        error: serde_json::Error,
    },
    /// The report was written by a version of Pintail whose reports differ.
    #[error(
        "{path} is a report of format {found}, and this program reads format {REPORT_FORMAT}. Read it with the version \
         of Pintail that wrote it, or run the test again."
    )]
    OtherFormat {
        /// The file.
        path: PathBuf,
        /// Its format.
        found: u64,
    },
    /// A distribution in the report can't be decoded.
    #[error(
        "{path} has a `{measure}` that can't be read: {error}. The file was damaged or edited: run the test again."
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// The measure.
        measure: String,
        /// What is wrong with it.
        error: HistogramError,
    },
}

/// Reads a report.
///
/// # Errors
/// If the file can't be read, is no report, is one of another format, or is damaged.
pub fn read(path: &Path) -> Result<Report, ReportError> {
    let unreadable = |error| ReportError::Unreadable { path: path.to_owned(), error };
    let file = File::open(path).map_err(unreadable)?;
    let text = read_at_most(&file, FILE_BYTES_MAX).map_err(unreadable)?;
    let text = text.ok_or_else(|| ReportError::TooLarge { path: path.to_owned() })?;
    let report = parse(path, &text)?;
    check_histograms(path, &report)?;
    Ok(report)
}

/// All of it; `None` if there is more than that. A pipe or a device has no size that could be asked for before.
fn read_at_most(file: impl Read, bytes_max: u64) -> std::io::Result<Option<Vec<u8>>> {
    let mut text = Vec::new();
    let read = file.take(bytes_max + 1).read_to_end(&mut text)?;
    Ok((read as u64 <= bytes_max).then_some(text))
}

/// Writes a report, in one step: whoever reads the file meanwhile sees the old one or the new one.
///
/// # Errors
/// If the file can't be written.
pub fn write(path: &Path, report: &Report) -> Result<(), ReportError> {
    let unwritable = |error| ReportError::Unwritable { path: path.to_owned(), error };
    let mut text = serde_json::to_vec_pretty(report).expect("its keys are strings, so that it has a JSON form");
    text.push(b'\n');
    if !is_replaceable(path) {
        return std::fs::write(path, text).map_err(unwritable);
    }
    let beside = beside(path);
    std::fs::write(&beside, text).and_then(|()| std::fs::rename(&beside, path)).map_err(|error| {
        // What was begun is of no use to anybody.
        let _ = std::fs::remove_file(&beside);
        unwritable(error)
    })
}

/// Whether the file can be replaced by another: a pipe or a device (`/dev/stdout`) is written as it is.
fn is_replaceable(path: &Path) -> bool {
    std::fs::metadata(path).map_or(true, |metadata| metadata.is_file())
}

fn beside(path: &Path) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}.part", std::process::id()));
    path.with_file_name(name)
}

fn parse(path: &Path, text: &[u8]) -> Result<Report, ReportError> {
    /// What every report has, of whatever format.
    #[derive(serde::Deserialize)]
    struct AnyReport {
        format: u64,
    }
    let no_report = |error| ReportError::NoReport { path: path.to_owned(), error };
    // The format first: a report of another is not one that is damaged.
    let AnyReport { format } = serde_json::from_slice(text).map_err(no_report)?;
    if format != u64::from(REPORT_FORMAT) {
        return Err(ReportError::OtherFormat { path: path.to_owned(), found: format });
    }
    serde_json::from_slice(text).map(with_seed_apart).map_err(no_report)
}

/// A report of Pintail 0.1.0 has the seed among its settings, where it would tell two equal tests apart.
fn with_seed_apart(mut report: Report) -> Report {
    if report.seed.is_none() {
        report.seed = report.scenario.settings.remove("seed").and_then(|seed| seed.parse().ok());
    }
    report
}

fn check_histograms(path: &Path, report: &Report) -> Result<(), ReportError> {
    for run in report.runs.iter().chain(&report.calibration) {
        let late = run.sent_late.iter().map(|late| ("sent late", late));
        for (name, measure) in run.measures.iter().map(|(name, measure)| (name.as_str(), measure)).chain(late) {
            measure.to_histogram().map_err(|error| ReportError::Damaged {
                path: path.to_owned(),
                measure: name.to_owned(),
                error,
            })?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::sample;
    use super::*;

    fn folder() -> tempfile::TempDir {
        tempfile::tempdir().expect("a folder")
    }

    #[test]
    fn a_report_is_read_as_it_was_written() {
        let folder = folder();
        let path = folder.path().join("report.json");
        let report = sample::report();
        std::fs::write(&path, "what was there before").expect("a file");
        write(&path, &report).expect("a folder that can be written");
        assert_eq!(read(&path).expect("as written"), report);
        assert_eq!(std::fs::read_dir(folder.path()).expect("the folder").count(), 1, "nothing is left beside it");
    }

    #[test]
    fn a_seed_among_the_settings_is_taken_from_there() {
        let folder = folder();
        let path = folder.path().join("report.json");
        let mut old = sample::report();
        old.seed = None;
        old.scenario.settings.insert("seed".to_owned(), "7".to_owned());
        write(&path, &old).expect("a folder that can be written");
        assert_eq!(read(&path).expect("as written"), sample::report());
    }

    #[test]
    fn a_file_that_is_no_report_is_refused_with_what_to_do() {
        let folder = folder();
        let path = folder.path().join("report.json");
        let mut damaged = sample::report();
        damaged.runs[1].measures.get_mut("login").expect("a measure").histogram.truncate(40);
        let damaged = serde_json::to_string(&damaged).expect("JSON");
        let cases = [
            ("", "is no report of a stress test"),
            ("{}", "missing field `format`"),
            ("{\"format\": 1}", "missing field"),
            ("{\"format\": 7, \"runs\": 3}", "is a report of format 7, and this program reads format 1"),
            (&damaged, "has a `login` that can't be read"),
        ];
        for (text, words) in cases {
            std::fs::write(&path, text).expect("a file");
            let error = read(&path).expect_err(text).to_string();
            assert!(error.contains(words) && error.ends_with('.'), "{error}");
        }
    }

    #[test]
    fn what_has_no_end_is_not_read_to_it() {
        assert_eq!(read_at_most(&b"12345"[..], 5).expect("bytes"), Some(b"12345".to_vec()));
        assert_eq!(read_at_most(&b"123456"[..], 5).expect("bytes"), None);
        let zeros = File::open("/dev/zero").expect("a device");
        assert_eq!(read_at_most(&zeros, 100_000).expect("zeros"), None);
        let error = ReportError::TooLarge { path: "/dev/zero".into() }.to_string();
        assert!(error.contains("/dev/zero has more than 536870912 bytes"), "{error}");
    }

    #[test]
    fn what_is_not_there_is_told_with_its_name() {
        let path = folder().path().join("gone").join("report.json");
        let error = read(&path).expect_err("no such folder").to_string();
        assert!(error.contains("report.json can't be read"), "{error}");
        let error = write(&path, &sample::report()).expect_err("no such folder").to_string();
        assert!(error.contains("--json"), "{error}");
    }
}
