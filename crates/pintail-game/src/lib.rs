//! The Game trait and the host that runs many games in one process.
