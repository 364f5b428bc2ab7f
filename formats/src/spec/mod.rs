//! `update.toml`: the user's answers for one old→new pair.
pub mod expression;
pub mod place;
