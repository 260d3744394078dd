//! The gateway: holds the players' connections and routes between them and the servers.
