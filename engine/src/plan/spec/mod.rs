//! The user's answers (`update.toml`) bound to both builds: every name is looked up, every expression checked against the types, before
//! the process is stopped.

pub mod names;
pub mod pairing;
