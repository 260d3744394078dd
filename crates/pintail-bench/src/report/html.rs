//! The report as one HTML file.
use super::Report;
/// The report as one HTML file that needs no network.
pub fn html(report: &Report) -> String { format!("{}\n", report.target) }
