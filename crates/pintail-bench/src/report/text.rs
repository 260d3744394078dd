//! The report on the terminal.
use super::{Paint, Report};
/// The report as text, at most 100 columns wide.
pub fn table(report: &Report, paint: Paint) -> String { let _ = paint; format!("{}\n", report.target) }
