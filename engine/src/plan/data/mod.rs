//! Data that changes its shape: how an object of an old type becomes one of the new type. Pure: types and bytes in, bytes out.
//!
//! [`rules`] holds the user's answers, bound to the types of both builds; [`value`] gives them typed access to the old object.

pub mod rules;
pub mod value;
