//! What registers, the stack and the objects that a function got hold of are known to hold at a point of its code.

use std::collections::{BTreeMap, BTreeSet};

use super::bytes::{Byte, Bytes};
use super::locals::Number;
use super::value::{Cell, Fresh, Site, Value};

/// Bytes of a word of the stack.
const WORD: i64 = 8;

/// Numbers of registers, as instructions encode them.
pub(super) const RAX: Number = 0;
pub(super) const RCX: Number = 1;
pub(super) const RSP: Number = 4;
pub(super) const RBP: Number = 5;
pub(super) const RSI: Number = 6;
pub(super) const RDI: Number = 7;
/// Registers of the first integer arguments (System V ABI, 3.2.3).
pub(super) const ARGUMENTS: [Number; 6] = [RDI, RSI, 2, RCX, 8, 9];
/// Registers that a call need not keep, as bits.
pub(super) const CLOBBERED: u32 = 0b1111_1100_0111;

/// The state at one point.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct State {
    registers: [Value; 16],
    /// Words of the frame by their distance from the stack pointer at the entry; others are unknown.
    slots: BTreeMap<i64, Value>,
    /// The objects that exist, by their site, as they have become.
    pub(super) objects: BTreeMap<Site, Bytes>,
    /// Words into which the pointer of a site was stored: it may be read back from there.
    pub(super) kept: BTreeSet<(Cell, Site)>,
    /// Vector registers whose first 16 bytes are zero, as bits, and, 32 bits higher, those whose other bytes are.
    pub(super) clear_vectors: u64,
    /// What the flags compare with zero.
    pub(super) tested: Option<Value>,
    /// Parts of the frame that others have the address of.
    exposed: Vec<(i64, i64)>,
}

impl State {
    /// At the entry of a function whose arguments are the first sites; `is_number` says of which it is known that they are no pointers.
    pub(super) fn at_entry(is_number: impl Fn(Site) -> bool) -> Self {
        let mut registers = [Value::Unknown; 16];
        registers[RSP] = Value::Stack(0);
        let mut objects = BTreeMap::new();
        for (site, register) in (0..).zip(ARGUMENTS) {
            if is_number(site) {
                registers[register] = Value::Number(site, 0);
                continue;
            }
            registers[register] = Value::of_site(site);
            objects.insert(site, Bytes::all(Byte::Kept));
        }
        Self {
            registers,
            slots: BTreeMap::new(),
            objects,
            kept: BTreeSet::new(),
            clear_vectors: 0,
            tested: None,
            exposed: Vec::new(),
        }
    }

    pub(super) fn register(&self, number: Number) -> Value {
        self.registers.get(number).copied().unwrap_or(Value::Unknown)
    }

    pub(super) fn set_register(&mut self, number: Number, value: Value) {
        if let Some(register) = self.registers.get_mut(number) {
            *register = value;
        }
    }

    /// The word of the frame at `offset`.
    pub(super) fn slot(&self, offset: i64) -> Option<Value> {
        self.slots.get(&offset).copied()
    }

    /// Stores `size` bytes into the frame; `value` is what a whole word becomes.
    pub(super) fn set_slot(&mut self, offset: i64, size: i64, value: Value) {
        let touched: Vec<i64> =
            self.slots.range(offset.saturating_sub(WORD - 1)..offset.saturating_add(size)).map(|slot| *slot.0).collect();
        for slot in touched {
            self.slots.remove(&slot);
        }
        if size == WORD && value != Value::Unknown {
            self.slots.insert(offset, value);
        }
    }

    /// Something was stored into the frame at a place that is not known.
    pub(super) fn forget_slots(&mut self) {
        for value in std::mem::take(&mut self.slots).into_values() {
            self.spoil_value(value);
        }
    }

    /// Every word that holds a pointer of `site` becomes what `change` makes of it.
    pub(super) fn change_pointers(&mut self, site: Site, change: impl Fn(Value) -> Value) {
        for value in self.registers.iter_mut().chain(self.slots.values_mut()).filter(|value| value.site() == Some(site)) {
            *value = change(*value);
        }
    }

    /// Nothing is known of the object of `site` any more.
    pub(super) fn spoil(&mut self, site: Site) {
        if let Some(bytes) = self.objects.get_mut(&site) {
            *bytes = Bytes::all(Byte::Other);
        }
    }

    /// Nothing is known any more of the object that `value` may be a pointer to.
    pub(super) fn spoil_value(&mut self, value: Value) {
        match value {
            Value::Fresh(fresh) => self.spoil(fresh.site),
            Value::Lost => self.objects.values_mut().for_each(|bytes| *bytes = Bytes::all(Byte::Other)),
            _ => {}
        }
    }

    /// Stores into the object of a pointer. Zeros that may go elsewhere, or to a place that is not known, do not count.
    pub(super) fn store(&mut self, to: Fresh, size: Option<u64>, byte: Byte) {
        let Some(bytes) = self.objects.get_mut(&to.site) else { return };
        let end = |start: i64| size.and_then(|size| start.checked_add_unsigned(size)).unwrap_or(i64::MAX);
        match byte {
            Byte::Zero if to.sure && to.exact && size.is_some() => bytes.set(to.offset, end(to.offset), byte),
            Byte::Zero | Byte::Kept => {}
            Byte::Other if to.exact => bytes.set(to.offset, end(to.offset), byte),
            Byte::Other => *bytes = Bytes::all(Byte::Other),
        }
    }

    /// What a word may hold, into which pointers of sites were stored.
    pub(super) fn kept_at(&self, cell: Cell) -> Option<Value> {
        let mut sites = self.kept.iter().filter(|kept| kept.0 == cell).map(|kept| kept.1);
        let site = sites.next()?;
        let one = Value::Fresh(Fresh { site, offset: 0, exact: true, sure: false, doubtful: false });
        Some(if sites.next().is_none() { one } else { Value::Lost })
    }

    /// Others got the address of the frame's bytes from `start` up to `end`, and may store there from now on.
    pub(super) fn expose(&mut self, start: i64, end: i64) {
        if self.exposed.contains(&(start, end)) {
            return;
        }
        self.exposed.push((start, end));
        self.exposed.sort_unstable();
        let inside: Vec<Value> = self.slots.range(start..end.max(start)).map(|slot| *slot.1).collect();
        for value in inside {
            self.spoil_value(value);
        }
    }

    /// What a call does to registers, of which it may change `registers` (as bits), and to the frame.
    pub(super) fn clobber(&mut self, registers: u32) {
        for (number, register) in self.registers.iter_mut().enumerate() {
            if registers & CLOBBERED & 1 << number != 0 {
                *register = Value::Unknown;
            }
        }
        self.clear_vectors = 0;
        self.tested = None;
        for (start, end) in self.exposed.clone() {
            let inside: Vec<i64> = self.slots.range(start..end.max(start)).map(|slot| *slot.0).collect();
            for slot in inside {
                if let Some(value) = self.slots.remove(&slot) {
                    self.spoil_value(value);
                }
            }
        }
    }

    /// Takes in the state of another way to the same point; whether anything changed.
    pub(super) fn join(&mut self, other: &Self, meet: impl Fn(Value, Value) -> Option<Value>) -> bool {
        let before = self.clone();
        let live = |in_other: bool, site: Site| if in_other { &other.objects } else { &before.objects }.contains_key(&site);
        for (value, from) in self.registers.iter_mut().zip(other.registers) {
            *value = value.join(from, live, &meet);
        }
        let mut slots: Vec<i64> = self.slots.keys().chain(other.slots.keys()).copied().collect();
        slots.sort_unstable();
        slots.dedup();
        for slot in slots {
            let of = |slots: &BTreeMap<i64, Value>| slots.get(&slot).copied().unwrap_or(Value::Unknown);
            match of(&before.slots).join(of(&other.slots), live, &meet) {
                Value::Unknown => drop(self.slots.remove(&slot)),
                value => drop(self.slots.insert(slot, value)),
            }
        }
        for (site, bytes) in &other.objects {
            let joined = before.objects.get(site).map_or_else(|| bytes.clone(), |own| own.join(bytes));
            self.objects.insert(*site, joined);
        }
        self.kept.extend(&other.kept);
        self.clear_vectors &= other.clear_vectors;
        if self.tested != other.tested {
            self.tested = None;
        }
        self.exposed.extend(&other.exposed);
        self.exposed.sort_unstable();
        self.exposed.dedup();
        *self != before
    }
}
