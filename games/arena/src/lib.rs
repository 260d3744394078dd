//! Arena: move, shoot and score, 2 to 16 players, 20 steps a second.
