//! Pintail: the distributed game server that keeps a game alive when its server dies.
