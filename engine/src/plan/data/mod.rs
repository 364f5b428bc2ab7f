//! Data that changes its shape: how an object of an old type becomes one of the new type. Pure: types and bytes in, bytes out.
//!
//! - [`rules`]: the user's answers, bound to the types of both builds; [`value`]: typed access to the old object for expressions.
//! - [`change`]: which old types change, which lead to one that does, and what each is in the new build ([`Partner`]).
//! - [`compile`]: a [`recipe`] for each changed type, or all its [`question`]s at once. Both before the stop.
//! - [`recipe`]: applied to one object: its new bytes, its pointers, where its parts are now.
//! - [`made`]: what plugins make of objects; [`rewrite`]: all objects that a walk found: places, bytes, and pointers that follow.
//!
//! A value that nothing proves is a question, never a guess (PROOF 2.3): renamed fields, new ones, other kinds of values.

pub mod change;
pub mod compile;
mod fields;
pub mod interest;
pub mod made;
mod partners;
pub mod question;
pub mod recipe;
pub mod rewrite;
pub mod rules;
pub(in crate::plan) mod targets;
#[cfg(test)]
pub(crate) mod tests;
pub mod value;

pub use partners::Partner;
