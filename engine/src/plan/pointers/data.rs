//! Addresses of variables, their ends, and their insides.

use super::{Decision, Pointers, Site};
use crate::plan::address::{NewLink, OldLink};
use crate::plan::blocker::PointerReason;
use crate::plan::compare::objects::{Object, Place};
use crate::plan::compare::pairs::Partner;
use crate::plan::compare::rows::{RowMatch, ends_in_array, table_at};
use crate::plan::data::recipe::{Mapped, Recipe};
use crate::plan::spec::names::{open_line, pairing_lines};

impl Pointers<'_> {
    /// An address in one of the old program's data segments.
    pub(super) fn data(&self, link: OldLink, site: Site) -> Decision {
        let objects = &self.view.sides.old.objects;
        let ends = objects.ending_at(link.0);
        match (objects.covering(link.0), ends) {
            (Some(after), Some(before)) => self.boundary(before, after, link, site),
            (Some(object), None) => {
                let decision = self.variable(object, link.0.0 - objects.list()[object].start.0, site);
                self.or_named(decision, link, site)
            }
            (None, Some(before)) if self.is_writable(link) || !self.starts_literal(link) => self.end_of(before, site),
            (None, Some(before)) => self.end_or_literal(before, link, site),
            (None, _) if self.is_writable(link) => self.unknown(link),
            (None, _) => self.literal(link, site),
        }
    }

    /// `offset` bytes into a variable of the old program.
    pub(super) fn variable(&self, index: usize, offset: u64, site: Site) -> Decision {
        let sides = self.view.sides;
        let old = &sides.old.objects.list()[index];
        match &sides.objects[index] {
            Partner::One(partner) => self.paired(index, *partner, offset, site),
            Partner::Many(candidates) => Decision::Blocked(PointerReason::Ambiguous {
                symbol: old.identity.name.clone(),
                candidates: candidates.iter().map(|index| place_name(&sides.new.objects.list()[*index])).collect(),
                answers: pairing_lines("pair.globals", (sides.old.objects.list(), index), (sides.new.objects.list(), candidates)),
            }),
            Partner::Gone => self.gone(index, old, offset),
        }
    }

    fn gone(&self, index: usize, old: &Object, offset: u64) -> Decision {
        if let Some(original) = self.fates.returned.get(&index).and_then(|original| original.checked_add(offset)) {
            return Decision::Elsewhere(original);
        }
        // A constant without pointers means the same for ever. That of a fixed-address program may have some.
        if old.place == Place::ReadOnly && !self.holds_addresses(OldLink(old.start), OldLink(old.end())) {
            return Decision::Keep(OldLink(old.start), OldLink(old.end()));
        }
        Decision::Blocked(PointerReason::Gone {
            what: "variable",
            symbol: old.identity.name.clone(),
            unit: old.identity.unit.clone(),
            answers: open_line("pair.globals", self.view.sides.old.objects.list(), index),
        })
    }

    fn paired(&self, index: usize, partner: usize, offset: u64, site: Site) -> Decision {
        let sides = self.view.sides;
        let (old, new) = (&sides.old.objects.list()[index], &sides.new.objects.list()[partner]);
        let carried = self.fates.carried.get(index).copied().unwrap_or(false);
        let types = (&self.view.old.debug.types, &self.view.new.debug.types);
        let tables = table_at(types.0, old, offset).zip(new.kind.and_then(|_| table_at(types.1, new, offset)));
        // Rows of a table that takes the new program's values are found by what they hold, wherever they are now.
        if let Some(recipe) = self.fates.recipes.get(&index).filter(|_| carried || tables.is_none()) {
            return self.rewritten(recipe, old, new, offset, site);
        }
        let moved = Decision::Move(NewLink(new.start.offset(offset)));
        if carried || self.view.is_same_initialiser(index, partner) {
            return moved;
        }
        let blocked = || Decision::Blocked(PointerReason::ChangedLayout { symbol: old.identity.name.clone(), offset });
        match tables {
            Some(_) if self.fates.reshaped.contains(&index) => blocked(),
            Some((from, to)) if from.start == to.start => {
                let row = (offset - from.start) / from.row;
                match self.view.content().row(types.0, (old, from), (new, to), row) {
                    RowMatch::Row(found) if found == row || offset != 0 || self.is_row(index, site) => {
                        Decision::Move(NewLink(new.start.offset(to.start + found * to.row + (offset - from.start) % from.row)))
                    }
                    // The first row's address is the table's too.
                    RowMatch::Row(_) => blocked_row(old, row, 1),
                    RowMatch::Unclear(matches) => blocked_row(old, row, matches),
                }
            }
            None if old.size == new.size => moved,
            _ => blocked(),
        }
    }

    /// `offset` bytes into a variable whose type changes.
    fn rewritten(&self, recipe: &Recipe, old: &Object, new: &Object, offset: u64, site: Site) -> Decision {
        let types = &self.view.old.debug.types;
        let target = match site {
            Site::Typed(pointer) => super::boundary::pointee(types, pointer).and_then(|target| types.normal(Some(target))),
            Site::PointsTo(target) => Some(target),
            _ => None,
        };
        match recipe.map_offset(usize::try_from(offset).unwrap_or(usize::MAX), target) {
            Mapped::At(to) => Decision::Move(NewLink(new.start.offset(to as u64))),
            Mapped::Either { .. } | Mapped::Boundary { .. } | Mapped::Gone => {
                Decision::Blocked(PointerReason::ChangedLayout { symbol: old.identity.name.clone(), offset })
            }
        }
    }

    /// Whether a word that holds the address of a table means its first row: in memory it does where no code ever puts the
    /// address there, as an index of zero may; what code that runs holds in registers is the address itself.
    fn is_row(&self, index: usize, site: Site) -> bool {
        matches!(site, Site::Memory | Site::Typed(_) | Site::PointsTo(_))
            && !self.fates.updated_before
            && self.view.code.only_rows.contains(&index)
    }

    /// Whether constant data holds addresses of a fixed-address program.
    pub(super) fn holds_addresses(&self, start: OldLink, end: OldLink) -> bool {
        self.placement.is_fixed() && self.view.sides.old.is_relocated(start.0, end.0.0.saturating_sub(start.0.0))
    }

    /// The address behind the last byte of a variable.
    pub(super) fn end_of(&self, index: usize, site: Site) -> Decision {
        let sides = self.view.sides;
        let old = &sides.old.objects.list()[index];
        match sides.objects[index].one() {
            Some(partner) => Decision::Move(NewLink(sides.new.objects.list()[partner].end())),
            None => self.variable(index, old.size, site),
        }
    }

    fn is_writable(&self, link: OldLink) -> bool {
        let load = self
            .view
            .old
            .elf
            .load_at(link.0)
            .or_else(|| self.view.old.elf.load_at(crate::program::address::LinkAddress(link.0.0.wrapping_sub(1))));
        load.is_some_and(|segment| segment.flags & crate::plan::abi::PF_W != 0)
    }

    /// For words of running code: what unchanged code names there now, where no other rule decides (tables that the compiler made).
    fn or_named(&self, decision: Decision, link: OldLink, site: Site) -> Decision {
        let in_code = matches!(site, Site::Register | Site::Stack { .. });
        // Running code may hold a table's first row as well as the table.
        let open = matches!(&decision, Decision::Blocked(reason) if !matches!(reason, PointerReason::Table { .. }));
        let named = self.view.reference(link).filter(|_| in_code && open);
        named.map_or(decision, Decision::Move)
    }

    /// `link` ends a constant, and a literal can start there.
    fn end_or_literal(&self, before: usize, link: OldLink, site: Site) -> Decision {
        let literal = self.literal(link, site);
        let object = &self.view.sides.old.objects.list()[before];
        if !self.may_have_end(object) || self.end_of(before, site) == literal {
            return literal;
        }
        let after = "a literal".to_owned();
        Decision::Blocked(PointerReason::Boundary { before: self.variable_name(before), after })
    }

    /// Whether a pointer to the end of `object` makes sense: only to that of an array. What has no type (assembly, start files) is
    /// taken for one unless it is a single word.
    pub(super) fn may_have_end(&self, object: &Object) -> bool {
        let word = object.kind.is_none() && object.size <= 8;
        !word && ends_in_array(&self.view.old.debug.types, object.kind)
    }

    /// Whether a literal can begin at `link`, right behind a constant.
    fn starts_literal(&self, link: OldLink) -> bool {
        let section = self.view.old.elf.section_at(link.0);
        section.is_some_and(crate::plan::compare::strings::may_hold_literals)
    }

    pub(super) fn unknown(&self, link: OldLink) -> Decision {
        let section = self.view.old.elf.section_at(link.0).map_or("no section", |section| section.name.as_str());
        Decision::Blocked(PointerReason::Unknown { section: section.to_owned() })
    }

    pub(super) fn variable_name(&self, index: usize) -> String {
        self.view.sides.old.objects.list()[index].identity.name.clone()
    }
}

fn blocked_row(old: &Object, row: u64, matches: u64) -> Decision {
    Decision::Blocked(PointerReason::Table { table: old.identity.name.clone(), row, matches })
}

fn place_name(object: &Object) -> String {
    format!("{} ({}:{})", object.identity.name, object.declared.0, object.declared.1)
}
