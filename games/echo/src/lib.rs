//! Echo: sends back what it is sent, for measuring.
