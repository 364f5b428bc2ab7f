//! Data that changes its shape: how an object of an old type becomes one of the new type. Pure: types and bytes in, bytes out.
//!
//! [`rules`] holds the user's answers, bound to the types of both builds; [`value`] gives them typed access to the old object.

pub mod change;
pub mod compile;
mod fields;
mod partners;
pub mod question;
pub mod recipe;
pub mod rewrite;
pub mod rules;
mod targets;
#[cfg(test)]
pub(crate) mod tests;
pub mod value;

pub use partners::Partner;
