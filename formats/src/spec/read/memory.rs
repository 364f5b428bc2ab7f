//! What memory of the old program holds.

use toml::de::DeValue;

use super::reader::{Reader, Value, span};
use super::values::cases;
use crate::spec::model::{Expression, Meaning, Member};
use crate::spec::names::TypeName;
use crate::spec::place::At;

/// What stands for bytes that are carried as they are.
const OPAQUE: &str = "opaque";

/// `"opaque"`, `{ type = "…", at = "…", count = … }`, `{ by = "old.tag", types = {…} }` or `{ by = "old.tag", members = {…} }`.
pub(super) fn meaning(reader: &Reader<'_>, value: &Value<'_>) -> Option<Meaning> {
    match value.get_ref() {
        DeValue::String(text) if text == OPAQUE => return Some(Meaning::Opaque),
        DeValue::Table(_) => {}
        _ => {
            reader.complain(
                span(value),
                "expected \"opaque\", `{ type = \"struct x\" }`, `{ count = \"old.n\" }` or a choice by tag",
            );
            return None;
        }
    }
    let (mut kind, mut at, mut count, mut by, mut types, mut members) = (None, None, None, None, None, None);
    for (key, value) in reader.known(value, "the meaning of memory", &["type", "at", "count", "by", "types", "members"]) {
        match key {
            "type" => kind = reader.named(value, TypeName::parse),
            "at" => at = field(reader, value),
            "count" => count = reader.expression(value),
            "by" => by = reader.expression(value),
            "types" => types = Some(value),
            _ => members = Some(value),
        }
    }
    let is_plain = kind.is_none() && at.is_none() && count.is_none();
    match (by, types, members) {
        (None, None, None) if at.is_some() && (kind.is_none() || count.is_some()) => {
            reader.complain(span(value), "expected `at` beside `type`, and no `count` with it");
            None
        }
        (None, None, None) if !is_plain => Some(Meaning::Holds { kind, at, count }),
        (Some(by), Some(types), None) if is_plain => by_tag(reader, by, types),
        (Some(by), None, Some(members)) if is_plain => union_by_tag(reader, by, members),
        _ => {
            reader.complain(span(value), "expected `type`, `count` or both; or `by` with either `types` or `members`");
            None
        }
    }
}

/// A field of the type: `"link"`, or `"links.by_age"` further in.
fn field(reader: &Reader<'_>, value: &Value<'_>) -> Option<At<Vec<String>>> {
    let text = reader.string(value, "a field of the type, such as \"link\"")?;
    let names: Vec<String> = text.value.split('.').map(str::to_owned).collect();
    if names.iter().any(String::is_empty) {
        reader.complain(text.span, format!("expected a field such as `link`, found `{}`", text.value));
        return None;
    }
    Some(At::new(names, text.span))
}

fn by_tag(reader: &Reader<'_>, by: At<Expression>, types: &Value<'_>) -> Option<Meaning> {
    let read = |reader: &Reader<'_>, value: &Value<'_>| match value.get_ref() {
        DeValue::String(text) if text == OPAQUE => Some(At::new(None, span(value))),
        _ => reader.named(value, TypeName::parse).map(|name| At::new(Some(name.value), name.span)),
    };
    let (types, otherwise) = cases(reader, types, "types by tag", read);
    if let Some(otherwise) = otherwise {
        reader.complain(otherwise.span, "expected a type for each value of the tag; `else` cannot say what a pointer points to");
        return None;
    }
    Some(Meaning::ByTag { by, types })
}

fn union_by_tag(reader: &Reader<'_>, by: At<Expression>, members: &Value<'_>) -> Option<Meaning> {
    let (members, otherwise) = cases(reader, members, "members by tag", member);
    Some(Meaning::Union { by, members, otherwise })
}

/// `"name"`, `{ old = "name", new = "other" }`, or `false` for nothing.
fn member(reader: &Reader<'_>, value: &Value<'_>) -> Option<At<Member>> {
    let at = span(value);
    match value.get_ref() {
        DeValue::Boolean(false) => return Some(At::new(Member { old: None, new: None }, at)),
        DeValue::Table(_) => {}
        _ => {
            let old = reader.string(value, "the name of a member, or false for none")?;
            return Some(At::new(Member { old: Some(old), new: None }, at));
        }
    }
    let (mut old, mut new) = (None, None);
    for (key, value) in reader.known(value, "a member", &["old", "new"]) {
        match key {
            "old" => old = reader.string(value, "a member of the old union"),
            _ => new = reader.string(value, "a member of the new union"),
        }
    }
    if old.is_none() {
        reader.complain(at, "expected `{ old = \"member\", new = \"member\" }`");
        return None;
    }
    Some(At::new(Member { old, new }, at))
}
