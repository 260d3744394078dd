//! Clusters, players and Redis servers for tests.
