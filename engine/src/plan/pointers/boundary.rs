//! Addresses that end one object and start another (PROOF 1.2).

use super::{Decision, Pointers, Site};
use crate::plan::address::OldLink;
use crate::plan::blocker::PointerReason;
use crate::plan::compare::rows::trailing_element;
use crate::program::types::{Shape, TypeId, TypeTable};

/// How deep types are followed.
const DEEPEST: u32 = 16;

impl Pointers<'_> {
    /// `link` starts the variable `after` and ends the variable `before`.
    ///
    /// Harmless when both readings agree; else the type of the word decides, or for words of running code what unchanged code
    /// names there.
    pub(super) fn boundary(&self, before: usize, after: usize, link: OldLink, site: Site) -> Decision {
        let objects = self.view.sides.old.objects.list();
        let types = &self.view.old.debug.types;
        let start = self.variable(after, 0, site);
        if !self.may_have_end(&objects[before]) {
            return start;
        }
        let end = self.end_of(before, site);
        if start == end {
            return start;
        }
        let decided = match site {
            Site::Typed(pointer) => pointee(types, pointer)
                .and_then(|target| decide_by_type(types, target, objects[before].kind, objects[after].kind)),
            Site::PointsTo(target) => decide_by_type(types, target, objects[before].kind, objects[after].kind),
            Site::Register | Site::Stack { .. } => {
                // Labels of the linker's (`__TMC_END__`) are neither.
                let named =
                    |reading: &Decision| self.view.references(link).iter().any(|named| Decision::Move(*named) == *reading);
                match (named(&start), named(&end)) {
                    (true, false) => Some(Reading::Start),
                    (false, true) => Some(Reading::End),
                    _ => None,
                }
            }
            Site::Memory | Site::ReturnAddress | Site::Loader => None,
        };
        match decided {
            Some(Reading::Start) => start,
            Some(Reading::End) => end,
            None => Decision::Blocked(PointerReason::Boundary {
                before: self.variable_name(before),
                after: self.variable_name(after),
            }),
        }
    }
}

/// What a boundary pointer means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reading {
    Start,
    End,
}

/// What a pointer type points to, behind typedefs.
pub fn pointee(types: &TypeTable, pointer: TypeId) -> Option<TypeId> {
    match &types.get(types.peel(Some(pointer))?).shape {
        Shape::Pointer { target } => types.peel(*target),
        _ => None,
    }
}

/// The reading that a pointer to `target` can have, if it is only one.
fn decide_by_type(types: &TypeTable, target: TypeId, before: Option<TypeId>, after: Option<TypeId>) -> Option<Reading> {
    let target = types.peel(Some(target))?;
    if is_untyped(types, target) {
        return None;
    }
    let ends = element_chain(types, before).is_none_or(|chain| chain.iter().any(|kind| alike(types, *kind, target)));
    let starts = first_chain(types, after).is_none_or(|chain| chain.iter().any(|kind| alike(types, *kind, target)));
    match (starts, ends) {
        (true, false) => Some(Reading::Start),
        (false, true) => Some(Reading::End),
        _ => None,
    }
}

/// Whether two types of one build are one by name, or alike without one. Errs towards yes: a yes on both sides decides nothing.
fn alike(types: &TypeTable, a: TypeId, b: TypeId) -> bool {
    let (left, right) = (types.get(a), types.get(b));
    match (&left.shape, &right.shape) {
        _ if a == b => true,
        (Shape::Base { encoding: a }, Shape::Base { encoding: b }) => a == b && left.size == right.size,
        (Shape::Pointer { .. }, Shape::Pointer { .. }) => true,
        (l, r) => l.tag() == r.tag() && left.size == right.size && left.name == right.name,
    }
}

/// `void`, characters: pointers to them point to anything.
fn is_untyped(types: &TypeTable, kind: TypeId) -> bool {
    let entry = types.get(kind);
    match &entry.shape {
        Shape::Void | Shape::Incomplete { .. } | Shape::Other { .. } => true,
        Shape::Base { .. } => entry.size == Some(1),
        _ => false,
    }
}

/// Types of what stands at the very start of a type: itself, its first member, its first element; `None` when not known.
fn first_chain(types: &TypeTable, kind: Option<TypeId>) -> Option<Vec<TypeId>> {
    let mut chain = Vec::new();
    let mut next = types.peel(Some(kind?))?;
    for _ in 0..DEEPEST {
        chain.push(next);
        let inner = match &types.get(next).shape {
            Shape::Struct { members } => members.first().and_then(|member| member.kind),
            Shape::Array { element, .. } => *element,
            Shape::Union { .. } | Shape::Incomplete { .. } | Shape::Void | Shape::Other { .. } => return None,
            _ => return Some(chain),
        };
        next = types.peel(Some(inner?))?;
    }
    None
}

/// Types of the elements that can end where the type ends; `None` when not known.
fn element_chain(types: &TypeTable, kind: Option<TypeId>) -> Option<Vec<TypeId>> {
    let mut chain = Vec::new();
    let mut next = kind;
    for _ in 0..DEEPEST {
        match trailing_element(types, next, DEEPEST)? {
            None => return Some(chain),
            Some(element) => {
                chain.push(types.peel(Some(element))?);
                next = Some(element);
            }
        }
    }
    None
}
