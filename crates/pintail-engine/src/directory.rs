//! Which servers a gateway should be linked to.
