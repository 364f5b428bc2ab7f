//! Variables in memory, of one pair of points: what both codes have stored into them, and what is new in them.

use super::attempt::Attempt;
use super::by_byte;
use super::continuation::{FrameObject, FramePlace, Placed, Value};
use super::converted;
use super::definitions;
use crate::plan::address::NewLink;
use crate::program::address::LinkAddress;
use crate::program::flow::{Live, LivePlace, Place, Term};

impl Attempt<'_, '_> {
    pub(super) fn object_at(&self, offset: i64, length: u64) -> Option<usize> {
        let end = offset.saturating_add_unsigned(length);
        let holds = |object: &FrameObject| object.new <= offset && end <= object.new.saturating_add_unsigned(object.new_length);
        self.objects.iter().position(holds)
    }

    fn is_out_of_scope(&self, offset: i64) -> bool {
        let (_, _, to) = self.at;
        let place = LinkAddress(to.0.0.wrapping_sub(u64::from(!self.is_between())));
        self.sides.1.escapes.is_out_of_scope(&self.sides.1.graph, offset, place)
    }

    /// Bytes that addresses lead to and that no pair of variables holds.
    pub(super) fn unpaired(&mut self, offset: i64, live: &Live) -> Vec<Placed> {
        if let LivePlace::Object { length, .. } = live.place {
            if definitions::is_untouched(&mut self.correspondence.new, offset, length) {
                return Vec::new();
            }
            // It is what it was when it is looked at, or the program ends.
            if length == 8 && self.is_canary(offset) {
                return self
                    .place(FramePlace::Slot { offset, length: 8 }, Place::Slot { offset, length: 8 }, live)
                    .into_iter()
                    .collect();
            }
            let placed = if self.is_new_here(offset) { self.constants((offset, length), None, live) } else { None };
            if let Some(placed) = placed {
                return placed;
            }
        }
        match self.locals.1.holding(offset) {
            Some(variable) => {
                let name = variable.name.clone();
                let location = format!("variable `{name}` (cfa{offset:+})");
                self.tell(Some(location), live, "the old frame has no such variable in memory".to_owned());
                self.answer_local(&name);
            }
            // A variable of a block that control is not in has no value here.
            None if self.is_out_of_scope(offset) => {}
            None => self.tell(Some(format!("cfa{offset:+}")), live, "no variable is known there".to_owned()),
        }
        Vec::new()
    }

    /// Whether the new code has put the word there that stack protectors compare with.
    fn is_canary(&mut self, offset: i64) -> bool {
        let value = self.correspondence.new.here(Place::Slot { offset, length: 8 });
        matches!(self.correspondence.new.values.node(value), Term::Canary)
    }

    /// Whether bytes of the new frame are of a variable that the old code does not have at all.
    fn is_new_here(&self, offset: i64) -> bool {
        let (old, new) = self.locals;
        new.holding(offset)
            .is_some_and(|variable| !old.names().any(|name| name == variable.name) && old.constant(&variable.name).is_none())
    }

    /// Constants for bytes of the new frame, if the new code has stored one into each on all ways (PROOF 3.6); `within`: bytes of both frames that
    /// hold the variable which these are a part of, only in the new one.
    fn constants(&mut self, (start, length): (i64, u64), within: Option<usize>, live: &Live) -> Option<Vec<Placed>> {
        const LONGEST: u64 = 1 << 13;
        let within = within.and_then(|object| self.objects.get(object)).map(|object| {
            let bytes = |length: u64| i64::try_from(length).unwrap_or(i64::MAX);
            ((object.old, bytes(object.old_length)), (object.new, bytes(object.new_length)))
        });
        let end = start.checked_add_unsigned(length).filter(|_| length <= LONGEST)?;
        let mut placed = Vec::new();
        for offset in (start..end).step_by(8) {
            let length = u8::try_from(end.wrapping_sub(offset).min(8)).ok()?;
            let number = by_byte::constant(&mut self.correspondence, (offset, length), within)?;
            placed.push(Placed {
                place: FramePlace::Slot { offset, length },
                bits: u64::MAX.checked_shr(64 - u32::from(length) * 8)?,
                value: Value::Constant(number),
                why: "the new code has stored it there on all ways".to_owned(),
                reader: NewLink(live.reader),
            });
        }
        Some(placed)
    }

    /// A variable in memory that others may know: what the two functions themselves store there has to correspond. Gives the constants for what
    /// is new in it.
    pub(super) fn object(&mut self, index: usize, live: &Live) -> Vec<Placed> {
        let object = &self.objects[index];
        let explainer = self.explainer;
        let parts = converted::parts(explainer.view, explainer.comparison, object);
        let known = parts.as_ref().map(|parts| parts.parts.as_slice());
        let missing = match definitions::correspond(&mut self.correspondence, object, known) {
            Ok(missing) => missing,
            Err(reason) => {
                self.tell(Some(format!("variable `{}` (cfa{:+})", object.name, object.new)), live, reason);
                self.answer_local(&object.name);
                return Vec::new();
            }
        };
        let mut placed = self.fresh(index, parts.unwrap_or_default().fresh, live);
        placed.extend(missing.into_iter().filter_map(|missing| self.missing(index, missing, live)));
        placed
    }

    /// Bytes of a variable that the old code never stores to, as nobody reads them there: they are what the new code makes them.
    fn missing(&mut self, index: usize, (offset, length): (i64, u8), live: &Live) -> Option<Placed> {
        if by_byte::is_never_stored(&mut self.correspondence.new, (offset, length)) {
            return None;
        }
        let object = &self.objects[index];
        let new = &self.correspondence.new;
        // Code that stays the same may store there, too.
        let is_escaped = new.values.function().escapes.is_escaped_at(new.point, offset, length.into());
        if object.is_changed || !length.is_power_of_two() || is_escaped {
            let reason = "the new code stores into it what the old code did not".to_owned();
            self.tell(Some(format!("variable `{}` (cfa{:+})", object.name, object.new)), live, reason);
            self.answer_local(&object.name);
            return None;
        }
        let place = LivePlace::Slot { offset, length };
        let live = Live { place, bits: u64::MAX >> (64 - u32::from(length) * 8), ..*live };
        self.place(FramePlace::Slot { offset, length }, Place::Slot { offset, length }, &live)
    }

    /// Whether the call under way, if it knows the address of a variable, leaves alone what is new in it.
    fn is_left_alone(&self, object: &FrameObject, (from, length): (usize, usize)) -> bool {
        let new = &self.correspondence.new;
        let (start, bytes) = (object.new.saturating_add_unsigned(from as u64), length as i64);
        !new.values.function().escapes.is_escaped_at(new.point, start, bytes)
            || self.explainer.leave_alone(self.points, object, (from as u64, length as u64))
    }

    /// What is new in a variable.
    fn fresh(&mut self, index: usize, fresh: Vec<(usize, usize)>, live: &Live) -> Vec<Placed> {
        let object = &self.objects[index];
        let mut placed = Vec::new();
        for (from, length) in fresh {
            let start = object.new.saturating_add_unsigned(from as u64);
            if definitions::is_untouched(&mut self.correspondence.new, start, length as u64) {
                continue;
            }
            let constants = self.constants((start, length as u64), Some(index), live);
            match constants.filter(|_| self.is_left_alone(object, (from, length))) {
                Some(constants) => placed.extend(constants),
                // What data of the type is given counts, if something is.
                None if object.is_changed && !by_byte::is_stored(&mut self.correspondence.new, start, length as u64) => {
                    return Vec::new();
                }
                None => {
                    let reason = "what the new code has stored into its new part is not known".to_owned();
                    self.tell(Some(format!("variable `{}` (cfa{:+})", object.name, object.new)), live, reason);
                    self.answer_local(&object.name);
                    return Vec::new();
                }
            }
        }
        if object.is_changed && !placed.is_empty() {
            let bytes = placed.drain(..).filter_map(|placed| match (placed.place, placed.value) {
                (FramePlace::Slot { offset, length }, Value::Constant(number)) => {
                    let from = u64::try_from(offset.wrapping_sub(object.new)).ok()?;
                    Some((from, number.to_le_bytes().get(..usize::from(length))?.to_vec()))
                }
                _ => None,
            });
            self.initial.push((index, bytes.collect()));
        }
        placed
    }
}
