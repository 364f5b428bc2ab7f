//! Which fields the new program sets to zero in every object of a type that it makes (PROOF 2.3).
//!
//! The rule. A byte of a type is proved zero if it is zero in every object of the type by the time its maker is through with it. The
//! maker is the function that gets the block, with everything that it hands the pointer to, and, as long as the pointer is returned,
//! the caller. So these do not prove anything: `e = calloc(…); e->refs = 1;`, the same in an `init(e)` that is called or in the caller
//! of a constructor, a store on one way only, `malloc` without a store, a second maker that differs, `realloc` (the end of a block that
//! grows), `*e = *other` (the other one may have been used), and a pointer that is given to code that is not known.
//!
//! For this every maker has to be seen. A block is one of a type if a variable, parameter, result or member that is declared as a
//! pointer to the type holds its address (`judge`). Objects that are not blocks are looked for from their other end: wherever code has
//! a pointer to the type, it must be explained what it was before. Read from where such a pointer is declared; the address of a variable
//! or member of the type; or read from a word of type `void *`, where it comes back from. Nothing else: a pointer that was one to
//! bytes, a number, or an address in a frame makes the type one that pools carve out, and nothing is proved. So does a `void *` that
//! the same function reads and fills again (a list of free cells), a variable of the type on the stack, the type passed by value, and
//! a block without a type that could hold an object and leaves its function other than as its result.
//!
//! A store through a pointer that the maker reads back from where it stored the fresh one counts; what other functions do with it then,
//! or what it finds in another way (`find(key)->hits++`), is use.
//!
//! What is not found: that a program keeps its pools in words of type `void *` only and refills them in other functions than it takes
//! from, while it makes objects of the same type in blocks of their own, too; that code writes over the bounds of what it points to; a
//! variable of assembly. Static objects are not made: their initial value is known.

mod bytes;
mod call;
mod function;
mod judge;
mod library;
pub(in crate::program) mod locals;
mod memory;
mod outcome;
mod program;
mod state;
mod step;
mod summary;
#[cfg(test)]
mod tests;
mod types;
mod value;
mod verdict;

use std::collections::HashMap;

use super::build::Build;
use super::error::ProgramError;
use super::types::TypeId;
use bytes::Bytes;

/// What a program's code says about the objects that it makes, for the types that were asked about.
#[derive(Clone, Debug, Default)]
pub struct FreshFacts {
    by_type: HashMap<TypeId, Bytes>,
}

impl FreshFacts {
    /// Looks through the code of `new` for what makes objects of the `wanted` types (structures, unions).
    ///
    /// # Errors
    /// Debug information that cannot be decoded.
    pub fn find(new: &Build, wanted: &[TypeId]) -> Result<Self, ProgramError> {
        if wanted.is_empty() {
            return Ok(Self::default());
        }
        let program = program::Program::new(new, wanted)?;
        let facts = verdict::facts(&program);
        let known = |kind: &TypeId| Some((*kind, facts.get(&program.types.normal(Some(*kind))?)?.clone()));
        Ok(Self { by_type: wanted.iter().filter_map(known).collect() })
    }

    /// Whether every object of `kind` (canonical) that the program makes has zeros in these bytes.
    pub fn is_zero(&self, kind: TypeId, offset: u64, length: u64) -> bool {
        let end = offset.checked_add(length).and_then(|end| i64::try_from(end).ok());
        let (Some(bytes), Ok(start), Some(end)) = (self.by_type.get(&kind), i64::try_from(offset), end) else { return false };
        length > 0 && bytes.is_zero(start, end)
    }
}
