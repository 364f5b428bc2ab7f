//! What is outside the scope of an update, whatever the memory holds.

use super::blocker::Blocker;
use super::link::scope::LoadedLibrary;
use super::request::Request;
use crate::program::build::Build;
use crate::program::elf::Elf;

/// Functions that save and restore stacks by hand.
const STACK_SWITCHES: [&str; 3] = ["getcontext", "swapcontext", "makecontext"];

/// Libraries that allocate each stack that they switch to: OpenSSL's asynchronous jobs (`crypto/async/arch/async_posix.c`).
const STACKS_APART: [&str; 1] = ["libcrypto.so."];

/// Reasons that need no look at memory.
pub fn check(request: &Request<'_>) -> Vec<Blocker> {
    let mut blockers = Vec::new();
    let processes = request.snapshot.tree.processes.len();
    if processes != 1 {
        blockers.push(Blocker::Unsupported {
            what: "the process tree".to_owned(),
            expected: "one process".to_owned(),
            found: format!("{processes}"),
        });
    }
    let module = request.program();
    if let Some(module) = module.filter(|module| module.build_id != request.old.elf.build_id) {
        blockers.push(Blocker::Unsupported {
            what: "the running program".to_owned(),
            expected: format!("build-id {}", hex(request.old.elf.build_id.as_deref())),
            found: hex(module.build_id.as_deref()),
        });
    }
    let loaded = request.loaded();
    for needed in &request.new.elf.needed {
        if !loaded.iter().any(|library| is_named(library, needed)) {
            blockers.push(Blocker::NewLibrary { library: needed.clone() });
        }
    }
    blockers
}

fn is_named(library: &LoadedLibrary<'_>, needed: &str) -> bool {
    let file = library.path.rsplit(|byte| *byte == b'/').next().unwrap_or_default();
    library.library.elf.soname.as_deref() == Some(needed) || file == needed.as_bytes() || library.path == needed.as_bytes()
}

fn hex(bytes: Option<&[u8]>) -> String {
    bytes.map_or_else(|| "none".to_owned(), |bytes| bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

/// Who may be on a stack that unwinding does not see.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StackSwitches {
    /// Nobody: the process switches no stacks.
    None,
    /// Libraries that keep the stacks that they switch in blocks of their own: none is part of a thread's stack.
    Apart,
    /// Anybody: a stack may even be a variable of a function that is active on another.
    Anywhere,
}

/// Whether the program, or a library that is not the C library, saves stacks by hand (`swapcontext` and its like): then a return
/// address in the live part of a stack that unwinding did not find may still be returned through.
pub fn switches_stacks(program: &Build, libraries: &[LoadedLibrary<'_>]) -> StackSwitches {
    let imports =
        |elf: &Elf| elf.dynamic_symbols.iter().any(|symbol| !symbol.defined && STACK_SWITCHES.contains(&symbol.name.as_str()));
    if imports(&program.elf) {
        return StackSwitches::Anywhere;
    }
    let mut switching =
        libraries.iter().map(|loaded| loaded.library).filter(|library| !library.is_libc() && imports(&library.elf));
    let keeps_apart = |name: &str| STACKS_APART.iter().any(|known| name.starts_with(known));
    switching
        .try_fold(StackSwitches::None, |_, library| {
            library.elf.soname.as_deref().filter(|name| keeps_apart(name)).map(|_| StackSwitches::Apart)
        })
        .unwrap_or(StackSwitches::Anywhere)
}
