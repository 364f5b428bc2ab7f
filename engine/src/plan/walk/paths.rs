//! Places in objects, in words.

use crate::program::types::{Shape, TypeId, TypeTable};

/// How deep members may nest.
const DEPTH_LIMIT: usize = 32;

/// The member at an offset of a type: `.items[].next`; empty for the whole.
pub(super) fn at(types: &TypeTable, id: Option<TypeId>, mut offset: u64) -> String {
    let mut words = String::new();
    let mut id = id;
    for _ in 0..DEPTH_LIMIT {
        let Some(peeled) = types.peel(id).map(|id| types.canonical(id)) else { break };
        match &types.get(peeled).shape {
            Shape::Struct { members } | Shape::Union { members } => {
                let holds = |size: Option<u64>, from: u64| from <= offset && size.is_none_or(|size| offset - from < size);
                let Some(member) = members.iter().find(|member| holds(types.size_of(member.kind), member.offset)) else { break };
                if !member.name.is_empty() {
                    words.push('.');
                    words.push_str(&member.name);
                }
                offset -= member.offset;
                id = member.kind;
            }
            Shape::Array { element, .. } => {
                words.push_str("[]");
                offset %= types.size_of(*element).unwrap_or(1).max(1);
                id = *element;
            }
            _ => break,
        }
    }
    words
}

/// The member at a path of positions: `struct conn.state`.
pub(super) fn member(types: &TypeTable, id: TypeId, path: &[u32]) -> String {
    let mut words = types.describe(Some(id));
    let mut id = Some(id);
    for position in path {
        let mut peeled = types.peel(id);
        while let Some(Shape::Array { element, .. }) = peeled.map(|id| &types.get(id).shape) {
            peeled = types.peel(*element);
        }
        let members = peeled.and_then(|id| types.get(types.canonical(id)).shape.members());
        let Some(member) = members.and_then(|members| members.get(*position as usize)) else { break };
        if !member.name.is_empty() {
            words.push('.');
            words.push_str(&member.name);
        }
        id = member.kind;
    }
    words
}
