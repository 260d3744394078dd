//! Connections, links, membership and the admin port: what every Pintail server shares.
