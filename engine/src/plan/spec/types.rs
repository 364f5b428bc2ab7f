//! Types and members that a spec names.

use std::collections::BTreeSet;

use dsu_formats::spec::expression::Side;
use dsu_formats::spec::names::{Keyword, TypeName};
use dsu_formats::spec::{At, Problem, Source, Span};
use gimli::constants as dw;

use crate::program::types::{Shape, TypeId, TypeTable};

/// The types of one build, and the file that messages are about.
#[derive(Clone, Copy)]
pub struct Types<'a> {
    /// The spec file.
    pub source: &'a Source,
    /// Which build.
    pub side: Side,
    /// Its types.
    pub table: &'a TypeTable,
}

impl<'a> Types<'a> {
    /// All structures, unions or enumerations that `name` means, canonical, ascending; more than one where files define different ones
    /// under one name.
    ///
    /// # Errors
    /// A name that no type has.
    pub fn find(&self, name: &At<TypeName>) -> Result<Vec<TypeId>, Problem> {
        let found = self.named(&name.value);
        if found.is_empty() { Err(self.unknown(name)) } else { Ok(found.into_iter().collect()) }
    }

    /// As [`Self::find`]; `None` where no type has the name.
    pub fn get(&self, name: &TypeName) -> Option<Vec<TypeId>> {
        let found = self.named(name);
        (!found.is_empty()).then(|| found.into_iter().collect())
    }

    fn named(&self, name: &TypeName) -> BTreeSet<TypeId> {
        let tag = match name.keyword {
            Some(Keyword::Struct) => dw::DW_TAG_structure_type.0,
            Some(Keyword::Union) => dw::DW_TAG_union_type.0,
            Some(Keyword::Enum) => dw::DW_TAG_enumeration_type.0,
            None => return self.aliased(&name.name),
        };
        self.table.definitions(tag, &name.name).iter().map(|id| self.table.canonical(*id)).collect()
    }

    /// What typedefs of this name stand for; base types too.
    fn aliased(&self, name: &str) -> BTreeSet<TypeId> {
        let ids = (0u32..).map(TypeId).zip(&self.table.types).filter(|(_, entry)| entry.name == name);
        let ids = ids.filter(|(_, entry)| matches!(&entry.shape, Shape::Alias { .. } | Shape::Base { .. }));
        ids.filter_map(|(id, _)| self.table.peel(Some(id))).map(|id| self.table.canonical(self.table.resolve(id))).collect()
    }

    fn unknown(&self, name: &At<TypeName>) -> Problem {
        let known: BTreeSet<String> = self.table.types.iter().filter_map(written).collect();
        let what = format!("type of the {} program", self.side);
        self.source.unknown(name.span, &what, &name.value.to_string(), known.iter().map(String::as_str))
    }

    /// The members of a structure or union by name, those of anonymous members included.
    pub fn member_names(&self, kind: TypeId) -> Vec<String> {
        let mut names = Vec::new();
        self.collect_members(Some(kind), 8, &mut names);
        names
    }

    fn collect_members(&self, kind: Option<TypeId>, depth: usize, names: &mut Vec<String>) {
        let Some(members) = self.table.peel(kind).and_then(|kind| self.table.get(kind).shape.members()) else { return };
        for member in members {
            match (member.name.is_empty(), depth) {
                (false, _) => names.push(member.name.clone()),
                (true, 0) => {}
                (true, _) => self.collect_members(member.kind, depth - 1, names),
            }
        }
    }

    /// The path of positions to a member (see [`crate::plan::data::rules::Place`]) from `root`, by names; arrays on the way are passed
    /// through. With it the type at its end.
    ///
    /// # Errors
    /// A name that is no member of what is there.
    pub fn path(&self, root: Option<TypeId>, names: &[String], span: Span) -> Result<(Vec<u32>, Option<TypeId>), Problem> {
        let (mut path, mut kind) = (Vec::new(), root);
        for name in names {
            let inner = self.through_arrays(kind);
            let Some(steps) = self.table.member_path(inner, name) else { return Err(self.no_member(kind, name, span)) };
            for step in &steps {
                kind = self.member_kind(self.through_arrays(kind), *step);
            }
            path.extend(steps);
        }
        Ok((path, kind))
    }

    /// The problem that `kind` has no member `name`.
    pub fn no_member(&self, kind: Option<TypeId>, name: &str, span: Span) -> Problem {
        let known = kind.map(|kind| self.member_names(kind)).unwrap_or_default();
        let what = format!("member of `{}` of the {} program", self.table.describe(kind), self.side);
        self.source.unknown(span, &what, name, known.iter().map(String::as_str))
    }

    /// The type of a member.
    pub fn member_kind(&self, kind: Option<TypeId>, position: u32) -> Option<TypeId> {
        let kind = self.table.peel(kind)?;
        self.table.get(kind).shape.members()?.get(position as usize)?.kind
    }

    /// The element of an array, however deep; other types as they are. Typedefs are looked through.
    pub fn through_arrays(&self, kind: Option<TypeId>) -> Option<TypeId> {
        let mut kind = self.table.peel(kind)?;
        for _ in 0..16 {
            match &self.table.get(kind).shape {
                Shape::Array { element, .. } => kind = self.table.peel(*element)?,
                Shape::Incomplete { .. } => return Some(self.table.resolve(kind)),
                _ => break,
            }
        }
        Some(kind)
    }
}

/// A type as a spec names it; `None` for those that it cannot name.
fn written(entry: &crate::program::types::Type) -> Option<String> {
    let keyword = match &entry.shape {
        _ if entry.name.is_empty() => return None,
        Shape::Struct { .. } => "struct ",
        Shape::Union { .. } => "union ",
        Shape::Enum { .. } => "enum ",
        Shape::Alias { .. } => "",
        _ => return None,
    };
    Some(format!("{keyword}{}", entry.name))
}
