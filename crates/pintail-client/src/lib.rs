//! The Rust client library: connect, log in, lobby calls, game messages, reconnect with resume.
