//! The user's answers (`update.toml`) bound to both builds: every name is looked up, every expression checked against the types, before
//! the process is stopped.

pub mod accepted;
pub mod bind;
pub mod calls;
mod continues;
mod enums;
pub mod expression;
mod fields;
pub mod guards;
mod memory;
pub mod names;
pub mod pairing;
mod restart;
mod settings;
#[cfg(test)]
mod tests;
pub mod types;

pub use bind::{Bound, Initial, bind};
pub use settings::check_settings;
