//! Types as pointers lead to them: what lies in what, and what a word of an object is declared to be.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;

use super::value::{Cell, Value};
use crate::program::types::{Shape, TypeId, TypeTable};

/// How deep members may nest; more is a loop in mangled debug information.
const DEPTH_LIMIT: usize = 32;
/// The most places at which a wanted type may lie in another one; with more it is not looked for.
const PLACE_LIMIT: usize = 256;

/// What a pointer is declared to point to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Target {
    /// `void`, or no pointer to anything that is known.
    Void,
    /// Bytes, numbers, code; or the word is no pointer.
    Raw,
    /// A structure, a union, an array, a pointer.
    Object(TypeId),
}

/// Where wanted types lie in a type.
#[derive(Debug, Default)]
pub(super) struct Inside {
    /// (position among the wanted types, offset).
    pub(super) places: Vec<(usize, i64)>,
    /// Whether these are all.
    pub(super) whole: bool,
}

/// The types of a build, and which are wanted.
pub(super) struct Types<'b> {
    table: &'b TypeTable,
    wanted: Vec<TypeId>,
    inside: RefCell<HashMap<TypeId, Rc<Inside>>>,
    contains: RefCell<HashMap<(TypeId, TypeId), bool>>,
    normal: RefCell<HashMap<TypeId, TypeId>>,
}

impl<'b> Types<'b> {
    pub(super) fn new(table: &'b TypeTable, wanted: &[TypeId]) -> Self {
        let (inside, contains, normal) = Default::default();
        let mut types = Self { table, wanted: Vec::new(), inside, contains, normal };
        types.wanted = wanted.iter().filter_map(|kind| types.normal(Some(*kind))).collect();
        types.wanted.sort_unstable();
        types.wanted.dedup();
        types
    }

    /// One of all types of one name and size, behind typedefs and qualifiers. Definitions that differ further down count as one here:
    /// pointers go from one unit to another all the same.
    pub(super) fn normal(&self, kind: Option<TypeId>) -> Option<TypeId> {
        let kind = kind?;
        if let Some(known) = self.normal.borrow().get(&kind) {
            return Some(*known);
        }
        let id = self.table.normal(Some(kind))?;
        let entry = self.table.get(id);
        let named = entry.shape.defined_tag().filter(|_| !entry.name.is_empty());
        let same = named.map_or(&[][..], |tag| self.table.definitions(tag, &entry.name));
        let first = same.iter().copied().find(|other| self.table.get(*other).size == entry.size).unwrap_or(id);
        self.normal.borrow_mut().insert(kind, first);
        Some(first)
    }

    /// A pointer to the byte at `offset` of `kind`. One into an array is one to its element.
    pub(super) fn pointer(&self, kind: TypeId, offset: i64) -> Value {
        let (mut kind, mut offset) = (kind, offset);
        for _ in 0..DEPTH_LIMIT {
            let Shape::Array { element, .. } = &self.table.get(kind).shape else { break };
            let Some((element, size)) = self.normal(*element).zip(element.and_then(|element| self.size(element))) else { break };
            (kind, offset) = (element, if size > 0 { offset.rem_euclid(size) } else { offset });
        }
        match self.table.get(kind).shape {
            Shape::Base { .. } | Shape::Enum { .. } | Shape::Function { .. } => Value::Raw,
            _ => Value::Pointer { to: kind, offset: Some(offset) },
        }
    }

    /// Where two pointers of different types meet that lead to words of one type, one to such a word.
    pub(super) fn meet(&self, a: Value, b: Value) -> Option<Value> {
        let (Value::Pointer { to: a, offset: Some(at) }, Value::Pointer { to: b, offset: Some(by) }) = (a, b) else {
            return None;
        };
        let (a, b) = (self.word(a, at)?, self.word(b, by)?);
        (self.target(a) == self.target(b)).then_some(Value::Pointer { to: a, offset: Some(0) })
    }

    pub(super) fn wanted(&self) -> &[TypeId] {
        &self.wanted
    }

    pub(super) fn table(&self) -> &'b TypeTable {
        self.table
    }

    /// Size of a type in bytes, as an offset.
    pub(super) fn size(&self, kind: TypeId) -> Option<i64> {
        self.table.size_of(Some(kind)).and_then(|size| i64::try_from(size).ok())
    }

    /// What a word of type `kind` points to.
    pub(super) fn target(&self, kind: TypeId) -> Target {
        let Some(kind) = self.normal(Some(kind)) else { return Target::Raw };
        let Shape::Pointer { target } = self.table.get(kind).shape else { return Target::Raw };
        let Some(target) = self.normal(target) else { return Target::Void };
        match self.table.get(target).shape {
            Shape::Base { .. } | Shape::Enum { .. } | Shape::Function { .. } => Target::Raw,
            Shape::Array { element, .. } => match self.normal(element).map(|element| &self.table.get(element).shape) {
                None | Some(Shape::Base { .. } | Shape::Enum { .. }) => Target::Raw,
                Some(_) => Target::Object(target),
            },
            _ => Target::Object(target),
        }
    }

    /// Whether a type is a pointer.
    pub(super) fn is_pointer(&self, kind: TypeId) -> bool {
        self.table.peel(Some(kind)).is_some_and(|kind| matches!(self.table.get(kind).shape, Shape::Pointer { .. }))
    }

    /// What a word of type `kind` holds that was read from `cell`.
    pub(super) fn value(&self, kind: TypeId, cell: Option<Cell>) -> Value {
        match self.target(kind) {
            Target::Void => Value::Void(cell),
            Target::Raw => Value::Raw,
            Target::Object(to) => self.pointer(to, 0),
        }
    }

    /// The type of the word at `offset` of `kind`, or of an array of it; `None` where it is not one word of one type.
    pub(super) fn word(&self, kind: TypeId, offset: i64) -> Option<TypeId> {
        self.word_within(kind, offset, DEPTH_LIMIT)
    }

    fn word_within(&self, kind: TypeId, offset: i64, depth: usize) -> Option<TypeId> {
        let depth = depth.checked_sub(1)?;
        let kind = self.normal(Some(kind))?;
        let entry = self.table.get(kind);
        let offset = match self.size(kind) {
            Some(size) if size > 0 && !self.is_flexible(kind) => offset.rem_euclid(size),
            _ => offset,
        };
        match &entry.shape {
            Shape::Struct { members } => {
                let behind = members.iter().filter(|member| member.bits.is_none() && signed(member.offset) <= offset);
                let member = behind.max_by_key(|member| member.offset)?;
                let within = offset - signed(member.offset);
                let fits = self.size(member.kind?).is_none_or(|size| size == 0 || within < size);
                if fits { self.word_within(member.kind?, within, depth) } else { None }
            }
            Shape::Union { members } => {
                // Numbers beside a pointer do not make it less of one.
                let words = members.iter().filter_map(|member| self.word_within(member.kind?, offset, depth));
                let mut found = words.filter(|kind| self.is_pointer(*kind));
                let first = found.next()?;
                found.all(|other| self.target(other) == self.target(first)).then_some(first)
            }
            Shape::Array { element, .. } => self.word_within((*element)?, offset, depth),
            _ => (offset == 0 && entry.size == Some(8)).then_some(kind),
        }
    }

    /// Whether an object of a type `a` and one of a type `b` can be at one place: one lies in the other.
    pub(super) fn are_related(&self, a: TypeId, b: TypeId) -> bool {
        a == b || self.contains(a, b, DEPTH_LIMIT) || self.contains(b, a, DEPTH_LIMIT)
    }

    /// Whether an object of type `outer` has one of type `inner` in it.
    pub(super) fn holds(&self, outer: TypeId, inner: TypeId) -> bool {
        self.contains(outer, inner, DEPTH_LIMIT)
    }

    fn contains(&self, outer: TypeId, inner: TypeId, depth: usize) -> bool {
        let Some(depth) = depth.checked_sub(1) else { return false };
        if let Some(known) = self.contains.borrow().get(&(outer, inner)) {
            return *known;
        }
        let within =
            |kind: Option<TypeId>| self.normal(kind).is_some_and(|kind| kind == inner || self.contains(kind, inner, depth));
        let found = match &self.table.get(outer).shape {
            Shape::Struct { members } | Shape::Union { members } => members.iter().any(|member| within(member.kind)),
            Shape::Array { element, .. } => within(*element),
            _ => false,
        };
        self.contains.borrow_mut().insert((outer, inner), found);
        found
    }

    /// Where wanted types lie in `kind`, itself included.
    pub(super) fn inside(&self, kind: TypeId) -> Rc<Inside> {
        let Some(kind) = self.normal(Some(kind)) else { return Rc::default() };
        if let Some(known) = self.inside.borrow().get(&kind) {
            return Rc::clone(known);
        }
        let mut found = Inside { places: Vec::new(), whole: true };
        self.look_inside(kind, 0, DEPTH_LIMIT, &mut found);
        let found = Rc::new(found);
        self.inside.borrow_mut().insert(kind, Rc::clone(&found));
        found
    }

    fn look_inside(&self, kind: TypeId, at: i64, depth: usize, found: &mut Inside) {
        let (Some(depth), Some(kind)) = (depth.checked_sub(1), self.normal(Some(kind))) else { return };
        if let Ok(position) = self.wanted.binary_search(&kind) {
            found.places.push((position, at));
            found.whole &= found.places.len() < PLACE_LIMIT;
        }
        if found.places.len() >= PLACE_LIMIT {
            return;
        }
        match &self.table.get(kind).shape {
            Shape::Struct { members } | Shape::Union { members } => {
                for member in members {
                    if let Some(kind) = member.kind {
                        self.look_inside(kind, at.saturating_add(signed(member.offset)), depth, found);
                    }
                }
            }
            Shape::Array { element: Some(element), .. } => {
                let count = self.size(kind).zip(self.size(*element)).and_then(|(all, one)| all.checked_div(one)).unwrap_or(1);
                let before = found.places.len();
                for index in 0..count.max(1) {
                    self.look_inside(*element, at.saturating_add(index * self.size(*element).unwrap_or(0)), depth, found);
                    if found.places.len() == before || found.places.len() >= PLACE_LIMIT {
                        break;
                    }
                }
            }
            _ => {}
        }
    }

    /// Whether objects of the type end with an array that has no length.
    pub(super) fn is_flexible(&self, kind: TypeId) -> bool {
        let last = self.table.get(kind).shape.members().and_then(|members| members.last());
        let last = last.and_then(|member| self.normal(member.kind)).map(|kind| &self.table.get(kind).shape);
        matches!(last, Some(Shape::Array { counts, .. }) if matches!(counts.first(), Some(None | Some(0))))
    }
}

fn signed(offset: u64) -> i64 {
    i64::try_from(offset).unwrap_or(i64::MAX)
}
