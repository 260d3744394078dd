//! Figures made from what was measured.
