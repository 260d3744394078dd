//! The client against a gateway that does what a test tells it, over real sockets.

#![allow(clippy::unwrap_used)]

mod connection;
mod gateway;
mod play;
