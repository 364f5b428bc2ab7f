//! Where a pointer meets a type: what tells the type of a block, and pointers to wanted types that nothing explains.

use super::function::{Origin, Walk};
use super::types::Target;
use super::value::{Cell, Fresh, Value};
use crate::program::address::LinkAddress;
use crate::program::types::TypeId;

impl Walk<'_, '_> {
    /// `value` is held by something of type `kind`.
    pub(super) fn meets(&mut self, value: Value, kind: TypeId) {
        match self.program.types.target(kind) {
            Target::Void => {}
            Target::Raw => {
                if let Value::Fresh(fresh) = value {
                    self.site_mut(fresh.site, |site| site.told.raw = true);
                }
            }
            Target::Object(target) => self.meets_object(value, target),
        }
    }

    fn meets_object(&mut self, value: Value, target: TypeId) {
        match value {
            Value::Fresh(fresh) => self.fresh_meets(fresh, target),
            Value::Pointer { to, .. } if self.program.types.are_related(to, target) => {}
            Value::Const(0) | Value::Void(None) => {}
            Value::Void(Some(cell)) => drop(self.read_from.insert((cell, target))),
            Value::Const(number) if self.is_no_other_variable(number, target) => {}
            Value::Pointer { .. }
            | Value::Const(_)
            | Value::Stack(_)
            | Value::Number(..)
            | Value::Unknown
            | Value::Raw
            | Value::Lost => {
                self.refuse(target, value);
            }
        }
    }

    fn fresh_meets(&mut self, fresh: Fresh, target: TypeId) {
        let offset = fresh.exact.then_some(fresh.offset);
        self.site_mut(fresh.site, |site| site.told.objects.extend([(target, offset)]));
        if fresh.doubtful {
            self.refuse(target, Value::Fresh(fresh));
        }
        let Some(Origin::Argument(declared)) = self.sites.get(fresh.site as usize).map(|site| site.origin) else { return };
        match declared.map(|declared| self.program.types.target(declared)) {
            Some(Target::Void) => {}
            Some(Target::Object(declared)) if self.program.types.are_related(declared, target) => {}
            _ => self.refuse(target, Value::Fresh(fresh)),
        }
    }

    /// Whether an address, if it is one at all, is that of a variable which `target` fits.
    fn is_no_other_variable(&self, number: u64, target: TypeId) -> bool {
        let build = self.program.build;
        if build.elf.load_at(LinkAddress(number)).is_none() {
            return true;
        }
        let types = &self.program.types;
        let mut variables = build.variables_at(LinkAddress(number)).filter_map(|(variable, _)| types.normal(variable.kind));
        variables.any(|kind| types.are_related(kind, target))
    }

    /// Nothing is proved of the wanted types in `target`.
    pub(super) fn refuse(&mut self, target: TypeId, value: Value) {
        for (position, _) in &self.program.types.inside(target).places {
            if !self.refused.contains_key(position) {
                let (kind, function) = (self.program.types.table().describe(Some(target)), self.entry);
                tracing::debug!(
                    kind,
                    ?value,
                    place = self.program.build.place(LinkAddress(self.at)),
                    function,
                    "unexplained pointer"
                );
            }
            self.refused.entry(*position).or_insert(self.at);
        }
    }

    /// What code takes out of a word of type `void *` that it also fills was there before as something else: a pool, not a container.
    pub(super) fn refuse_refilled(&mut self) {
        let read_from = std::mem::take(&mut self.read_from);
        for (cell, target) in &read_from {
            if self.filled.contains(cell) {
                self.refuse(*target, Value::Void(Some(*cell)));
            }
        }
        self.read_from = read_from;
    }

    /// The word at `address`, as (type, cell).
    pub(super) fn word_at(&self, address: Value) -> Option<(TypeId, Option<Cell>)> {
        let types = &self.program.types;
        match address {
            Value::Const(number) => {
                let (variable, offset) = self.program.build.variable_at(LinkAddress(number))?;
                let offset = i64::try_from(offset).ok()?;
                Some((types.word(variable.kind?, offset)?, Some(Cell::Static(number))))
            }
            Value::Pointer { to, offset } => {
                let offset = offset.or_else(|| types.is_pointer(to).then_some(0))?;
                let kind = types.word(to, offset)?;
                Some((kind, Some(Cell::Member(to, offset))))
            }
            Value::Fresh(fresh) => {
                let site = self.sites.get(fresh.site as usize)?;
                let to = match site.origin {
                    Origin::Argument(declared) => match types.target(declared?) {
                        Target::Object(to) => to,
                        Target::Void | Target::Raw => return None,
                    },
                    Origin::Call => {
                        let mut objects = site.told.objects.iter().filter(|(_, offset)| *offset == Some(0));
                        objects.next().filter(|_| objects.next().is_none())?.0
                    }
                };
                Some((types.word(to, fresh.offset)?, Some(Cell::Member(to, fresh.offset))))
            }
            Value::Stack(offset) => Some((self.frame_word(offset)?, None)),
            Value::Void(_) | Value::Number(..) | Value::Unknown | Value::Raw | Value::Lost => None,
        }
    }
}
