//! Gomoku: five in a row for two players.
