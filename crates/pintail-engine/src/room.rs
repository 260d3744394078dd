//! What a lobby request does to a room.
