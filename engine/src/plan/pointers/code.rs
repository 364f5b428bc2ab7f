//! Code addresses: entries by pair, everything else only in unchanged functions (PROOF 1.1, 1.3).

use super::{Decision, Pointers, Site};
use crate::plan::abi;
use crate::plan::address::{NewLink, OldLink};
use crate::plan::blocker::PointerReason;
use crate::plan::compare::pairs::Partner;
use crate::plan::spec::names::{open_line, pairing_lines};
use crate::program::address::LinkAddress;

/// Longest call instruction that leaves a return address (an indirect call with SIB, displacement and prefix).
const LONGEST_CALL: u64 = 8;

impl Pointers<'_> {
    /// A return address: it belongs to the function that ends in or holds the call before it.
    pub(super) fn return_address(&self, link: OldLink) -> Decision {
        let functions = &self.view.sides.old.functions;
        match functions.containing(LinkAddress(link.0.0.wrapping_sub(1))) {
            Some((function, start)) => self.inside(function, start, link),
            None => self.unknown(link),
        }
    }

    /// Any other code address.
    pub(super) fn code(&self, link: OldLink, site: Site) -> Decision {
        if let Some(decision) = self.fates.stubs.get(&link.0) {
            return decision.clone();
        }
        let functions = &self.view.sides.old.functions;
        if let Some(function) = functions.at_entry(link.0) {
            return self.entry_or_end(function, link, site);
        }
        let found = functions.containing(link.0).or_else(|| functions.ending_at(link.0));
        let Some((function, start)) = found else { return self.unknown(link) };
        let decision = self.inside(function, start, link);
        let leftover = matches!(site, Site::Stack { stale_returns: true }) && self.follows_call(link);
        match decision {
            Decision::Blocked(_) if leftover => Decision::Stale,
            decision => decision,
        }
    }

    /// Whether a word of a stack or register, of which nothing is known, is what an earlier call left: to return by, or of the loader's
    /// and the start files' (no thread is inside those).
    pub fn is_leftover(&self, link: OldLink, site: Site) -> bool {
        let functions = &self.view.sides.old.functions;
        match site {
            Site::Stack { .. } | Site::Register if self.is_of_loader(link) => true,
            Site::Stack { .. } | Site::Register if self.is_code(link) && functions.at_entry(link.0).is_some() => {
                functions.at_entry(link.0).and_then(|index| functions.list().get(index)).is_some_and(is_start_file)
            }
            // Only labels are pointed to besides, and those are named somewhere.
            Site::Stack { stale_returns: true } => self.is_code(link) && !self.is_label(link),
            _ => false,
        }
    }

    /// Whether initialised data of a fixed-address program, or unchanged code, names the place.
    fn is_label(&self, link: OldLink) -> bool {
        let mut relocations = self.view.old.elf.relocations.iter().filter(|entry| entry.kind == abi::R_RELATIVE);
        relocations.any(|entry| entry.addend as u64 == link.0.0) || !self.view.references(link).is_empty()
    }

    /// An entry, unless a call that never returns ends the function before it: then it can be a return address too.
    fn entry_or_end(&self, function: usize, link: OldLink, site: Site) -> Decision {
        let entry = self.entry(function);
        let before = self.view.sides.old.functions.ending_at(link.0).filter(|_| self.follows_call(link));
        let known = matches!(site, Site::Stack { .. } | Site::Typed(_) | Site::Register | Site::Loader);
        match before {
            Some((before, start)) if !known => {
                if self.inside(before, start, link) == entry {
                    return entry;
                }
                Decision::Blocked(PointerReason::Boundary {
                    before: self.function_name(before),
                    after: self.function_name(function),
                })
            }
            _ => entry,
        }
    }

    /// The entry of an old function.
    pub(super) fn entry(&self, function: usize) -> Decision {
        let sides = self.view.sides;
        match &sides.functions[function] {
            Partner::One(partner) => Decision::Move(NewLink(sides.new.functions.list()[*partner].entry)),
            Partner::Gone => Decision::Blocked(PointerReason::Gone {
                what: "function",
                symbol: self.function_name(function),
                unit: sides.old.functions.list()[function].identity.unit.clone(),
                answers: open_line("pair.functions", sides.old.functions.list(), function),
            }),
            Partner::Many(candidates) => Decision::Blocked(PointerReason::Ambiguous {
                symbol: self.function_name(function),
                candidates: candidates.iter().map(|index| place_name(&sides.new.functions.list()[*index])).collect(),
                answers: pairing_lines(
                    "pair.functions",
                    (sides.old.functions.list(), function),
                    (sides.new.functions.list(), candidates),
                ),
            }),
        }
    }

    /// A place in the range of `function` that begins at `start`.
    fn inside(&self, function: usize, start: LinkAddress, link: OldLink) -> Decision {
        let sides = self.view.sides;
        let old = &sides.old.functions.list()[function];
        let offset = link.0.0.wrapping_sub(old.entry.0);
        let partner = sides.functions[function].one().filter(|_| self.view.same_code(function));
        let range = old.ranges.iter().position(|range| range.0 == start);
        let moved = partner.zip(range).and_then(|(partner, range)| {
            let new = sides.new.functions.list()[partner].ranges.get(range)?;
            Some(NewLink(new.0.offset(link.0.0 - start.0)))
        });
        match moved {
            Some(moved) => Decision::Move(moved),
            None => Decision::Blocked(PointerReason::InsideFunction { function: self.function_name(function), offset }),
        }
    }

    /// Whether a call instruction ends right before `link` in the old program.
    fn follows_call(&self, link: OldLink) -> bool {
        let from = LinkAddress(link.0.0.wrapping_sub(LONGEST_CALL));
        let Some(bytes) = self.view.old.elf.file_bytes(from, LONGEST_CALL) else { return false };
        ends_in_call(bytes)
    }

    pub(super) fn function_name(&self, function: usize) -> String {
        self.view.sides.old.functions.list()[function].identity.name.clone()
    }
}

/// Functions that run before `main` and after it, and that nothing in the program points to.
fn is_start_file(code: &crate::plan::compare::functions::Code) -> bool {
    const NAMES: [&str; 4] = ["_start", "_init", "_fini", "_dl_relocate_static_pie"];
    code.declared.1 == 0 && (NAMES.contains(&code.identity.name.as_str()) || code.identity.unit == "crtstuff.c")
}

fn place_name(code: &crate::plan::compare::functions::Code) -> String {
    format!("{} ({}:{})", code.identity.name, code.declared.0, code.declared.1)
}

/// Whether some suffix of `bytes` is one call instruction: `e8 rel32`, or `ff /2` with any addressing form and prefix.
fn ends_in_call(bytes: &[u8]) -> bool {
    (2..=bytes.len()).any(|length| {
        let code = &bytes[bytes.len() - length..];
        let mut decoder = iced_x86::Decoder::new(64, code, iced_x86::DecoderOptions::NONE);
        let instruction = decoder.decode();
        let call = matches!(instruction.flow_control(), iced_x86::FlowControl::Call | iced_x86::FlowControl::IndirectCall);
        call && instruction.len() == length
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_are_recognised_by_their_end() {
        assert!(ends_in_call(&[0x90, 0x90, 0x90, 0xe8, 1, 2, 3, 4]));
        assert!(ends_in_call(&[0, 0, 0, 0, 0, 0, 0xff, 0xd0]));
        assert!(ends_in_call(&[0, 0, 0xff, 0x94, 0xc3, 8, 0, 0, 0][1..]));
        assert!(!ends_in_call(&[0x90; 8]));
        assert!(!ends_in_call(&[0x90, 0x90, 0x90, 0xe9, 1, 2, 3, 4]));
    }
}
