//! What is left of a function when all its ways have been followed: its result, its objects, what callers have to know.

use std::collections::BTreeSet;

use iced_x86::{FlowControl, OpAccess};

use super::bytes::{Byte, Bytes};
use super::function::{Origin, Walk};
use super::state::{CLOBBERED, State};
use super::step::number;
use super::summary::{Block, Given, Size, Summary, Testimony, Told};
use super::types::Target;
use super::value::{Fresh, Site, Value};
use crate::program::code::Callee;
use crate::program::types::{Shape, TypeId};

impl Walk<'_, '_> {
    /// The function is through with the object of `site`.
    pub(super) fn end(&mut self, state: &State, site: Site) {
        let Some(bytes) = state.objects.get(&site).cloned() else { return };
        self.site_mut(site, |source| {
            source.end = Some(match &source.end {
                Some(known) => known.join(&bytes),
                None => bytes,
            });
        });
    }

    /// The function returns `value`.
    pub(super) fn leave(&mut self, state: &State, value: Value) {
        for site in state.objects.keys() {
            self.end(state, *site);
        }
        // What a function that returns nothing leaves in the register is nobody's.
        let value = if self.returns_word() { value } else { Value::Unknown };
        if let Some(kind) = self.result_type()
            && !matches!(self.program.types.target(kind), Target::Void)
        {
            self.meets(value, kind);
        }
        self.result = Some(match self.result {
            Some(known) => {
                let live = |here: bool, site: Site| {
                    if here { state.objects.contains_key(&site) } else { self.left_with.contains(&site) }
                };
                known.join(value, live, |a, b| self.program.types.meet(a, b))
            }
            None => value,
        });
        self.left_with.extend(state.objects.keys());
        // Whoever gets a pointer from one of several sites may store anything through it.
        if self.result == Some(Value::Lost) {
            self.sites.iter_mut().filter(|site| site.end.is_some()).for_each(|site| site.end = Some(Bytes::all(Byte::Other)));
        }
    }

    /// Whether an argument is declared as something that is no pointer.
    pub(super) fn is_number(&self, site: Site) -> bool {
        let Some(Origin::Argument(Some(kind))) = self.sites.get(site as usize).map(|site| site.origin) else { return false };
        let types = self.program.types.table();
        types.peel(Some(kind)).is_some_and(|kind| matches!(types.get(kind).shape, Shape::Base { .. } | Shape::Enum { .. }))
    }

    /// Whether the function may return a whole word: a prototype can say that it does not.
    fn returns_word(&self) -> bool {
        match self.program.prototype(self.function) {
            Some((result, _)) => result.is_some_and(|kind| self.program.types.size(kind).is_none_or(|size| size >= 8)),
            None => true,
        }
    }

    fn result_type(&self) -> Option<TypeId> {
        self.program.result(self.function)
    }

    /// What a pointer from a site is for the caller.
    fn given_pointer(&self, fresh: Fresh) -> Given {
        let Some(source) = self.sites.get(fresh.site as usize) else { return Given::Value(Value::Unknown) };
        let offset = fresh.offset;
        if let Origin::Argument(_) = source.origin {
            let is_it = fresh.exact && fresh.sure && !fresh.doubtful;
            return if is_it { Given::Argument(fresh.site, offset) } else { Given::Value(Value::Unknown) };
        }
        let mut told = Told::default();
        told.add(&source.told, offset.checked_neg().filter(|_| fresh.exact));
        match &source.end {
            Some(end) if fresh.exact && fresh.sure => {
                let bytes = end.moved(offset.saturating_neg());
                Given::Made { bytes, size: source.size.less(offset), told, doubtful: fresh.doubtful }
            }
            // Somewhere in a block that it got, or not always: nothing is known of what is there.
            _ => Given::Made { bytes: Bytes::all(Byte::Other), size: Size::Unknown, told, doubtful: fresh.doubtful },
        }
    }

    /// General registers that the function, or what it calls, may change, as bits.
    fn changes(&mut self) -> u32 {
        let mut changes = 0;
        for instruction in &self.code {
            let written = self.info.info(instruction).used_registers().iter().filter(|used| {
                !matches!(used.access(), OpAccess::None | OpAccess::Read | OpAccess::CondRead | OpAccess::NoMemAccess)
            });
            changes |= written.filter_map(|used| number(used.register())).fold(0, |bits, number| bits | 1 << number);
            let leaves =
                !matches!(instruction.flow_control(), FlowControl::Next | FlowControl::ConditionalBranch | FlowControl::Return);
            changes |= match self.calls.get(&instruction.ip()).map(|call| call.callee) {
                Some(Callee::Function(id)) => self.program.summary(id).map_or(CLOBBERED, |summary| summary.changes),
                Some(_) => CLOBBERED,
                None if leaves && instruction.flow_control() != FlowControl::UnconditionalBranch => CLOBBERED,
                None => 0,
            };
        }
        changes
    }

    /// The types of what the function stored where its arguments point to pointers, by argument. Whoever calls it may go on with that.
    fn handed_types(&mut self) -> [BTreeSet<TypeId>; 6] {
        let mut found: [BTreeSet<TypeId>; 6] = Default::default();
        let told = self.handed.iter().filter_map(|(argument, site)| Some((*argument, &self.sites.get(*site as usize)?.told)));
        let own = told.flat_map(|(argument, told)| told.objects.iter().map(move |(kind, _)| (argument, *kind)));
        for (argument, kind) in own.chain(self.handed_on.iter().copied()) {
            if let Some(kinds) = found.get_mut(argument as usize) {
                kinds.insert(kind);
            }
        }
        // Called through a pointer, it may be given anything.
        if self.program.is_taken(self.entry) {
            for kind in found.iter().flatten() {
                self.refuse(*kind, Value::Unknown);
            }
        }
        found
    }

    pub(super) fn finish(mut self) -> (Summary, Testimony) {
        let kept = || Bytes::all(Byte::Kept);
        let (changes, handed) = (self.changes(), self.handed_types());
        let argument = |index: usize| self.sites.get(index);
        let given = match self.result {
            Some(Value::Fresh(fresh)) => self.given_pointer(fresh),
            Some(Value::Void(Some(cell))) if self.filled.contains(&cell) => Given::Value(Value::Raw),
            Some(value @ (Value::Pointer { .. } | Value::Void(_) | Value::Raw | Value::Const(_))) => Given::Value(value),
            None | Some(_) => Given::Value(Value::Unknown),
        };
        let summary = Summary {
            effects: std::array::from_fn(|index| argument(index).and_then(|site| site.end.clone()).unwrap_or_else(kept)),
            told: std::array::from_fn(|index| argument(index).map(|site| site.told.clone()).unwrap_or_default()),
            given,
            handed,
            changes,
        };
        let made = self.sites.into_iter().filter(|site| site.origin == Origin::Call);
        let blocks = made.map(|site| Block { address: site.address, size: site.size, told: site.told, bytes: site.end });
        (summary, Testimony { blocks: blocks.collect(), refused: self.refused })
    }
}

impl Size {
    /// What lies behind the first `offset` bytes.
    fn less(self, offset: i64) -> Self {
        match self {
            Self::Bytes(bytes) => Self::Bytes(bytes.saturating_sub(offset)),
            Self::Argument(site, more) => Self::Argument(site, more.saturating_sub(offset)),
            Self::Unknown => Self::Unknown,
        }
    }
}
