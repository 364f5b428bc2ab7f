//! Structures, unions and enumerations by name, and which definitions are copies of one another.

use std::borrow::Cow;
use std::cell::Cell;
use std::collections::HashMap;

use super::copies::{self, Mention, Node};
use super::{Member, Shape, Type, TypeId, TypeTable};

/// How deep aliases, arrays, pointers and anonymous members may nest within one definition; more is a loop in mangled debug information.
const DEPTH_LIMIT: usize = 64;
/// How many types are looked at for one definition; more is the same, in breadth.
const BREADTH_LIMIT: u32 = 1 << 16;

/// What is left of the limits while a definition is looked into.
#[derive(Clone, Copy)]
struct Limits<'c> {
    depth: usize,
    breadth: &'c Cell<u32>,
}

impl Limits<'_> {
    /// The limits one level further down; `None` where they are reached.
    fn down(self) -> Option<Self> {
        self.breadth.set(self.breadth.get().checked_sub(1)?);
        Some(Self { depth: self.depth.checked_sub(1)?, ..self })
    }
}

/// All definitions of a build by name.
#[derive(Debug, Default)]
pub(super) struct Definitions {
    by_name: HashMap<String, Vec<Group>>,
    /// The first of the copies of each definition.
    first: HashMap<TypeId, TypeId>,
    /// What typedefs call definitions without a name.
    typedefs: HashMap<TypeId, String>,
}

/// The definitions of one tag and name.
#[derive(Debug)]
struct Group {
    tag: u16,
    /// Ascending.
    ids: Vec<TypeId>,
    /// The first of them, if all are copies of one structure, with everything that they reach.
    only: Option<TypeId>,
}

impl TypeTable {
    /// The definitions of structures, unions and enumerations called `name`, by tag (a class counts as a structure), ascending.
    pub fn definitions(&self, tag: u16, name: &str) -> &[TypeId] {
        self.group(tag, name).map_or(&[], |group| &group.ids)
    }

    /// The definition that an incomplete type means: one of the same tag and name, if all such definitions of the build are one
    /// structure, with everything that they reach. Anything else is given back as it is.
    pub fn resolve(&self, id: TypeId) -> TypeId {
        match self.get(id).shape {
            Shape::Incomplete { .. } => self.canonical(id),
            _ => id,
        }
    }

    /// One representative for all copies of a definition (each unit that includes a header has one) and for its declarations: of the
    /// same name, or, without a name, declared at the same line. A name may stand for several structures, which have copies each; a
    /// declaration of such a name, and other types, stand for themselves.
    pub fn canonical(&self, id: TypeId) -> TypeId {
        let entry = self.get(id);
        let definitions = self.definitions.get_or_init(|| self.index_definitions());
        if let Some(first) = definitions.first.get(&id) {
            return *first;
        }
        let (Some(tag), Some(name)) = (entry.shape.tag(), group_name(entry)) else { return id };
        self.group(tag, &name).and_then(|group| group.only).unwrap_or(id)
    }

    /// What a typedef calls a definition without a name.
    pub fn typedef_of(&self, id: TypeId) -> Option<&str> {
        self.definitions.get_or_init(|| self.index_definitions()).typedefs.get(&id).map(String::as_str)
    }

    /// The type behind typedefs, qualifiers and a declaration that has one definition; one of its copies for all; `None` is void.
    pub fn normal(&self, kind: Option<TypeId>) -> Option<TypeId> {
        self.peel(kind).map(|id| self.canonical(id))
    }

    fn group(&self, tag: u16, name: &str) -> Option<&Group> {
        let definitions = self.definitions.get_or_init(|| self.index_definitions());
        let tag = super::table::definition_tag(tag);
        definitions.by_name.get(name)?.iter().find(|group| group.tag == tag)
    }

    fn index_definitions(&self) -> Definitions {
        let mut by_name: HashMap<String, Vec<Group>> = HashMap::new();
        for (position, entry) in self.types.iter().enumerate() {
            let (Some(tag), Ok(id)) = (entry.shape.defined_tag(), u32::try_from(position)) else { continue };
            let Some(name) = group_name(entry) else { continue };
            let groups = by_name.entry(name.into_owned()).or_default();
            match groups.iter_mut().find(|group| group.tag == tag) {
                Some(group) => group.ids.push(TypeId(id)),
                None => groups.push(Group { tag, ids: vec![TypeId(id)], only: None }),
            }
        }
        let numbers: HashMap<(u16, &str), usize> =
            by_name.iter().flat_map(|(name, groups)| groups.iter().map(|group| (group.tag, name.as_str()))).zip(0..).collect();
        let mut classes = Vec::new();
        for (name, groups) in &by_name {
            for group in groups {
                let number = numbers.get(&(group.tag, name.as_str())).copied().unwrap_or(usize::MAX);
                classes.extend(self.outlines(&group.ids).into_iter().map(|ids| self.nodes(&ids, number, &numbers)));
            }
        }
        let first = copies::find(classes);
        for group in by_name.values_mut().flatten() {
            let mut firsts = group.ids.iter().map(|id| first.get(id).copied().unwrap_or(*id));
            group.only = firsts.next().filter(|one| firsts.all(|other| other == *one));
        }
        Definitions { by_name, first, typedefs: self.typedefs() }
    }

    fn typedefs(&self) -> HashMap<TypeId, String> {
        let mut found = HashMap::new();
        for entry in self.types.iter().filter(|entry| !entry.name.is_empty()) {
            let Shape::Alias { target: Some(target), .. } = entry.shape else { continue };
            let named = self.get(target);
            if named.name.is_empty() && named.shape.defined_tag().is_some() {
                found.entry(target).or_insert_with(|| entry.name.clone());
            }
        }
        found
    }

    /// Definitions of one name by how they look, in their order.
    fn outlines(&self, ids: &[TypeId]) -> Vec<Vec<TypeId>> {
        let mut found: Vec<Vec<TypeId>> = Vec::new();
        for id in ids {
            let like = found.iter_mut().find(|class| {
                let breadth = Cell::new(BREADTH_LIMIT);
                self.same_outline(class.first().copied(), Some(*id), Limits { depth: DEPTH_LIMIT, breadth: &breadth }, true)
            });
            match like {
                Some(class) => class.push(*id),
                None => found.push(vec![*id]),
            }
        }
        found
    }

    /// Definitions with what they mention. `groups` are the numbers of all groups by tag and name.
    fn nodes(&self, ids: &[TypeId], group: usize, groups: &HashMap<(u16, &str), usize>) -> Vec<Node> {
        let node = |id: &TypeId| {
            let breadth = Cell::new(BREADTH_LIMIT);
            let mut mentioned = Vec::new();
            self.mentions(&self.get(*id).shape, Limits { depth: DEPTH_LIMIT, breadth: &breadth }, &mut mentioned);
            let mentions = mentioned.into_iter().map(|other| self.mention(other, groups)).collect();
            Node { id: *id, group, mentions: (breadth.get() != 0).then_some(mentions) }
        };
        ids.iter().map(node).collect()
    }

    fn mention(&self, id: TypeId, groups: &HashMap<(u16, &str), usize>) -> Mention {
        let entry = self.get(id);
        match entry.shape {
            Shape::Incomplete { .. } => {
                Mention::Declaration(entry.shape.tag().and_then(|tag| groups.get(&(tag, entry.name.as_str()))).copied())
            }
            _ => Mention::Definition(id),
        }
    }

    /// The named structures, unions and enumerations that a type mentions, not looking into them.
    fn mentions(&self, shape: &Shape, limits: Limits<'_>, found: &mut Vec<TypeId>) {
        let Some(limits) = limits.down() else { return };
        shape.for_each_child(|id| {
            let entry = self.get(id);
            match entry.shape.tag() {
                Some(_) if !entry.name.is_empty() => found.push(id),
                _ => self.mentions(&entry.shape, limits, found),
            }
        });
    }

    /// Whether two types of this build look the same; named structures, unions and enumerations within them only by name.
    fn same_outline(&self, a: Option<TypeId>, b: Option<TypeId>, limits: Limits<'_>, top: bool) -> bool {
        let (a, b) = (self.peel(a), self.peel(b));
        let (Some(a), Some(b)) = (a, b) else { return a == b };
        if a == b {
            return true;
        }
        let (left, right) = (self.get(a), self.get(b));
        if !top && !left.name.is_empty() && left.shape.tag().is_some() {
            return left.shape.tag() == right.shape.tag() && left.name == right.name;
        }
        let Some(limits) = limits.down().filter(|_| left.size == right.size) else { return false };
        let same = |a, b| self.same_outline(a, b, limits, false);
        match (&left.shape, &right.shape) {
            (Shape::Base { encoding: a }, Shape::Base { encoding: b }) => a == b,
            (Shape::Pointer { target: a }, Shape::Pointer { target: b }) => same(*a, *b),
            (Shape::Array { element: a, counts: m }, Shape::Array { element: b, counts: n }) => m == n && same(*a, *b),
            (Shape::Struct { members: m }, Shape::Struct { members: n })
            | (Shape::Union { members: m }, Shape::Union { members: n }) => {
                let same = |(a, b): (&Member, &Member)| {
                    (&a.name, a.offset, a.bits) == (&b.name, b.offset, b.bits) && same(a.kind, b.kind)
                };
                m.len() == n.len() && m.iter().zip(n).all(same)
            }
            (Shape::Enum { enumerators: a }, Shape::Enum { enumerators: b }) => a == b,
            (
                Shape::Function { result: a, parameters: p, variadic: v },
                Shape::Function { result: b, parameters: q, variadic: w },
            ) => v == w && same(*a, *b) && p.len() == q.len() && p.iter().zip(q).all(|(a, b)| same(*a, *b)),
            _ => false,
        }
    }
}

/// The name that copies of a definition share: its own, or where it is declared (which no name in C looks like).
fn group_name(entry: &Type) -> Option<Cow<'_, str>> {
    match (entry.name.is_empty(), entry.file.is_empty()) {
        (false, _) => Some(Cow::Borrowed(&entry.name)),
        (true, false) => Some(Cow::Owned(format!("{}:{}", entry.file, entry.line))),
        (true, true) => None,
    }
}
