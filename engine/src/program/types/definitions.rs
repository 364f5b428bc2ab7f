//! Structures, unions and enumerations by name, and which names mean one structure in the whole build.

use std::borrow::Cow;
use std::collections::HashMap;

use super::{Member, Shape, Type, TypeId, TypeTable};

/// How deep aliases, arrays, pointers and anonymous members may nest within one definition; more is a loop in mangled debug information.
const DEPTH_LIMIT: usize = 64;

/// All definitions of a build by name.
#[derive(Debug, Default)]
pub(super) struct Definitions {
    by_name: HashMap<String, Vec<Group>>,
}

/// Tag and name of a group.
type Named<'t> = (u16, Cow<'t, str>);

/// The definitions of one tag and name.
#[derive(Debug)]
struct Group {
    tag: u16,
    /// Ascending.
    ids: Vec<TypeId>,
    /// Whether all of them are one structure, with everything that they reach.
    unique: bool,
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
    /// same name, or, without a name, declared at the same line. A name that stands for different structures has none: then, and for
    /// other types, the type itself.
    pub fn canonical(&self, id: TypeId) -> TypeId {
        let entry = self.get(id);
        let (Some(tag), Some(name)) = (entry.shape.tag(), group_name(entry)) else { return id };
        match self.group(tag, &name) {
            Some(Group { ids, unique: true, .. }) => ids.first().copied().unwrap_or(id),
            _ => id,
        }
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
                None => groups.push(Group { tag, ids: vec![TypeId(id)], unique: true }),
            }
        }
        for group in by_name.values_mut().flatten() {
            group.unique = self.is_one_outline(&group.ids);
        }
        self.spread_doubt(&mut by_name);
        Definitions { by_name }
    }

    fn is_one_outline(&self, ids: &[TypeId]) -> bool {
        let [first, others @ ..] = ids else { return true };
        others.iter().all(|other| self.same_outline(Some(*first), Some(*other), DEPTH_LIMIT, true))
    }

    /// A definition that names a doubtful one is doubtful itself. With no doubtful name in reach, equal outlines are equal structures:
    /// the relation "same name" then leads from equal outlines to equal outlines only.
    fn spread_doubt(&self, by_name: &mut HashMap<String, Vec<Group>>) {
        let mut named_by: HashMap<(u16, &str), Vec<Named<'_>>> = HashMap::new();
        let mut doubtful: Vec<(u16, String)> = Vec::new();
        for (name, group) in by_name.iter().flat_map(|(name, groups)| groups.iter().map(move |group| (name, group))) {
            if !group.unique {
                doubtful.push((group.tag, name.clone()));
            }
            // Equal outlines name the same types: the first speaks for all.
            let Some(first) = group.ids.first() else { continue };
            let entry = self.get(*first);
            let mut mentioned = Vec::new();
            self.mentions(&entry.shape, DEPTH_LIMIT, &mut mentioned);
            for key in mentioned {
                named_by.entry(key).or_default().extend(group_name(entry).map(|name| (group.tag, name)));
            }
        }
        // Nothing mentions a group without a name: its types are looked into where they stand.
        while let Some((tag, name)) = doubtful.pop() {
            for (tag, name) in named_by.get(&(tag, name.as_str())).into_iter().flatten() {
                let (tag, name) = (*tag, name.as_ref());
                let group = by_name.get_mut(name).and_then(|groups| groups.iter_mut().find(|group| group.tag == tag));
                if let Some(group) = group.filter(|group| group.unique) {
                    group.unique = false;
                    doubtful.push((tag, name.to_owned()));
                }
            }
        }
    }

    /// The named structures, unions and enumerations that a type mentions, not looking into them.
    fn mentions<'t>(&'t self, shape: &'t Shape, depth: usize, found: &mut Vec<(u16, &'t str)>) {
        if depth == 0 {
            return;
        }
        shape.for_each_child(|id| {
            let entry = self.get(id);
            match entry.shape.tag() {
                Some(tag) if !entry.name.is_empty() => found.push((tag, &entry.name)),
                _ => self.mentions(&entry.shape, depth - 1, found),
            }
        });
    }

    /// Whether two types of this build look the same; named structures, unions and enumerations within them only by name.
    fn same_outline(&self, a: Option<TypeId>, b: Option<TypeId>, depth: usize, top: bool) -> bool {
        let (a, b) = (self.peel(a), self.peel(b));
        let (Some(a), Some(b)) = (a, b) else { return a == b };
        if a == b {
            return true;
        }
        let (left, right) = (self.get(a), self.get(b));
        if !top && !left.name.is_empty() && left.shape.tag().is_some() {
            return left.shape.tag() == right.shape.tag() && left.name == right.name;
        }
        if depth == 0 || left.size != right.size {
            return false;
        }
        let same = |a, b| self.same_outline(a, b, depth - 1, false);
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
