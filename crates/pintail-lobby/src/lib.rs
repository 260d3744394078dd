//! The lobby server: rooms, quick match, and starting games.
