//! From an image, an old and a new program to a rewritten image, or to blockers. Pure: no process, no privilege.
//!
//! What depends on the two builds alone ([`compare::Comparison`]) is made before the process is stopped.

pub mod abi;
pub mod address;
pub mod answers;
pub mod base;
pub mod blocker;
pub mod calls;
pub mod compare;
pub mod data;
pub mod diff;
pub mod fixed;
pub mod frames;
pub mod generations;
pub mod globals;
pub mod heap;
pub mod image;
pub mod kernel_words;
pub mod link;
pub mod loader;
pub mod mappings;
pub mod moves;
pub mod owners;
pub mod planner;
pub mod pointers;
pub mod request;
pub mod restart;
pub mod rewrite;
pub mod safe_point;
pub mod scan;
pub mod scope_blockers;
pub mod source;
pub mod spec;
#[cfg(test)]
pub(crate) mod testing;
pub mod tls;
pub mod tls_growth;
pub mod view;
pub mod walk;
pub mod words;

pub use planner::plan;
pub use request::Request;

use dsu_formats::model::latest::Snapshot;
use rewrite::{Allocations, Report, Rewrite};

/// What no engine can check and every plan assumes (PROOF, axioms).
pub fn assumptions() -> Vec<String> {
    [
        "addresses are not hashed, ordered, xor-ed or packed, except by the C library's pointer guard",
        "pointers are stored at addresses that are multiples of 8",
        "a pointer in memory to read-only data without a name is one to a string",
        "the compilers' debug information is right",
        "what lies below a thread's stack pointer and its red zone is not read before it is written",
        "without getcontext, swapcontext or makecontext, return addresses that unwinding does not find are leftovers",
        "code keeps the offset of a thread-local variable in a register, or reads it again",
        "where debug information does not tell what is at an address, code that stays the same means the same fields of types that change",
        "a pointer to a structure leads to a whole one",
        "across a system call no vector register holds a pointer into the program",
    ]
    .map(str::to_owned)
    .to_vec()
}

/// What a plan for a fixed-address program assumes besides.
pub fn assumptions_of_fixed() -> Vec<String> {
    [
        "integers hold no addresses of the program, unless their type is made for that (uintptr_t)",
        "what a pointer holds is an address, whatever it points to",
        "on a thread's stack and in its registers, an address that its functions name or its variables hold is that address",
        "where all that an epoll gives back are addresses of variables or of memory in use, they are addresses",
    ]
    .map(str::to_owned)
    .to_vec()
}

/// The rewrite of an update to the very same build: everything stays as it is.
pub fn identity(snapshot: &Snapshot) -> Rewrite {
    Rewrite {
        snapshot: snapshot.clone(),
        patches: Vec::new(),
        shared: Vec::new(),
        contents: Vec::new(),
        dropped: Vec::new(),
        resolvers: Vec::new(),
        allocations: Allocations::default(),
        calls: Vec::new(),
        protect_after: Vec::new(),
        report: Report::default(),
    }
}
