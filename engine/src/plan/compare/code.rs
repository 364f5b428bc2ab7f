//! Whether paired functions have the same instructions, modulo where things are.

use iced_x86::{Decoder, DecoderOptions, Instruction, OpKind, Register};

use super::content::Content;
use super::functions::Code;
use super::sides::Sides;
use super::strings::{is_text, may_hold_literals, whole_string};
use crate::plan::address::{NewLink, OldLink};
use crate::plan::view::CodeFacts;
use crate::program::address::LinkAddress;
use crate::program::build::Build;
use crate::program::elf::Elf;

/// Compares all paired functions.
pub fn compare(old: &Build, new: &Build, sides: &Sides) -> CodeFacts {
    let content = Content { old: &old.elf, new: &new.elf, sides };
    let mut facts = CodeFacts::default();
    for (code, partner) in sides.old.functions.list().iter().zip(&sides.functions) {
        let partner = partner.one().and_then(|index| sides.new.functions.list().get(index));
        let mut references = Vec::new();
        let same = partner.is_some_and(|partner| same_function(&content, code, partner, &mut references).is_some());
        facts.same.push(same);
        for (from, to) in references.into_iter().filter(|_| same) {
            let known = facts.references.entry(OldLink(from)).or_insert(Some(NewLink(to)));
            if *known != Some(NewLink(to)) {
                *known = None;
            }
        }
    }
    facts
}

type References = Vec<(LinkAddress, LinkAddress)>;

fn same_function(content: &Content<'_>, old: &Code, new: &Code, references: &mut References) -> Option<()> {
    if old.ranges.len() != new.ranges.len() {
        return None;
    }
    for ((from, length), (to, other)) in old.ranges.iter().zip(&new.ranges) {
        if length != other {
            return None;
        }
        let (a, b) = (content.old.file_bytes(*from, *length)?, content.new.file_bytes(*to, *length)?);
        let mut left = Decoder::with_ip(64, a, from.0, DecoderOptions::NONE);
        let mut right = Decoder::with_ip(64, b, to.0, DecoderOptions::NONE);
        while left.can_decode() && right.can_decode() {
            let (x, y) = (left.decode(), right.decode());
            same_instruction(content, (old, &x), (new, &y), references)?;
        }
    }
    Some(())
}

fn same_instruction(
    content: &Content<'_>,
    (old, x): (&Code, &Instruction),
    (new, y): (&Code, &Instruction),
    references: &mut References,
) -> Option<()> {
    if x.len() != y.len() || x.is_invalid() || y.is_invalid() {
        return None;
    }
    let (mut a, mut b) = (*x, *y);
    let targets = match (place(x), place(y)) {
        (None, None) => None,
        (Some(from), Some(to)) => Some((LinkAddress(from), LinkAddress(to))),
        _ => return None,
    };
    for instruction in [&mut a, &mut b] {
        instruction.set_ip(0);
        if instruction.is_ip_rel_memory_operand() {
            instruction.set_memory_displacement64(0);
        } else if place(instruction).is_some() {
            instruction.set_near_branch64(0);
        }
    }
    if !a.eq_all_bits(&b) {
        return None;
    }
    let Some((from, to)) = targets else { return Some(()) };
    references.push((from, to));
    same_place(content, (old, from), (new, to)).then_some(())
}

fn place(instruction: &Instruction) -> Option<u64> {
    if instruction.is_ip_rel_memory_operand() && instruction.memory_base() == Register::RIP {
        return Some(instruction.ip_rel_memory_address());
    }
    let near = matches!(instruction.op0_kind(), OpKind::NearBranch64 | OpKind::NearBranch32);
    near.then(|| instruction.near_branch_target())
}

fn same_place(content: &Content<'_>, (old, from): (&Code, LinkAddress), (new, to): (&Code, LinkAddress)) -> bool {
    if let (Some(a), Some(b)) = (offset_in(old, from), offset_in(new, to)) {
        return a == b;
    }
    if content.same_target(from, to) || same_slot(content, from, to) || same_border(content, from, to) {
        return true;
    }
    literal(content.old, content.sides.old.objects.covering(from).is_some(), from)
        && literal(content.new, content.sides.new.objects.covering(to).is_some(), to)
}

/// Where a section begins or ends: labels of the linker's (`__TMC_END__`) have no variable.
fn same_border(content: &Content<'_>, from: LinkAddress, to: LinkAddress) -> bool {
    let borders = |elf: &Elf, place: LinkAddress| -> Vec<(String, bool)> {
        let allocated = elf.sections.iter().filter(|section| section.flags & crate::plan::abi::SHF_ALLOC != 0);
        allocated
            .flat_map(|section| {
                [
                    (section.name.clone(), false, section.address),
                    (section.name.clone(), true, section.address.offset(section.size)),
                ]
            })
            .filter(|border| border.2 == place)
            .map(|border| (border.0, border.1))
            .collect()
    };
    let other = borders(content.new, to);
    borders(content.old, from).iter().any(|border| other.contains(border))
}

/// (range, offset) of a place in a function's own code.
fn offset_in(code: &Code, place: LinkAddress) -> Option<(usize, u64)> {
    code.ranges.iter().enumerate().find_map(|(index, (start, length))| {
        let offset = place.0.checked_sub(start.0).filter(|offset| offset < length)?;
        Some((index, offset))
    })
}

/// Text: its content may differ.
fn literal(elf: &Elf, named: bool, place: LinkAddress) -> bool {
    !named
        && elf.section_at(place).is_some_and(may_hold_literals)
        && whole_string(elf, place).is_some_and(|(start, text)| start == place && !text.is_empty() && is_text(text))
}

/// GOT entries and PLT stubs of one symbol.
fn same_slot(content: &Content<'_>, from: LinkAddress, to: LinkAddress) -> bool {
    let slot = |elf: &Elf, place: LinkAddress| {
        let section = elf.section_at(place)?;
        let place = if section.name.starts_with(".plt") { stub_slot(elf, place)? } else { place };
        elf.section_at(place).filter(|section| section.name.starts_with(".got"))?;
        Some(place)
    };
    match (slot(content.old, from), slot(content.new, to)) {
        (Some(from), Some(to)) => content.same(from, to, 8) || content.same_slot_symbol(from, to),
        _ => false,
    }
}

/// The GOT slot that a PLT stub jumps through.
fn stub_slot(elf: &Elf, stub: LinkAddress) -> Option<LinkAddress> {
    let bytes = elf.file_bytes(stub, 16)?;
    let mut decoder = Decoder::with_ip(64, bytes, stub.0, DecoderOptions::NONE);
    let mut jumps = std::iter::from_fn(|| decoder.can_decode().then(|| decoder.decode()));
    let jump = jumps.find(|instruction| instruction.is_jmp_near_indirect() && instruction.is_ip_rel_memory_operand())?;
    Some(LinkAddress(jump.ip_rel_memory_address()))
}
