//! One build with all its code decoded.

use std::collections::BTreeSet;
use std::sync::OnceLock;

use super::facts::Facts;
use super::functions::{FunctionId, Inventory};
use super::jumps::Table;
use super::layout::Layout;
use super::reference::{CallSite, FunctionCode, PartCode, Role, Target};
use super::scan::scan;
use super::signatures::{self, Signature};
use super::slots::{ImportId, Loaded};
use crate::program::address::LinkAddress;
use crate::program::dwarf::DebugInfo;
use crate::program::elf::{DynamicSymbol, Elf};
use crate::program::unwind::UnwindIndex;

/// The code of one build: its functions, what they call, what they refer to.
#[derive(Debug)]
pub struct CodeImage<'a> {
    pub(super) layout: Layout<'a>,
    pub(super) codes: Vec<FunctionCode<'a>>,
    /// Where the exception handlers of code are described.
    pub(super) unwind: UnwindIndex,
    /// What callers know of each function; found when first asked for.
    pub(super) facts: OnceLock<Vec<Facts>>,
    /// How each function is called.
    pub(super) signatures: Vec<Signature>,
}

impl<'a> CodeImage<'a> {
    /// Decodes every function of a build, on two threads. Without debug information the symbol table alone counts.
    pub fn new(elf: &'a Elf, debug: &DebugInfo) -> Self {
        let mut layout = Layout::new(elf, debug);
        let codes = decode(&layout);
        let parts = codes.iter().flat_map(|code: &FunctionCode<'_>| &code.parts);
        let referenced: Vec<u64> =
            parts.flat_map(|part| &part.references).filter_map(|reference| reference.target.data()).collect();
        layout.set_edges(referenced.into_iter());
        let signatures = signatures::all(elf, debug, layout.inventory.iter().map(|(_, function)| function));
        Self { layout, codes, unwind: UnwindIndex::new(elf), facts: OnceLock::new(), signatures }
    }

    /// Its functions.
    pub fn inventory(&self) -> &Inventory {
        &self.layout.inventory
    }

    /// The calls and tail calls of a function, in the order of its code.
    pub fn calls(&self, function: FunctionId) -> &[CallSite] {
        self.code(function).map(|code| &code.calls[..]).unwrap_or_default()
    }

    /// The call whose return address is `next`.
    pub fn call_before(&self, next: LinkAddress) -> Option<CallSite> {
        let inside = self.inventory().at(LinkAddress(next.0.wrapping_sub(1)))?;
        self.calls(inside.function).iter().find(|call| call.next == next && !call.is_tail).copied()
    }

    /// Where the jumps through tables of a function may lead, within it. Empty too where no table was found.
    pub fn table_targets(&self, function: FunctionId) -> Vec<LinkAddress> {
        let Some(code) = self.code(function).filter(|code| code.has_jump_tables) else { return Vec::new() };
        let references = code.parts.iter().flat_map(|part| &part.references);
        let tables = references.filter_map(|reference| reference.target.data());
        let targets = tables.map(|address| Table { layout: &self.layout, function, address }).flat_map(|table| table.targets());
        targets.collect()
    }

    /// The symbol behind a call that leaves the object.
    pub fn import(&self, id: ImportId) -> Option<&'a DynamicSymbol> {
        self.layout.elf.dynamic_symbols.get(id.0 as usize)
    }

    /// Functions whose address is a value somewhere: in an instruction, a relocated word, or the exported symbol table (`exported`).
    pub fn address_taken(&self, exported: bool) -> BTreeSet<FunctionId> {
        let references = self.codes.iter().flat_map(|code| &code.parts).flat_map(|part| &part.references);
        let by_code = references.filter(|reference| !matches!(reference.role, Role::Call | Role::Jump));
        let by_code = by_code.filter_map(|reference| match reference.target {
            Target::Address(address) => Some(Loaded::Address(address)),
            Target::Slot(slot) => Some(self.layout.slots.loaded(slot)),
            _ => None,
        });
        // The words of the offset table itself are no values: what reads them was found above.
        let by_data = self.layout.elf.relocations.iter().filter(|relocation| !self.layout.slots.is_slot(relocation.address.0));
        let by_data = by_data.map(|relocation| self.layout.slots.relocated(relocation));
        let stored = self.layout.fixed_words().map(Loaded::Address);
        let taken = by_code.chain(by_data).chain(stored).filter_map(|loaded| match loaded {
            Loaded::Address(address) => self.entry_or_stub(address),
            _ => None,
        });
        let symbols = self.layout.elf.dynamic_symbols.iter().filter(|symbol| exported && symbol.defined);
        taken.chain(symbols.filter_map(|symbol| self.inventory().entered_at(symbol.address))).collect()
    }

    /// The function entered at `address`, also through a stub of the object's own.
    fn entry_or_stub(&self, address: u64) -> Option<FunctionId> {
        let address = match self.layout.slots.stub(address).map(|slot| self.layout.slots.loaded(slot)) {
            Some(Loaded::Address(address)) => address,
            Some(_) => return None,
            None => address,
        };
        self.inventory().entered_at(LinkAddress(address))
    }

    pub(super) fn code(&self, function: FunctionId) -> Option<&FunctionCode<'a>> {
        self.codes.get(function.0 as usize)
    }
}

impl PartCode<'_> {
    /// Start of the instruction that holds the byte at `offset`.
    pub(super) fn instruction_at(&self, offset: u32) -> LinkAddress {
        let mut decoder = iced_x86::Decoder::with_ip(64, self.bytes, self.start, iced_x86::DecoderOptions::NONE);
        let at = self.start.wrapping_add(u64::from(offset));
        while decoder.can_decode() {
            let instruction = decoder.decode();
            if instruction.is_invalid() || instruction.next_ip() > at {
                return LinkAddress(instruction.ip());
            }
        }
        LinkAddress(at)
    }
}

fn decode<'a>(layout: &Layout<'a>) -> Vec<FunctionCode<'a>> {
    let functions: Vec<_> = layout.inventory.iter().collect();
    let total: u64 = functions.iter().flat_map(|(_, function)| &function.parts).map(|part| part.size).sum();
    let (first, second) = functions.split_at(halfway(&functions, total));
    let run = |list: &[(FunctionId, &super::functions::Function)]| -> Vec<FunctionCode<'a>> {
        list.iter().map(|(id, function)| scan(layout, *id, function)).collect()
    };
    std::thread::scope(|scope| {
        let later = scope.spawn(|| run(second));
        let mut codes = run(first);
        match later.join() {
            Ok(rest) => codes.extend(rest),
            Err(panic) => std::panic::resume_unwind(panic),
        }
        codes
    })
}

/// Where half of the code lies on each side.
fn halfway(functions: &[(FunctionId, &super::functions::Function)], total: u64) -> usize {
    let mut seen = 0;
    let half = functions.iter().position(|(_, function)| {
        seen += function.parts.iter().map(|part| part.size).sum::<u64>();
        seen >= total / 2
    });
    half.map_or(functions.len(), |index| (index + 1).min(functions.len()))
}
