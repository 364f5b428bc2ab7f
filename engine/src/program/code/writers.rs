//! Variables that no pointer leads to, with the functions that store to them: nothing else ever changes them.

use std::collections::BTreeSet;
use std::ops::Range;

use super::calls::CallGraph;
use super::functions::FunctionId;
use super::image::CodeImage;
use super::reference::{Role, Target};
use super::slots::Loaded;
use crate::program::address::LinkAddress;

/// Who stores to variables of a build.
#[derive(Debug, Default)]
pub struct Writers {
    /// Variables whose address nobody takes, ascending.
    variables: Vec<(Range<u64>, BTreeSet<FunctionId>)>,
    /// Everything that may run besides what `main` calls, by name, on the thread that it runs on: handlers of signals, other threads, what
    /// libraries call.
    elsewhere: BTreeSet<FunctionId>,
}

impl Writers {
    /// Of the variables in `ranges`, which ascend and do not overlap.
    pub fn new(image: &CodeImage<'_>, calls: &CallGraph, ranges: &[Range<u64>]) -> Self {
        if image.inventory().iter().any(|(id, _)| image.defect(id).is_some()) {
            return Self::default();
        }
        let kept = image.kept_addresses();
        // A pointer to the end of one is taken for one to it.
        let is_kept = |range: &Range<u64>| kept.range(range.start..=range.end).next().is_some();
        let closed = |range: &Range<u64>| range.start..range.end.saturating_add(1);
        let mut variables: Vec<(Range<u64>, BTreeSet<FunctionId>)> =
            ranges.iter().filter(|range| !is_kept(range)).map(|range| (range.clone(), BTreeSet::new())).collect();
        let mut around: Vec<Range<u64>> = Vec::with_capacity(variables.len());
        for range in variables.iter().map(|(range, _)| closed(range)) {
            match around.last_mut().filter(|last| range.start <= last.end) {
                Some(last) => last.end = last.end.max(range.end),
                None => around.push(range),
            }
        }
        let mut taken = BTreeSet::new();
        for access in image.accesses(&around) {
            let first = variables.partition_point(|(range, _)| range.end < access.address);
            let end = access.address.saturating_add(access.size);
            for (range, writers) in variables.iter_mut().skip(first).take_while(|(range, _)| range.start <= end) {
                let is_taken = access.size == 0 && access.touches(&closed(range));
                if is_taken {
                    taken.insert(range.start);
                } else if access.touches(range) && (access.stores || !access.loads) {
                    // What is no plain load stores: a zero, too.
                    writers.insert(access.function);
                }
            }
        }
        variables.retain(|(range, _)| !taken.contains(&range.start));
        let mut roots = calls.taken().clone();
        if let Some(main) = image.main() {
            roots.remove(&main);
        }
        Self { variables, elsewhere: calls.closure(roots).functions }
    }

    /// Whether nothing stores to `bytes` bytes at an address for as long as a call of `function` runs, whatever it calls: it runs on the thread
    /// of `main` only, and neither what it can call nor what other threads and handlers can run does.
    pub fn is_steady(&self, calls: &CallGraph, function: FunctionId, (address, bytes): (LinkAddress, u64)) -> bool {
        let index = self.variables.partition_point(|(range, _)| range.end <= address.0);
        let Some((range, writers)) = self.variables.get(index) else { return false };
        let is_inside = range.start <= address.0 && address.0.saturating_add(bytes) <= range.end;
        is_inside
            && !self.elsewhere.contains(&function)
            && writers.is_disjoint(&self.elsewhere)
            && (writers.is_empty() || writers.is_disjoint(&calls.closure([function]).functions))
    }
}

impl CodeImage<'_> {
    /// Addresses that words of the module hold from the beginning, and those of symbols that other modules see.
    fn kept_addresses(&self) -> BTreeSet<u64> {
        let stored = self.layout.elf.relocations.iter().filter(|relocation| !self.layout.slots.is_slot(relocation.address.0));
        let stored = stored.filter_map(|relocation| match self.layout.slots.relocated(relocation) {
            Loaded::Address(address) => Some(address),
            _ => None,
        });
        let exported = self.layout.elf.dynamic_symbols.iter().filter(|symbol| symbol.defined);
        let exported = exported.flat_map(|symbol| [symbol.address.0, symbol.address.0.saturating_add(symbol.size)]);
        stored.chain(self.layout.fixed_words()).chain(exported).collect()
    }

    /// The function `main`, if only the module's entry takes its address.
    fn main(&self) -> Option<FunctionId> {
        let symbol = self.layout.elf.symbols_named("main").find(|symbol| symbol.is_code())?;
        let main = self.inventory().entered_at(symbol.address)?;
        let entry = self.inventory().entered_at(self.layout.elf.entry)?;
        let takes = |id: FunctionId| {
            let parts = self.code(id).into_iter().flat_map(|code| &code.parts);
            let mut values =
                parts.flat_map(|part| &part.references).filter(|reference| !matches!(reference.role, Role::Call | Role::Jump));
            values.any(|reference| match reference.target {
                Target::Address(address) => address == symbol.address.0,
                Target::Slot(slot) => self.layout.slots.loaded(slot) == Loaded::Address(symbol.address.0),
                _ => false,
            })
        };
        let is_stored = self.kept_addresses().contains(&symbol.address.0);
        let only_entry = self.inventory().iter().all(|(id, _)| id == entry || !takes(id));
        (!is_stored && only_entry).then_some(main)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::program::testing::Compiled;

    const SOURCE: &str = "#include <stdlib.h>\n#define KEEP __attribute__((noinline, noipa)) static\n\
        static long set_once, cleared, pointed, handled; long *where = &pointed; static long *other;\n\
        KEEP void wait(void) { __asm__ volatile(\"\" : : : \"memory\"); }\n\
        KEEP void clear(void) { cleared = 0; wait(); }\n\
        KEEP int handle(const void *a, const void *b) { handled++; return a < b; }\n\
        KEEP long plain(void) { long first = set_once; wait(); return first + set_once + cleared + pointed + handled; }\n\
        KEEP long clears(void) { long first = cleared; clear(); return first + *other; }\n\
        int main(int c, char **v) { set_once = c; cleared = c; pointed = c; handled = c; other = where;\n\
            qsort(v, c, sizeof *v, handle); return plain() + clears(); }";

    #[test]
    fn a_variable_is_steady_if_nothing_that_can_run_stores_to_it() {
        for flags in [&["-O1", "-g", "-fPIE", "-pie"][..], &["-O1", "-g", "-fno-pie", "-no-pie"]] {
            let build = Compiled::new("writers", SOURCE, flags).build();
            let image = CodeImage::new(&build.elf, &build.debug);
            let calls = CallGraph::new(&image);
            let start = |name: &str| build.elf.symbols_named(name).next().expect("a symbol").address;
            let mut ranges: Vec<Range<u64>> =
                ["set_once", "cleared", "pointed", "handled"].map(|name| start(name).0..start(name).0 + 8).to_vec();
            ranges.sort_by_key(|range| range.start);
            let writers = Writers::new(&image, &calls, &ranges);
            let steady = |function: &str, variable: &str| {
                let function = image.inventory().entered_at(start(function)).expect("a function");
                writers.is_steady(&calls, function, (start(variable), 8))
            };
            assert!(steady("plain", "set_once") && steady("plain", "cleared"), "{flags:?}");
            // A zero is stored, too; a pointer leads to one; a library calls what stores to the last.
            assert!(!steady("clears", "cleared") && steady("clears", "set_once"), "{flags:?}");
            assert!(!steady("plain", "pointed") && !steady("plain", "handled"), "{flags:?}");
            // It is not only on `main`'s thread.
            assert!(!steady("handle", "set_once") && !steady("main", "set_once"), "{flags:?}");
        }
    }
}
