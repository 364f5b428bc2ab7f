//! Dynamic linking of the new program against the modules that are mapped, as the loader would do it.

pub mod canonical;
pub mod interpose;
pub mod relocate;
pub mod scope;
pub mod symbols;
