//! What was measured: the report, and what is made of it.
//!
//! [`Report`] is the data, as it stands in a JSON file ([`read`], [`write()`]). From it are made a [`table`] for the
//! terminal, a page for the browser ([`html`]) and the difference of two tests ([`compare`]).

mod compare;
pub(crate) mod figures;
mod file;
pub(crate) mod format;
#[cfg(test)]
mod golden;
pub(crate) mod grid;
mod histogram;
mod html;
mod model;
#[cfg(test)]
pub(crate) mod sample;
mod summary;
mod text;

pub use compare::{Change, Comparison, Kind, NotComparable, Side, Verdict, Which, compare, compare_anyway};
pub use file::{ReportError, read, write};
pub use grid::Paint;
pub use histogram::HistogramError;
pub use html::html;
pub use model::*;
pub use text::table;
