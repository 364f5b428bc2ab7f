//! What fields, variables and enumerations are given.

use toml::de::DeValue;

use super::reader::{Reader, Value, span};
use crate::spec::model::{Case, EnumMap, FieldValue, GlobalValue, Otherwise};
use crate::spec::place::{At, Span};

/// A constant, an expression, or `{ map = {…}, of = "…" }`.
pub(super) fn field(reader: &Reader<'_>, value: &Value<'_>) -> Option<FieldValue> {
    let DeValue::Table(_) = value.get_ref() else {
        return reader.expression(value).map(|expression| FieldValue::Expression(expression.value));
    };
    let (mut of, mut map) = (None, None);
    for (key, value) in reader.known(value, "a rule for a field", &["map", "of"]) {
        match key {
            "of" => of = reader.expression(value),
            _ => map = Some(cases(reader, value, "a map of values", |reader, value| reader.expression(value))),
        }
    }
    match (of, map) {
        (Some(of), Some((values, otherwise))) => Some(FieldValue::Map { of, values, otherwise }),
        _ => {
            reader.complain(span(value), "expected `{ map = { 1 = 2 }, of = \"old.field\" }`, with both `map` and `of`");
            None
        }
    }
}

/// The entries of a table whose keys are values of a tag, and the one under `else`.
pub(super) fn cases<'v, 'i, V>(
    reader: &Reader<'_>,
    value: &'v Value<'i>,
    what: &str,
    read: impl Fn(&Reader<'_>, &'v Value<'i>) -> Option<V>,
) -> (Vec<(At<Case>, V)>, Option<V>) {
    let (mut found, mut otherwise) = (Vec::<(At<Case>, V)>::new(), None);
    for (key, value) in reader.entries(value, what) {
        let entry = read(reader, value);
        if key.value == "else" {
            otherwise = entry;
            continue;
        }
        let Some(case) = case(reader, &key) else { continue };
        if found.iter().any(|(other, _)| *other == At::new(case.clone(), other.span)) {
            reader.complain(key.span, format!("the value {} stands here twice", key.value));
        }
        found.extend(entry.map(|entry| (At::new(case, key.span), entry)));
    }
    (found, otherwise)
}

/// A number, or the name of an enumerator.
fn case(reader: &Reader<'_>, key: &At<String>) -> Option<Case> {
    let text = key.value.as_str();
    if let Some(number) = number(text) {
        return Some(Case::Number(number));
    }
    let is_name = !text.starts_with(|c: char| c.is_ascii_digit())
        && !text.is_empty()
        && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '$');
    if is_name {
        return Some(Case::Name(text.to_owned()));
    }
    reader.complain(key.span, format!("expected a number or the name of an enumerator, found `{text}`"));
    None
}

fn number(text: &str) -> Option<i128> {
    let (negative, digits) = match text.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, text),
    };
    let value: i128 = match digits.strip_prefix("0x") {
        Some(digits) if !digits.starts_with(['+', '-']) => i128::from_str_radix(digits, 16).ok()?,
        _ if digits.starts_with(|c: char| c.is_ascii_digit()) => digits.parse().ok()?,
        _ => return None,
    };
    if negative { value.checked_neg() } else { Some(value) }
}

/// A number, or an enumerator in a string.
fn case_value(reader: &Reader<'_>, value: &Value<'_>) -> Option<At<Case>> {
    match value.get_ref() {
        DeValue::Integer(number) => match i128::from_str_radix(number.as_str(), number.radix()) {
            Ok(number) => Some(At::new(Case::Number(number), span(value))),
            Err(_) => {
                reader.complain(span(value), "expected a number of at most 128 bits");
                None
            }
        },
        _ => {
            let text = reader.string(value, "a number or the name of an enumerator")?;
            case(reader, &text).map(|case| At::new(case, text.span))
        }
    }
}

/// `"keep"`, `"new"`, a constant or an expression.
pub(super) fn global(reader: &Reader<'_>, value: &Value<'_>) -> Option<GlobalValue> {
    match value.get_ref() {
        DeValue::String(text) if text == "keep" => Some(GlobalValue::Keep),
        DeValue::String(text) if text == "new" => Some(GlobalValue::New),
        _ => reader.expression(value).map(|expression| GlobalValue::Expression(expression.value)),
    }
}

/// `"flags"`, or old values with what they become.
pub(super) fn enum_map(reader: &Reader<'_>, value: &Value<'_>) -> Option<EnumMap> {
    match value.get_ref() {
        DeValue::String(text) if text == "flags" => return Some(EnumMap { flags: true, ..EnumMap::default() }),
        DeValue::Table(_) => {}
        _ => {
            reader.complain(span(value), "expected `{ OLD = \"NEW\" }` with numbers or enumerators, or \"flags\"");
            return None;
        }
    }
    let mut map = EnumMap::default();
    let mut entries = Vec::new();
    // `enum` is a word of C: no enumerator has that name.
    for (key, value) in reader.entries(value, "an enumeration") {
        match key.value.as_str() {
            "enum" => map.flags = is_flags(reader, value),
            "else" => map.otherwise = otherwise(reader, value),
            _ => entries.push((key, value)),
        }
    }
    for (key, value) in entries {
        let (from, to) = (case(reader, &key), case_value(reader, value));
        let (Some(from), Some(to)) = (from, to) else { continue };
        if map.values.iter().any(|(other, _)| other.value == from) {
            reader.complain(key.span, format!("the value {} stands here twice", key.value));
        }
        map.values.push((At::new(from, key.span), to));
    }
    Some(map)
}

fn is_flags(reader: &Reader<'_>, value: &Value<'_>) -> bool {
    let is_flags = matches!(value.get_ref(), DeValue::String(text) if text == "flags");
    if !is_flags {
        reader.complain(span(value), "expected `enum = \"flags\"`: values are sets of bits");
    }
    is_flags
}

fn otherwise(reader: &Reader<'_>, value: &Value<'_>) -> Option<At<Otherwise>> {
    let at: Span = span(value);
    match value.get_ref() {
        DeValue::String(text) if text == "keep" => Some(At::new(Otherwise::Keep, at)),
        _ => case_value(reader, value).map(|case| At::new(Otherwise::Value(case.value), case.span)),
    }
}
