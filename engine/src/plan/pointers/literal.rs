//! Read-only data without a name: string literals, jump tables, constants.

use super::{Decision, Pointers, Site};
use crate::plan::address::{NewLink, OldLink};
use crate::plan::compare::strings::{is_text, may_hold_literals, string_at, whole_string};
use crate::program::address::LinkAddress;
use crate::program::elf::Elf;

impl Pointers<'_> {
    /// A place in read-only data that no variable covers.
    ///
    /// Text goes to the equal string of the new program, else stays readable where it is. Anything else is only ever reached from
    /// code: where the code is unchanged, what it names there now; else it stays readable.
    pub(super) fn literal(&self, link: OldLink, site: Site) -> Decision {
        let elf = &self.view.old.elf;
        let Some(section) = elf.section_at(link.0).filter(|section| may_hold_literals(section)) else {
            return self.unknown(link);
        };
        let in_code = matches!(site, Site::Register | Site::Stack { .. });
        let named = self.view.reference(link).filter(|_| in_code);
        let Some((start, content)) = text_at(elf, link.0) else {
            let end = section.address.offset(section.size);
            let next = self.view.sides.old.objects.next_start(link.0).filter(|next| *next < end);
            let end = OldLink(next.unwrap_or(end));
            let stays = if self.holds_addresses(link, end) { self.unknown(link) } else { Decision::Keep(link, end) };
            return named.map_or(stays, Decision::Move);
        };
        let rest = &content[(link.0.0 - start.0) as usize..];
        if let Some(named) = named.filter(|named| string_at(&self.view.new.elf, named.0) == Some(rest)) {
            return Decision::Move(named);
        }
        if let Some(found) = self.view.sides.new.strings.find(content) {
            return Decision::Move(NewLink(found.offset(link.0.0 - start.0)));
        }
        let end = start.offset(content.len() as u64 + 1);
        Decision::Keep(OldLink(start), OldLink(end))
    }
}

/// The text around `address`: the whole string, or what is left of it where a number stands right before it.
fn text_at(elf: &Elf, address: LinkAddress) -> Option<(LinkAddress, &[u8])> {
    let whole = whole_string(elf, address).filter(|(_, content)| is_text(content));
    whole.or_else(|| string_at(elf, address).filter(|content| is_text(content)).map(|content| (address, content)))
}
