//! The state machines that decide without IO: session streams, rooms, the directory, backoff.
