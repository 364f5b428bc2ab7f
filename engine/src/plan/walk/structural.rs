//! Interest by the structure of types alone: what differs between two builds, and what reaches that.

use std::collections::HashMap;

use super::interest::Interest;
use crate::program::compare_types::changed_named_types;
use crate::program::types::{Shape, TypeId, TypeTable};

/// Types of a build that change or lead to one that does.
#[derive(Clone, Debug)]
pub struct Structural {
    changed: Vec<bool>,
    leads: Vec<bool>,
}

impl Structural {
    /// The named types of `old` that `new` lays out otherwise, and what leads to them. A type that `new` lacks is not among them.
    pub fn between(old: &TypeTable, new: &TypeTable) -> Self {
        let changes = changed_named_types(old, new);
        Self::new(old, changes.iter().map(|change| change.old))
    }

    /// These types, with all that are laid out alike under the same name, and what leads to them.
    pub fn new(types: &TypeTable, changed: impl IntoIterator<Item = TypeId>) -> Self {
        let count = types.types.len();
        let mut own = vec![false; count];
        let mut pending = Vec::new();
        let mark = |id: TypeId, own: &mut Vec<bool>, pending: &mut Vec<TypeId>| {
            if let Some(known) = own.get_mut(id.0 as usize)
                && !std::mem::replace(known, true)
            {
                pending.push(id);
            }
        };
        for id in changed {
            mark(types.canonical(id), &mut own, &mut pending);
        }
        let users = Users::new(types);
        // What holds a changed object changes with it.
        while let Some(id) = pending.pop() {
            for user in users.holding(id) {
                mark(types.canonical(*user), &mut own, &mut pending);
            }
        }
        let mut leads = own.clone();
        let mut pending: Vec<TypeId> = (0u32..).zip(&own).filter(|(_, own)| **own).map(|(id, _)| TypeId(id)).collect();
        while let Some(id) = pending.pop() {
            for user in users.holding(id).iter().chain(users.pointing(id)) {
                mark(types.canonical(*user), &mut leads, &mut pending);
            }
        }
        Self { changed: own, leads }
    }
}

impl Interest for Structural {
    fn changed(&self, kind: TypeId) -> bool {
        self.changed.get(kind.0 as usize).copied().unwrap_or(false)
    }

    fn leads(&self, kind: TypeId) -> bool {
        self.leads.get(kind.0 as usize).copied().unwrap_or(false)
    }
}

/// For each canonical type the types that name it.
struct Users {
    holding: HashMap<TypeId, Vec<TypeId>>,
    pointing: HashMap<TypeId, Vec<TypeId>>,
}

impl Users {
    fn new(types: &TypeTable) -> Self {
        let mut users = Self { holding: HashMap::new(), pointing: HashMap::new() };
        for (position, entry) in (0u32..).zip(&types.types) {
            let map = match entry.shape {
                Shape::Pointer { .. } => &mut users.pointing,
                // What a function takes or gives is not in its code's memory.
                Shape::Function { .. } => continue,
                _ => &mut users.holding,
            };
            entry.shape.for_each_child(|child| map.entry(types.canonical(child)).or_default().push(TypeId(position)));
        }
        users
    }

    fn holding(&self, id: TypeId) -> &[TypeId] {
        self.holding.get(&id).map_or(&[], Vec::as_slice)
    }

    fn pointing(&self, id: TypeId) -> &[TypeId] {
        self.pointing.get(&id).map_or(&[], Vec::as_slice)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::program::testing::Compiled;

    #[test]
    fn holders_change_and_pointers_lead() {
        let program = Compiled::new(
            "program",
            "struct leaf { int a; }; struct holder { struct leaf l[3]; }; struct pointer { const struct leaf *l; struct pointer *next; };
             struct far { struct pointer **p; }; struct apart { struct apart *next; int (*f)(struct leaf *); };
             struct holder h; struct pointer p; struct far f; struct apart a; int main(void) { return 0; }",
            &["-g"],
        );
        let build = program.build();
        let types = &build.debug.types;
        let id = |name: &str| types.definitions(gimli::DW_TAG_structure_type.0, name)[0];
        let interest = Structural::new(types, [id("leaf")]);
        let seen =
            ["leaf", "holder", "pointer", "far", "apart"].map(|name| (interest.changed(id(name)), interest.leads(id(name))));
        assert_eq!(seen, [(true, true), (true, true), (false, true), (false, true), (false, false)]);
    }
}
