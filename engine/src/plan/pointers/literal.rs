//! Read-only data without a name: string literals, jump tables, constants.

use super::{Decision, Pointers, Site};
use crate::plan::address::{NewLink, OldLink};
use crate::plan::compare::strings::{is_text, may_hold_literals, whole_string};

impl Pointers<'_> {
    /// A place in read-only data that no variable covers.
    ///
    /// Text goes to the equal whole string of the new program, else stays readable where it is. Anything else is only ever
    /// reached from code: where the code is unchanged, what it names there now; else it stays readable.
    pub(super) fn literal(&self, link: OldLink, site: Site) -> Decision {
        let elf = &self.view.old.elf;
        let Some(section) = elf.section_at(link.0).filter(|section| may_hold_literals(section)) else {
            return self.unknown(link);
        };
        let text = whole_string(elf, link.0).filter(|(_, content)| is_text(content));
        let in_code = matches!(site, Site::Register | Site::Stack { .. });
        if let Some((start, content)) = text {
            if let Some(found) = self.view.sides.new.strings.find(content) {
                return Decision::Move(NewLink(found.offset(link.0.0 - start.0)));
            }
            let end = start.offset(content.len() as u64 + 1);
            return Decision::Keep(OldLink(start), OldLink(end));
        }
        if let Some(moved) = self.view.reference(link).filter(|_| in_code) {
            return Decision::Move(moved);
        }
        let end = section.address.offset(section.size);
        let next = self.view.sides.old.objects.next_start(link.0).filter(|next| *next < end);
        Decision::Keep(link, OldLink(next.unwrap_or(end)))
    }
}
