//! The loader's own record of the program (`struct link_map` of glibc), rewritten for the new one.
//!
//! Offsets differ between releases of glibc. They are found by value: the old program says what each field must hold.

pub mod auxv;
pub mod dynamic;
pub mod info;
pub mod record;
pub mod search;
pub mod versions;

#[cfg(test)]
mod tests;
