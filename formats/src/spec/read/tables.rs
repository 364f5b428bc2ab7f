//! Pairings, allocators, plugins.

use toml::de::DeValue;

use super::reader::{Reader, Value, span};
use crate::spec::model::{Allocator, Pairing, Plugin};
use crate::spec::names::VariableName;
use crate::spec::place::At;

/// Old names with new ones; `false` for none.
pub(super) fn pairings<N>(
    reader: &Reader<'_>,
    value: &Value<'_>,
    what: &str,
    name: impl Fn(&str) -> Result<N, String>,
) -> Vec<Pairing<N>> {
    let rules = reader.rules(value, what, &name, |reader, value| match value.get_ref() {
        DeValue::Boolean(false) => Some(At::new(None, span(value))),
        DeValue::Boolean(true) => {
            reader.complain(span(value), "expected a name of the new program, or false for none, found true");
            None
        }
        _ => reader.named(value, &name).map(|found| At::new(Some(found.value), found.span)),
    });
    rules.into_iter().map(|rule| Pairing { old: rule.subject, new: rule.value.value }).collect()
}

/// `{ allocate = "f", free = "g" }`.
pub(super) fn allocator(reader: &Reader<'_>, value: &Value<'_>) -> Option<Allocator> {
    let (mut allocate, mut free) = (None, None);
    for (key, value) in reader.known(value, "an allocator", &["allocate", "free"]) {
        match key {
            "allocate" => allocate = reader.named(value, VariableName::parse),
            _ => free = reader.named(value, VariableName::parse),
        }
    }
    if allocate.is_none() {
        reader.complain(span(value), "expected `{ allocate = \"function\", free = \"function\" }`");
    }
    allocate.map(|allocate| Allocator { allocate, free })
}

/// `"./program"`, or `{ run = ["./program", "argument"], within = "5s" }`.
pub(super) fn plugin(reader: &Reader<'_>, value: &Value<'_>) -> Option<Plugin> {
    let DeValue::Table(_) = value.get_ref() else {
        let program = reader.string(value, "the plugin's program")?;
        return command(reader, vec![program]).map(|command| Plugin { command, within: None });
    };
    let (mut run, mut within) = (None, None);
    for (key, value) in reader.known(value, "a plugin", &["run", "within"]) {
        match key {
            "run" => run = words(reader, value),
            _ => within = reader.time(value),
        }
    }
    if run.is_none() {
        reader.complain(span(value), "expected `{ run = [\"./program\"], within = \"5s\" }`");
    }
    run.map(|command| Plugin { command, within })
}

/// A program with its arguments.
pub(super) fn words(reader: &Reader<'_>, value: &Value<'_>) -> Option<Vec<At<String>>> {
    let items = reader.items(value, "a list: the program and its arguments");
    let words: Vec<At<String>> = items.iter().filter_map(|item| reader.string(item, "a word of the command")).collect();
    if words.len() != items.len() { None } else { command(reader, words) }
}

fn command(reader: &Reader<'_>, words: Vec<At<String>>) -> Option<Vec<At<String>>> {
    if let Some(word) = words.iter().find(|word| word.value.contains('\0')) {
        reader.complain(word.span, "a command cannot hold a zero byte");
        return None;
    }
    let is_named = words.first().is_some_and(|program| !program.value.is_empty());
    if !is_named && let Some(first) = words.first() {
        reader.complain(first.span, "expected the name of a program, found nothing");
    }
    is_named.then_some(words)
}
