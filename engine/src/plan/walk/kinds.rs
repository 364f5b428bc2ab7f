//! Types as the walk needs them: each once, whatever unit it stands in, with the places in it that are followed.

use std::collections::HashMap;
use std::rc::Rc;

use super::interest::{Choice, Interest, Place, Pointee, Root};
use crate::program::types::{Member, Shape, TypeId, TypeTable};

/// How deep structures may nest; more is a loop in mangled debug information.
const DEPTH_LIMIT: usize = 48;

/// Number of a type that the walk knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Kind(pub(super) u32);

/// What of a type matters.
#[derive(Debug)]
pub(super) struct Layout {
    /// One of the type's entries.
    pub(super) id: TypeId,
    /// Size in bytes; 0 where there is none.
    pub(super) size: u64,
    /// Whether its objects are rewritten.
    pub(super) changed: bool,
    /// What is followed in an object.
    pub(super) parts: Vec<Part>,
    /// Offset and element of a flexible array at the end.
    pub(super) flexible: Option<Flexible>,
    /// Largest alignment of its pointers: 8 where it has one at its natural place, else 1.
    pub(super) align: u64,
    /// Whether all parts are pointers and arrays that no rule speaks of.
    pub(super) is_plain: bool,
}

/// A flexible array member.
#[derive(Clone, Debug)]
pub(super) struct Flexible {
    pub(super) offset: u64,
    pub(super) element: Kind,
    pub(super) length: Option<Counted>,
}

/// A place for which the user said how many elements there are.
#[derive(Clone, Debug)]
pub(super) struct Counted {
    pub(super) root: Root,
    pub(super) path: Vec<u32>,
    /// Offset of the root in the object around it.
    pub(super) start: u64,
}

/// A part of an object that is followed.
#[derive(Clone, Debug)]
pub(super) struct Part {
    /// Offset in bytes.
    pub(super) offset: u64,
    /// What is there.
    pub(super) what: What,
}

/// What is followed.
#[derive(Clone, Debug)]
pub(super) enum What {
    /// A pointer.
    Pointer(Target),
    /// A pointer to bytes, as the user says.
    Bytes,
    /// Elements with parts of their own.
    Elements { kind: Kind, count: u64 },
    /// A pointer whose target depends on a tag: offset, size and whether it is signed.
    Tagged { tag: Tag, choices: HashMap<i128, Option<Kind>>, path: Vec<u32> },
    /// A union whose member in use a tag tells; parts by member.
    Union { tag: Tag, members: HashMap<i128, Option<u32>>, otherwise: Option<Option<u32>>, parts: Vec<Vec<Part>>, path: Vec<u32> },
    /// A union that holds or points to what changes, and of which nobody says what is in use.
    Undecided { size: u64, by_value: bool, path: Vec<u32> },
}

/// Where a typed pointer leads.
#[derive(Clone, Debug)]
pub(super) struct Target {
    pub(super) kind: Kind,
    /// Where in the object the pointer leads, if not to its start.
    pub(super) within: Option<Within>,
    /// The pointer, where the user said how many elements follow.
    pub(super) length: Option<Counted>,
}

/// Where in an object a pointer leads that is found from its middle.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Within {
    /// The object begins this many bytes before the pointer's value.
    pub(super) back: u64,
    /// What the pointer's own type says is there.
    pub(super) declared: Option<Kind>,
}

/// An integer that tells a type.
#[derive(Clone, Copy, Debug)]
pub(super) struct Tag {
    pub(super) offset: u64,
    pub(super) size: u64,
    pub(super) signed: bool,
}

impl Tag {
    /// Its value in an object.
    pub(super) fn value(&self, object: &[u8]) -> Option<i128> {
        let bytes = object.get(self.offset as usize..self.offset.checked_add(self.size)? as usize)?;
        let mut wide = [if self.signed && bytes.last()? & 0x80 != 0 { 0xff } else { 0 }; 16];
        wide.get_mut(..bytes.len())?.copy_from_slice(bytes);
        Some(i128::from_le_bytes(wide))
    }
}

/// What makes two entries one type.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Key {
    Named(TypeId),
    /// Without a name: where it is declared, and its members' names and offsets.
    Anonymous(u16, String, u64, Option<u64>, Vec<(String, u64)>),
    Pointer(Option<Kind>),
    Array(Option<Kind>, Vec<Option<u64>>),
}

/// The types that were met.
pub(super) struct Kinds<'a> {
    pub(super) types: &'a TypeTable,
    interest: &'a dyn Interest,
    by_id: HashMap<TypeId, Option<Kind>>,
    by_key: HashMap<Key, Kind>,
    layouts: Vec<Rc<Layout>>,
    is_compiled: Vec<bool>,
}

impl<'a> Kinds<'a> {
    pub(super) fn new(types: &'a TypeTable, interest: &'a dyn Interest) -> Self {
        Self { types, interest, by_id: HashMap::new(), by_key: HashMap::new(), layouts: Vec::new(), is_compiled: Vec::new() }
    }

    /// The number of a type; `None` for void and for types without a loop-free description.
    pub(super) fn of(&mut self, id: Option<TypeId>) -> Option<Kind> {
        self.within(id, DEPTH_LIMIT)
    }

    fn within(&mut self, id: Option<TypeId>, depth: usize) -> Option<Kind> {
        let id = self.types.canonical(self.types.peel(id)?);
        if let Some(known) = self.by_id.get(&id) {
            return *known;
        }
        let kind = self.key(id, depth.checked_sub(1)?).map(|key| {
            let next = Kind(self.layouts.len() as u32);
            let kind = *self.by_key.entry(key).or_insert(next);
            if kind == next {
                self.layouts.push(Rc::new(self.empty(id)));
                self.is_compiled.push(false);
            }
            kind
        });
        self.by_id.insert(id, kind);
        kind
    }

    fn key(&mut self, id: TypeId, depth: usize) -> Option<Key> {
        let entry = self.types.get(id);
        Some(match &entry.shape {
            Shape::Pointer { target } => Key::Pointer(self.within(*target, depth)),
            Shape::Array { element, counts } => Key::Array(self.within(*element, depth), counts.clone()),
            Shape::Struct { members } | Shape::Union { members } if entry.name.is_empty() && !entry.file.is_empty() => {
                let members = members.iter().map(|member| (member.name.clone(), member.offset)).collect();
                Key::Anonymous(entry.shape.tag().unwrap_or(0), entry.file.clone(), entry.line, entry.size, members)
            }
            _ => Key::Named(id),
        })
    }

    fn empty(&self, id: TypeId) -> Layout {
        let size = self.types.size_of(Some(id)).unwrap_or(0);
        let changed = self.interest.changed(id);
        Layout { id, size, changed, parts: Vec::new(), flexible: None, align: 1, is_plain: true }
    }

    /// Whether objects of the type are walked: they change or lead to what does.
    pub(super) fn is_interesting(&self, kind: Kind) -> bool {
        self.is_interesting_within(self.layouts.get(kind.0 as usize).map(|layout| layout.id), DEPTH_LIMIT)
    }

    fn is_interesting_within(&self, id: Option<TypeId>, depth: usize) -> bool {
        let Some(id) = self.types.peel(id).map(|id| self.types.canonical(id)) else { return false };
        if depth == 0 {
            return false;
        }
        match &self.types.get(id).shape {
            Shape::Pointer { .. } if self.interest.pointers() => true,
            Shape::Pointer { target } => self.is_interesting_within(*target, depth - 1),
            Shape::Array { element, .. } => self.is_interesting_within(*element, depth - 1),
            Shape::Function { .. } => false,
            _ => self.interest.changed(id) || self.interest.leads(id),
        }
    }

    /// What is known of a type without looking into it.
    pub(super) fn get(&self, kind: Kind) -> Option<&Layout> {
        self.layouts.get(kind.0 as usize).map(Rc::as_ref)
    }

    /// The type's layout, made when first asked for.
    pub(super) fn layout(&mut self, kind: Kind) -> Option<Rc<Layout>> {
        let at = kind.0 as usize;
        let id = self.layouts.get(at)?.id;
        if !std::mem::replace(self.is_compiled.get_mut(at)?, true) {
            let compiled = Rc::new(Compiler::new(self, None).layout(id));
            *self.layouts.get_mut(at)? = compiled;
        }
        self.layouts.get(at).cloned()
    }

    /// The layout of a variable, whose own rules hold besides those of its type.
    pub(super) fn variable(&mut self, position: u32, id: TypeId) -> Layout {
        Compiler::new(self, Some(position)).layout(id)
    }

    /// Whether an object of `outer` has one of `inner` at `offset`, itself included.
    pub(super) fn contains(&mut self, outer: Kind, offset: u64, inner: Kind) -> bool {
        let id = self.layouts.get(outer.0 as usize).map(|layout| layout.id);
        self.contains_within(id, offset, inner, DEPTH_LIMIT)
    }

    /// The same for a type that may have no number yet.
    pub(super) fn type_contains(&mut self, outer: Option<TypeId>, offset: u64, inner: Kind) -> bool {
        self.contains_within(outer, offset, inner, DEPTH_LIMIT)
    }

    fn contains_within(&mut self, outer: Option<TypeId>, offset: u64, inner: Kind, depth: usize) -> bool {
        let Some(outer) = self.types.peel(outer) else { return false };
        if offset == 0 && self.of(Some(outer)) == Some(inner) {
            return true;
        }
        let Some(depth) = depth.checked_sub(1) else { return false };
        let types = self.types;
        let outer = types.canonical(outer);
        match &types.get(outer).shape {
            Shape::Struct { members } | Shape::Union { members } => members.iter().any(|member| {
                let size = types.size_of(member.kind);
                let inside = member.offset <= offset && size.is_none_or(|size| offset - member.offset < size);
                member.bits.is_none() && inside && self.contains_within(member.kind, offset - member.offset, inner, depth)
            }),
            Shape::Array { element, .. } => match types.size_of(*element) {
                Some(size @ 1..) => self.contains_within(*element, offset % size, inner, depth),
                _ => false,
            },
            _ => false,
        }
    }
}

fn is_plain(part: &Part) -> bool {
    matches!(part.what, What::Pointer(Target { length: None, .. }) | What::Bytes | What::Elements { .. })
}

/// The pointers that every member of a union has at the same place: whichever is in use, they are there.
fn agreed(members: &[Vec<Part>]) -> Vec<Part> {
    let Some((first, others)) = members.split_first() else { return Vec::new() };
    let target = |part: &Part| match &part.what {
        What::Pointer(Target { kind, within, length: None }) => Some((part.offset, *kind, *within)),
        _ => None,
    };
    let everywhere = |part: &&Part| {
        let wanted = target(part);
        wanted.is_some() && others.iter().all(|own| own.iter().any(|other| target(other) == wanted))
    };
    first.iter().filter(everywhere).cloned().collect()
}

/// Makes the layout of one type.
struct Compiler<'k, 'a> {
    kinds: &'k mut Kinds<'a>,
    /// Structures around the place in hand: each with the length of the path where it begins.
    roots: Vec<(Root, usize, u64)>,
    path: Vec<u32>,
    variable: Option<u32>,
    /// Of the type in hand, in bytes.
    size: u64,
}

impl<'k, 'a> Compiler<'k, 'a> {
    fn new(kinds: &'k mut Kinds<'a>, variable: Option<u32>) -> Self {
        Self { kinds, roots: Vec::new(), path: Vec::new(), variable, size: 0 }
    }

    fn layout(&mut self, id: TypeId) -> Layout {
        let mut layout = self.kinds.empty(id);
        self.size = layout.size;
        if let Some(variable) = self.variable {
            self.roots.push((Root::Variable(variable), 0, 0));
        }
        self.add(Some(id), 0, DEPTH_LIMIT, &mut layout.parts);
        layout.flexible = self.flexible(id);
        layout.is_plain = layout.parts.iter().all(is_plain);
        let aligned = |part: &Part| matches!(part.what, What::Pointer(_)) && part.offset.is_multiple_of(8);
        if layout.size.is_multiple_of(8) && layout.parts.iter().any(aligned) {
            layout.align = 8;
        }
        layout
    }

    fn places(&self) -> impl Iterator<Item = Place<'_>> {
        self.roots.iter().rev().filter_map(|(root, from, _)| Some(Place { root: *root, path: self.path.get(*from..)? }))
    }

    /// Adds what is followed in an object of type `id` at `offset`.
    fn add(&mut self, id: Option<TypeId>, offset: u64, depth: usize, parts: &mut Vec<Part>) {
        let types = self.kinds.types;
        let (Some(id), Some(depth)) = (types.peel(id), depth.checked_sub(1)) else { return };
        let id = types.canonical(id);
        match &types.get(id).shape {
            Shape::Pointer { target } => parts.extend(self.pointer(*target).map(|what| Part { offset, what })),
            Shape::Struct { members } => {
                self.roots.push((Root::Type(id), self.path.len(), offset));
                for (position, member) in (0u32..).zip(members) {
                    self.member(position, member, offset, depth, parts);
                }
                self.roots.pop();
            }
            Shape::Union { members } => {
                self.roots.push((Root::Type(id), self.path.len(), offset));
                parts.extend(self.union(id, members, offset, depth));
                self.roots.pop();
            }
            Shape::Array { element, counts } => {
                let count = counts.iter().try_fold(1u64, |all, count| all.checked_mul((*count)?));
                if let (Some(count @ 1..), Some(kind)) = (count, self.kinds.of(*element)) {
                    self.elements(*element, kind, count, offset, depth, parts);
                }
            }
            _ => {}
        }
    }

    fn member(&mut self, position: u32, member: &Member, offset: u64, depth: usize, parts: &mut Vec<Part>) {
        if member.bits.is_some() {
            return;
        }
        self.path.push(position);
        self.add(member.kind, offset.saturating_add(member.offset), depth, parts);
        self.path.pop();
    }

    fn elements(&mut self, element: Option<TypeId>, kind: Kind, count: u64, offset: u64, depth: usize, parts: &mut Vec<Part>) {
        // Up to here elements are followed one by one, so that rules on the whole reach them.
        const UNROLLED: u64 = 4;
        let size = self.kinds.types.size_of(element).unwrap_or(0);
        let first = parts.len();
        self.add(element, offset, depth, parts);
        let added: Vec<Part> = parts.get(first..).unwrap_or_default().to_vec();
        // An array that is larger than what holds it is mangled, and may hold itself.
        if added.is_empty() || size == 0 || size.saturating_mul(count) > self.size {
            return parts.truncate(first);
        }
        if count > UNROLLED && added.iter().all(is_plain) && self.kinds.get(kind).is_some_and(|layout| layout.size == size) {
            parts.truncate(first);
            parts.push(Part { offset, what: What::Elements { kind, count } });
            return;
        }
        for number in 1..count {
            parts.extend(
                added.iter().map(|part| Part {
                    offset: part.offset.saturating_add(number.saturating_mul(size)),
                    what: part.what.clone(),
                }),
            );
        }
    }

    fn pointer(&mut self, target: Option<TypeId>) -> Option<What> {
        let length = self.counted();
        let rule = self.places().find_map(|place| Some((place.root, self.kinds.interest.pointee(place)?)));
        let plain = |kind, within| Some(What::Pointer(Target { kind, within, length: length.clone() }));
        match rule {
            Some((_, Pointee::Opaque)) => self.kinds.interest.notes_bytes().then_some(What::Bytes),
            Some((_, Pointee::Type(kind))) => {
                let kind = self.kinds.of(Some(kind))?;
                if self.kinds.is_interesting(kind) { plain(kind, None) } else { None }
            }
            Some((_, Pointee::Within { kind, back })) => {
                let kind = self.kinds.of(Some(kind))?;
                let declared = self.kinds.of(target);
                if self.kinds.is_interesting(kind) { plain(kind, Some(Within { back, declared })) } else { None }
            }
            Some((root, Pointee::ByTag { tag, choices })) => {
                let tag = self.tag(root, &tag)?;
                let choices = choices.into_iter().map(|(value, id)| (value, self.kinds.of(id))).collect();
                Some(What::Tagged { tag, choices, path: self.path.clone() })
            }
            None => {
                let kind = self.kinds.of(target)?;
                if self.kinds.is_interesting(kind) { plain(kind, None) } else { None }
            }
        }
    }

    /// The place in hand, where the user said how many elements it has.
    fn counted(&self) -> Option<Counted> {
        self.roots.iter().rev().find_map(|&(root, from, start)| {
            let path = self.path.get(from..)?;
            let counted = self.kinds.interest.has_length(Place { root, path });
            counted.then(|| Counted { root, path: path.to_vec(), start })
        })
    }

    /// A tag by its path from `root`, which is among the structures around.
    fn tag(&self, root: Root, path: &[u32]) -> Option<Tag> {
        let (_, _, start) = self.roots.iter().rev().find(|(known, ..)| *known == root)?;
        let types = self.kinds.types;
        let mut id = match root {
            Root::Type(id) => Some(id),
            Root::Variable(_) => return None,
        };
        let mut offset = *start;
        for position in path {
            let member = types.get(types.canonical(types.peel(id)?)).shape.members()?.get(*position as usize)?;
            if member.bits.is_some() {
                return None;
            }
            offset = offset.checked_add(member.offset)?;
            id = member.kind;
        }
        let entry = types.get(types.peel(id)?);
        let signed = match &entry.shape {
            Shape::Base { encoding } => matches!(gimli::DwAte(*encoding), gimli::DW_ATE_signed | gimli::DW_ATE_signed_char),
            Shape::Enum { enumerators } => enumerators.iter().any(|(_, value)| *value < 0),
            _ => return None,
        };
        Some(Tag { offset, size: entry.size.filter(|size| *size <= 8)?, signed })
    }

    fn union(&mut self, id: TypeId, members: &[Member], offset: u64, depth: usize) -> Vec<Part> {
        let mut parts: Vec<Vec<Part>> = Vec::new();
        for (position, member) in (0u32..).zip(members) {
            let mut own = Vec::new();
            self.member(position, member, offset, depth, &mut own);
            parts.push(own);
        }
        let types = self.kinds.types;
        let changes =
            |member: &Member| types.peel(member.kind).is_some_and(|id| self.kinds.interest.changed(types.canonical(id)));
        let by_value = members.iter().any(changes);
        if !by_value && parts.iter().all(Vec::is_empty) {
            return Vec::new();
        }
        // A place of the union itself, seen from what is around it.
        let rule = self.places().find_map(|place| Some((place.root, self.kinds.interest.member(place)?)));
        if let Some((root, Choice { tag, members, otherwise })) = rule
            && let Some(tag) = self.tag(root, &tag)
        {
            return vec![Part { offset, what: What::Union { tag, members, otherwise, parts, path: self.path.clone() } }];
        }
        let mut found = agreed(&parts);
        if by_value || parts.iter().any(|own| own.len() != found.len()) {
            let size = types.size_of(Some(id)).unwrap_or(0);
            found.push(Part { offset, what: What::Undecided { size, by_value, path: self.path.clone() } });
        }
        found
    }

    /// A flexible array at the end of a structure, or of its last member.
    fn flexible(&mut self, id: TypeId) -> Option<Flexible> {
        let types = self.kinds.types;
        let root = Root::Type(types.canonical(types.peel(Some(id))?));
        let mut offset = 0;
        let mut id = Some(id);
        let mut path = Vec::new();
        for _ in 0..DEPTH_LIMIT {
            let peeled = types.canonical(types.peel(id)?);
            match &types.get(peeled).shape {
                Shape::Struct { members } => {
                    let last = members.len().checked_sub(1)?;
                    path.push(last as u32);
                    offset = members.get(last)?.offset.checked_add(offset)?;
                    id = members.get(last)?.kind;
                }
                Shape::Array { element, counts } if matches!(counts.first(), Some(None | Some(0))) => {
                    let element = self.kinds.of(*element)?;
                    let place = Place { root, path: &path };
                    let counted = self.kinds.interest.has_length(place);
                    let length = counted.then(|| Counted { root, path: path.clone(), start: 0 });
                    return Some(Flexible { offset, element, length });
                }
                _ => return None,
            }
        }
        None
    }
}
