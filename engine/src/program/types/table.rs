//! Questions to a table of types.

use gimli::constants as dw;

use super::{Member, Shape, Type, TypeId, TypeTable};

/// How many aliases or nested arrays deep; more is a loop in mangled debug information.
const DEPTH_LIMIT: usize = 64;

impl TypeTable {
    /// A table of these types.
    pub fn new(types: Vec<Type>) -> Self {
        Self { types, definitions: std::sync::OnceLock::new() }
    }

    /// The type behind typedefs and qualifiers; `None` is void. A loop of aliases ends at one of them.
    pub fn peel(&self, kind: Option<TypeId>) -> Option<TypeId> {
        let mut id = kind?;
        for _ in 0..DEPTH_LIMIT {
            match &self.get(id).shape {
                Shape::Alias { target, .. } => id = (*target)?,
                Shape::Void => return None,
                _ => break,
            }
        }
        Some(id)
    }

    /// Positions in member lists from a structure or union to its member `name`, also of an anonymous member; `None` where there is none.
    pub fn member_path(&self, kind: Option<TypeId>, name: &str) -> Option<Vec<u32>> {
        self.member_path_within(kind, name, &mut Vec::new())
    }

    /// `seen` are the types that have no such member, or are being looked into.
    fn member_path_within(&self, kind: Option<TypeId>, name: &str, seen: &mut Vec<TypeId>) -> Option<Vec<u32>> {
        let id = self.normal(kind).filter(|id| !seen.contains(id))?;
        seen.push(id);
        let members = self.get(id).shape.members()?;
        let places = || (0u32..).zip(members);
        if let Some((position, _)) = places().find(|(_, member)| !name.is_empty() && member.name == name) {
            return Some(vec![position]);
        }
        let mut anonymous = places().filter(|(_, member)| member.name.is_empty());
        anonymous.find_map(|(position, member)| {
            let mut path = self.member_path_within(member.kind, name, seen)?;
            path.insert(0, position);
            Some(path)
        })
    }

    /// The path from a type to the field or element that is `size` bytes at `offset`, and its type; the outermost where several are.
    /// `None` where none is, or unions and bit-fields leave it open.
    pub fn part_at(&self, kind: Option<TypeId>, mut offset: u64, size: u64) -> Option<(String, Option<TypeId>)> {
        let (mut path, mut kind) = (String::new(), kind);
        for _ in 0..DEPTH_LIMIT {
            if !path.is_empty() && offset == 0 && self.size_of(kind) == Some(size) {
                return Some((path, kind));
            }
            match &self.get(self.peel(kind)?).shape {
                Shape::Struct { members } => {
                    let holds = |member: &&Member| {
                        let end = member.offset.saturating_add(self.size_of(member.kind).unwrap_or(0));
                        (member.offset..end).contains(&offset)
                    };
                    let mut holding = members.iter().filter(holds);
                    let member = holding.next().filter(|member| holding.next().is_none() && member.bits.is_none())?;
                    path = format!("{path}.{}", member.name);
                    (offset, kind) = (offset.checked_sub(member.offset)?, member.kind);
                }
                Shape::Array { element, counts } => {
                    let inner = counts.get(1..)?.iter().try_fold(1u64, |all, count| all.checked_mul((*count)?))?;
                    let each = self.size_of(*element)?;
                    let mut row = each.checked_mul(inner)?;
                    for count in std::iter::once(None).chain(counts.get(1..)?.iter().copied()) {
                        if let Some(count) = count {
                            row = row.checked_div(count)?;
                        }
                        path = format!("{path}[{}]", offset.checked_div(row)?);
                        offset = offset.checked_rem(row)?;
                    }
                    kind = *element;
                }
                _ => return None,
            }
        }
        None
    }

    /// Size in bytes, through typedefs and arrays; `None` where it is not known or the type has none.
    pub fn size_of(&self, kind: Option<TypeId>) -> Option<u64> {
        self.size_within(kind, DEPTH_LIMIT)
    }

    fn size_within(&self, kind: Option<TypeId>, depth: usize) -> Option<u64> {
        let entry = self.get(kind?);
        if entry.size.is_some() || depth == 0 {
            return entry.size;
        }
        match &entry.shape {
            Shape::Alias { target, .. } => self.size_within(*target, depth - 1),
            Shape::Array { element, counts } => {
                let element = self.size_within(*element, depth - 1)?;
                counts.iter().try_fold(element, |size, count| size.checked_mul((*count)?))
            }
            _ => None,
        }
    }

    /// Gives aliases and arrays the sizes that DWARF leaves to their targets.
    pub(crate) fn complete_sizes(&mut self) {
        for position in 0..self.types.len() {
            let is_derived = matches!(self.types[position].shape, Shape::Alias { .. } | Shape::Array { .. });
            if is_derived && self.types[position].size.is_none() {
                self.types[position].size = u32::try_from(position).ok().and_then(|id| self.size_of(Some(TypeId(id))));
            }
        }
    }

    /// The type as C writes it, for messages: `struct conn *`, `int [4]`. A type without a name goes by its typedef, else by where it
    /// is declared.
    pub fn describe(&self, kind: Option<TypeId>) -> String {
        self.describe_within(kind, 12)
    }

    fn describe_within(&self, kind: Option<TypeId>, depth: usize) -> String {
        let Some(id) = kind else { return "void".to_owned() };
        if depth == 0 {
            return "…".to_owned();
        }
        let entry = self.get(id);
        let inner = |kind| self.describe_within(kind, depth - 1);
        match &entry.shape {
            Shape::Void => "void".to_owned(),
            Shape::Pointer { target } => match inner(*target) {
                target if target.ends_with('*') => format!("{target}*"),
                target => format!("{target} *"),
            },
            Shape::Alias { tag, target } => match qualifier(*tag) {
                Some(qualifier) => format!("{qualifier} {}", inner(*target)),
                None if entry.name.is_empty() => inner(*target),
                None => entry.name.clone(),
            },
            Shape::Array { element, counts } => {
                let counts: String =
                    counts.iter().map(|count| count.map_or("[]".to_owned(), |count| format!("[{count}]"))).collect();
                format!("{} {counts}", inner(*element))
            }
            Shape::Function { result, parameters, variadic } => {
                let mut parts: Vec<String> = parameters.iter().map(|kind| inner(*kind)).collect();
                if *variadic {
                    parts.push("...".to_owned());
                }
                format!("{} ({})", inner(*result), parts.join(", "))
            }
            shape if entry.name.is_empty() => self.typedef_of(id).map_or_else(|| describe_named(shape, entry), str::to_owned),
            shape => describe_named(shape, entry),
        }
    }
}

/// Classes are structures under another keyword.
pub(super) fn definition_tag(tag: u16) -> u16 {
    if tag == dw::DW_TAG_class_type.0 { dw::DW_TAG_structure_type.0 } else { tag }
}

fn qualifier(tag: u16) -> Option<&'static str> {
    match gimli::DwTag(tag) {
        dw::DW_TAG_const_type => Some("const"),
        dw::DW_TAG_volatile_type => Some("volatile"),
        dw::DW_TAG_restrict_type => Some("restrict"),
        dw::DW_TAG_atomic_type => Some("_Atomic"),
        _ => None,
    }
}

fn describe_named(shape: &Shape, entry: &Type) -> String {
    let word = match shape.tag().map(gimli::DwTag) {
        Some(dw::DW_TAG_structure_type) => "struct ",
        Some(dw::DW_TAG_union_type) => "union ",
        Some(dw::DW_TAG_enumeration_type) => "enum ",
        _ => "",
    };
    match (entry.name.is_empty(), entry.file.is_empty()) {
        (false, _) => format!("{word}{}", entry.name),
        (true, false) => format!("{word}(anonymous at {}:{})", entry.file, entry.line),
        (true, true) => format!("{word}(anonymous)"),
    }
}

impl Shape {
    /// The tag under which structures, unions and enumerations are found by name, declarations included; classes count as structures.
    pub fn tag(&self) -> Option<u16> {
        match self {
            Self::Incomplete { tag } => Some(definition_tag(*tag)),
            other => other.defined_tag(),
        }
    }

    pub(crate) fn defined_tag(&self) -> Option<u16> {
        match self {
            Self::Struct { .. } => Some(dw::DW_TAG_structure_type.0),
            Self::Union { .. } => Some(dw::DW_TAG_union_type.0),
            Self::Enum { .. } => Some(dw::DW_TAG_enumeration_type.0),
            _ => None,
        }
    }

    /// Members of a structure or union.
    pub fn members(&self) -> Option<&[Member]> {
        match self {
            Self::Struct { members } | Self::Union { members } => Some(members),
            _ => None,
        }
    }

    pub(crate) fn members_mut(&mut self) -> Option<&mut Vec<Member>> {
        match self {
            Self::Struct { members } | Self::Union { members } => Some(members),
            _ => None,
        }
    }

    /// Calls `visit` with every type that this one names.
    pub fn for_each_child(&self, mut visit: impl FnMut(TypeId)) {
        match self {
            Self::Pointer { target } | Self::Alias { target, .. } => target.iter().copied().for_each(visit),
            Self::Array { element, .. } => element.iter().copied().for_each(visit),
            Self::Struct { members } | Self::Union { members } => members.iter().filter_map(|member| member.kind).for_each(visit),
            Self::Function { result, parameters, .. } => {
                result.iter().copied().for_each(&mut visit);
                parameters.iter().flatten().copied().for_each(visit);
            }
            Self::Void | Self::Base { .. } | Self::Enum { .. } | Self::Incomplete { .. } | Self::Other { .. } => {}
        }
    }

    /// Calls `change` on every type that this one names.
    pub(crate) fn for_each_reference(&mut self, mut change: impl FnMut(&mut TypeId)) {
        match self {
            Self::Pointer { target } | Self::Alias { target, .. } => target.iter_mut().for_each(change),
            Self::Array { element, .. } => element.iter_mut().for_each(change),
            Self::Struct { members } | Self::Union { members } => {
                members.iter_mut().filter_map(|member| member.kind.as_mut()).for_each(change);
            }
            Self::Function { result, parameters, .. } => {
                result.iter_mut().for_each(&mut change);
                parameters.iter_mut().flatten().for_each(change);
            }
            Self::Void | Self::Base { .. } | Self::Enum { .. } | Self::Incomplete { .. } | Self::Other { .. } => {}
        }
    }
}
