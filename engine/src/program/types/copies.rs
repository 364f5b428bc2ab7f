//! Which definitions are copies of one structure: alike themselves, and in everything that they mention.
//!
//! Definitions that look alike begin in one class. A class is split as long as its members mention definitions of different classes,
//! so that in the end equal definitions, loops included, are together, and no others.

use std::collections::{BTreeMap, HashMap};

use super::TypeId;

/// A definition.
#[derive(Clone, Debug)]
pub(super) struct Node {
    pub(super) id: TypeId,
    /// Number of its tag and name.
    pub(super) group: usize,
    /// The named types that it mentions, in order; `None`: too many, it is like no other.
    pub(super) mentions: Option<Vec<Mention>>,
}

/// A type that a definition mentions.
#[derive(Clone, Copy, Debug)]
pub(super) enum Mention {
    /// This definition, of the same unit.
    Definition(TypeId),
    /// A declaration of this group's tag and name; `None`: nothing defines it.
    Declaration(Option<usize>),
}

/// What a mention leads to; `None`: to one of several.
type Target = Option<usize>;

/// The first of the copies of each definition. `classes` hold definitions of one name that look alike.
pub(super) fn find(mut classes: Vec<Vec<Node>>) -> HashMap<TypeId, TypeId> {
    loop {
        let before = classes.len();
        let known = Known::new(&classes);
        classes = classes.into_iter().flat_map(|class| split(class, &known)).collect();
        if classes.len() == before {
            break;
        }
    }
    let copies = classes.iter().filter_map(|class| Some((class.iter().map(|node| node.id).min()?, class)));
    copies.flat_map(|(first, class)| class.iter().map(move |node| (node.id, first))).collect()
}

/// The classes so far.
struct Known {
    class: HashMap<TypeId, usize>,
    /// The class of a group that has one; `None`: it has several.
    only: HashMap<usize, Option<usize>>,
}

impl Known {
    fn new(classes: &[Vec<Node>]) -> Self {
        let mut known = Self { class: HashMap::new(), only: HashMap::new() };
        for (number, node) in classes.iter().enumerate().flat_map(|(number, class)| class.iter().map(move |node| (number, node)))
        {
            known.class.insert(node.id, number);
            known.only.entry(node.group).and_modify(|only| *only = only.filter(|one| *one == number)).or_insert(Some(number));
        }
        known
    }

    fn target(&self, mention: Mention) -> Target {
        match mention {
            Mention::Definition(id) => self.class.get(&id).copied(),
            // What nothing defines is the same nothing everywhere.
            Mention::Declaration(None) => Some(usize::MAX),
            Mention::Declaration(Some(group)) => self.only.get(&group).copied().flatten(),
        }
    }
}

/// The parts of a class whose members mention the same. A declaration of a name that stands for several structures means what the
/// other copies mean, if they agree.
fn split(class: Vec<Node>, known: &Known) -> Vec<Vec<Node>> {
    let targets = |node: &Node| -> Option<Vec<Target>> {
        Some(node.mentions.as_ref()?.iter().map(|mention| known.target(*mention)).collect())
    };
    let all: Vec<Option<Vec<Target>>> = class.iter().map(targets).collect();
    let [_, _, ..] = all.as_slice() else { return vec![class] };
    let width = all.iter().flatten().map(Vec::len).max().unwrap_or(0);
    let disputed: Vec<usize> = (0..width).filter(|slot| is_disputed(&all, *slot)).collect();
    let mut parts: BTreeMap<Vec<Target>, Vec<Node>> = BTreeMap::new();
    let mut alone = Vec::new();
    for (node, targets) in class.into_iter().zip(all) {
        match targets {
            Some(targets) => {
                let key = disputed.iter().map(|slot| targets.get(*slot).copied().flatten()).collect();
                parts.entry(key).or_default().push(node);
            }
            None => alone.push(vec![node]),
        }
    }
    parts.into_values().chain(alone).collect()
}

/// Whether members mention different things at a place.
fn is_disputed(all: &[Option<Vec<Target>>], slot: usize) -> bool {
    let mut found = all.iter().flatten().filter_map(|targets| targets.get(slot).copied().flatten());
    found.next().is_some_and(|first| found.any(|other| other != first))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(id: u32, group: usize, mentions: &[Mention]) -> Node {
        Node { id: TypeId(id), group, mentions: Some(mentions.to_vec()) }
    }

    fn defined(id: u32) -> Mention {
        Mention::Definition(TypeId(id))
    }

    fn firsts(classes: Vec<Vec<Node>>) -> Vec<u32> {
        let found: BTreeMap<TypeId, TypeId> = find(classes).into_iter().collect();
        found.into_values().map(|first| first.0).collect()
    }

    #[test]
    fn a_name_of_two_structures_leaves_those_alone_that_mention_one_of_them() {
        // 0 and 1 are one `dict`, 2 another; the clients 3 and 4 mention the first.
        let dicts = [vec![node(0, 0, &[]), node(1, 0, &[])], vec![node(2, 0, &[])]];
        let clients = vec![node(3, 1, &[defined(0)]), node(4, 1, &[defined(1)])];
        assert_eq!(firsts([&dicts[..], &[clients]].concat()), [0, 0, 2, 3, 3]);
    }

    #[test]
    fn those_that_mention_different_structures_are_told_apart_and_so_are_those_that_mention_them() {
        let dicts = [vec![node(0, 0, &[])], vec![node(1, 0, &[])]];
        let contexts = vec![node(2, 1, &[defined(0)]), node(3, 1, &[defined(1)])];
        let holders = vec![node(4, 2, &[defined(2)]), node(5, 2, &[defined(3)]), node(6, 2, &[defined(2)])];
        assert_eq!(firsts([&dicts[..], &[contexts, holders]].concat()), [0, 1, 2, 3, 4, 5, 4]);
    }

    #[test]
    fn loops_are_equal() {
        let lists = vec![node(0, 0, &[defined(2)]), node(1, 0, &[defined(3)])];
        let entries = vec![node(2, 1, &[defined(0), defined(2)]), node(3, 1, &[defined(1), defined(3)])];
        assert_eq!(firsts(vec![lists, entries]), [0, 0, 2, 2]);
    }

    #[test]
    fn a_declaration_means_what_the_other_copies_mean_if_they_agree() {
        let dicts = [vec![node(0, 0, &[])], vec![node(1, 0, &[])]];
        let declared = Mention::Declaration(Some(0));
        let agreeing = vec![node(2, 1, &[defined(0)]), node(3, 1, &[declared])];
        assert_eq!(firsts([&dicts[..], &[agreeing]].concat()), [0, 1, 2, 2]);
        let different = vec![node(2, 1, &[defined(0)]), node(3, 1, &[declared]), node(4, 1, &[defined(1)])];
        assert_eq!(firsts([&dicts[..], &[different]].concat()), [0, 1, 2, 3, 4]);
    }

    #[test]
    fn what_mentions_too_much_is_like_no_other() {
        let endless = |id| Node { id: TypeId(id), group: 0, mentions: None };
        assert_eq!(firsts(vec![vec![endless(0), endless(1)]]), [0, 1]);
    }
}
