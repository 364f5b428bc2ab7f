//! Kinds of programs that an update does not handle.

use crate::plan::abi;
use crate::plan::blocker::Blocker;
use crate::program::build::Build;
use crate::program::elf::Elf;

/// A blocker for everything about the two files that is outside the scope of an update.
pub fn unsupported(old: &Build, new: &Build) -> Vec<Blocker> {
    let mut blockers = Vec::new();
    for (build, what) in [(old, "the running program"), (new, "the new program")] {
        let found = match () {
            () if build.elf.is_static() => "a static one",
            () if !build.elf.is_position_independent() && !build.elf.is_fixed_address() => "one without a loader",
            () => continue,
        };
        blockers.push(blocker(what, "a dynamically linked program", found));
    }
    if old.elf.is_fixed_address() != new.elf.is_fixed_address() {
        let kind =
            |build: &Build| if build.elf.is_fixed_address() { "one at a fixed address" } else { "a position-independent one" };
        blockers.push(blocker("the new program", kind(old), kind(new)));
    }
    if new.elf.dynamic_value(abi::DT_TEXTREL).is_some() || flags(&new.elf, abi::DT_FLAGS) & abi::DF_TEXTREL != 0 {
        blockers.push(blocker("the new program", "code without relocations", "DT_TEXTREL"));
    }
    if let (Some(before), Some(after)) = (&old.elf.interpreter, &new.elf.interpreter)
        && before != after
    {
        blockers.push(blocker("the new program's loader", before, after));
    }
    if executable_stack(&new.elf) && !executable_stack(&old.elf) {
        blockers.push(blocker("the new program", "stacks that are not executable", "an executable one (PT_GNU_STACK)"));
    }
    let loaded_by = |elf: &Elf| flags(elf, abi::DT_FLAGS_1) & !(abi::DF_1_NOW | abi::DF_1_PIE);
    if loaded_by(&old.elf) != loaded_by(&new.elf) {
        let show = |elf: &Elf| format!("{:#x}", loaded_by(elf));
        blockers.push(blocker("the new program's DT_FLAGS_1", &show(&old.elf), &show(&new.elf)));
    }
    blockers
}

fn flags(elf: &Elf, tag: u64) -> u64 {
    elf.dynamic_value(tag).unwrap_or(0)
}

fn executable_stack(elf: &Elf) -> bool {
    elf.segment(object::elf::PT_GNU_STACK.0).is_none_or(|stack| stack.flags & abi::PF_X != 0)
}

fn blocker(what: &str, expected: &str, found: &str) -> Blocker {
    Blocker::Unsupported { what: what.to_owned(), expected: expected.to_owned(), found: found.to_owned() }
}
