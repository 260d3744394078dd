//! Text in columns.
/// Whether text for the terminal has colours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Paint {
    /// Text only: for files, pipes and terminals without colours.
    Plain,
    /// With ANSI codes.
    Colour,
}
