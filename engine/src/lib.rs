//! The engine of dsu: capture a process, plan its move to a new build, restore it.
//!
//! The modules are layers; a module names only those below it:
//! `cli` (in the binary `dsu`) → `update` → `plugin`, `vessel`, `plan`, `resources` → `tracee`, `program`. `program` and `plan` never name `tracee`.
#![deny(unsafe_code)]

pub mod plan;
pub mod plugin;
pub mod program;
pub mod resources;
pub mod tracee;
pub mod update;
pub mod vessel;
