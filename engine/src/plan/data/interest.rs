//! What the walk over a process is told: which types change, and the user's answers on what types do not say.

use std::collections::HashSet;

use dsu_formats::address::RunAddress;
use gimli::constants::DW_TAG_union_type;

use super::change::TypeChanges;
use super::rules::{self, FieldValue, Length, Rules};
use super::value::{ObjectView, Value};
use crate::plan::source::MemorySource;
use crate::plan::walk::{Choice, Interest, KernelWords, Place, Pointee, Root};
use crate::program::build::Build;
use crate::program::types::TypeId;

/// Interest in objects whose type changes.
#[derive(Clone, Copy)]
pub struct Interested<'a> {
    /// The old build.
    pub old: &'a Build,
    /// Which types change.
    pub changes: &'a TypeChanges,
    /// The user's answers.
    pub rules: &'a Rules,
    /// Types of which no other object is in use than those that typed pointers lead to, by the user's word.
    pub unused: &'a HashSet<TypeId>,
    /// The old process, for expressions that follow pointers.
    pub memory: &'a dyn MemorySource,
}

impl Interest for Interested<'_> {
    fn changed(&self, kind: TypeId) -> bool {
        self.changes.changed(Some(kind))
    }

    fn leads(&self, kind: TypeId) -> bool {
        self.changes.leads_to_change(Some(kind))
    }

    fn unused(&self, kind: TypeId) -> bool {
        self.unused.contains(&kind)
    }

    fn is_single(&self, kind: TypeId) -> bool {
        self.rules.allocators.contains_key(&kind)
    }

    fn pointee(&self, place: Place<'_>) -> Option<Pointee> {
        self.rules.pointees.get(&own(place)).map(pointee)
    }

    /// What the kernel keeps for epoll is a `data` that the program has given it: an answer on that union's pointer holds there, too.
    fn kernel_words(&self, words: KernelWords) -> Option<Pointee> {
        if let Some(rule) = self.rules.kernel_words.get(&words) {
            return Some(pointee(rule));
        }
        if words != KernelWords::Epoll {
            return None;
        }
        let types = &self.old.debug.types;
        let unions = types.definitions(DW_TAG_union_type.0, "epoll_data").iter().map(|id| types.canonical(*id));
        let places = unions.filter_map(|kind| {
            let position = types.get(kind).shape.members()?.iter().position(|member| member.name == "ptr")?;
            Some(rules::Place::member(kind, &[u32::try_from(position).ok()?]))
        });
        places.filter_map(|place| self.rules.pointees.get(&place)).map(pointee).next()
    }

    fn member(&self, place: Place<'_>) -> Option<Choice> {
        let rule = self.rules.unions.get(&own(place))?;
        let members = rule.choices.iter().map(|(value, choice)| (*value, choice.old)).collect();
        Some(Choice { tag: rule.tag.clone(), members, otherwise: rule.otherwise.map(|choice| choice.old) })
    }

    fn has_length(&self, place: Place<'_>) -> bool {
        self.rules.lengths.contains_key(&own(place))
    }

    fn length(&self, place: Place<'_>, object: &[u8]) -> Option<u64> {
        let kind = match place.root {
            Root::Type(kind) => Some(kind),
            Root::Variable(position) => self.old.debug.variables.get(position as usize)?.kind,
        };
        let view = || ObjectView::new(&self.old.debug.types, kind, RunAddress(0), object, self.memory);
        let count = match self.rules.lengths.get(&own(place))? {
            Length::Fixed(count) => return Some(*count),
            Length::Field(path) => view().at(path).ok()?.integer().ok()?,
            Length::Expression(expression) => integer(expression.as_ref(), &view())?,
        };
        u64::try_from(count).ok()
    }
}

fn pointee(rule: &rules::Pointee) -> Pointee {
    match rule {
        rules::Pointee::Type(kind) => Pointee::Type(*kind),
        rules::Pointee::Within { kind, back } => Pointee::Within { kind: *kind, back: *back },
        rules::Pointee::Opaque => Pointee::Opaque,
        rules::Pointee::ByTag { tag, choices } => Pointee::ByTag { tag: tag.clone(), choices: choices.clone() },
    }
}

fn integer(expression: &dyn FieldValue, object: &ObjectView<'_>) -> Option<i128> {
    match expression.value(object).ok()? {
        Value::Integer(count) => Some(count),
        Value::Zero => Some(0),
        _ => None,
    }
}

fn own(place: Place<'_>) -> rules::Place {
    let root = match place.root {
        Root::Type(kind) => rules::Root::Type(kind),
        Root::Variable(position) => rules::Root::Variable(position),
    };
    rules::Place { root, path: place.path.to_vec() }
}
