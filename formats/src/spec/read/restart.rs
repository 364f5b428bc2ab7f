//! `[[restart]]`: threads that go on at the entry of a function.

use toml::de::DeValue;

use super::calls::{MAX_ARGUMENTS, argument};
use super::reader::{Reader, Value, span};
use crate::spec::model::{Argument, Restart};
use crate::spec::names::VariableName;
use crate::spec::place::{At, Span};

/// Every `[[restart]]` of a spec.
pub(super) fn restarts(reader: &Reader<'_>, value: &Value<'_>) -> Vec<Restart> {
    let items = reader.items(value, "tables that begin with [[restart]]");
    items.iter().filter_map(|item| restart(reader, item)).collect()
}

fn restart(reader: &Reader<'_>, value: &Value<'_>) -> Option<Restart> {
    let (mut function, mut instead_of, mut thread, mut waits_in, mut arguments) = (None, None, None, None, None);
    let known = ["function", "instead-of", "thread", "waits-in", "arguments"];
    for (key, value) in reader.known(value, "[[restart]]", &known) {
        match key {
            "function" => function = reader.named(value, VariableName::parse),
            "instead-of" => instead_of = Some(reader.named(value, VariableName::parse)?),
            "thread" => thread = Some(reader.named(value, VariableName::parse)?),
            "waits-in" => {
                let items = reader.items(value, "a list of functions of the C library");
                let what = "a function of the C library";
                waits_in = Some(items.iter().filter_map(|item| reader.string(item, what)).collect::<Vec<_>>());
            }
            _ => arguments = Some(given(reader, value)?),
        }
    }
    if function.is_none() && matches!(value.get_ref(), DeValue::Table(_)) {
        reader.complain(span(value), "expected `function = \"NAME\"`: the function of the new program that is entered");
    }
    Some(Restart { function: function?, instead_of, thread, waits_in, arguments, span: span(value) })
}

/// `["old.fd", "&table", 3]`.
fn given(reader: &Reader<'_>, value: &Value<'_>) -> Option<Vec<At<Argument>>> {
    let items = reader.items(value, "a list of arguments such as [\"old.fd\", \"&table\", 0]");
    let arguments: Vec<At<Argument>> = items.iter().filter_map(|item| one(reader, item)).collect();
    if items.len() > MAX_ARGUMENTS {
        reader.complain(span(value), format!("expected at most {MAX_ARGUMENTS} arguments, found {}", items.len()));
    }
    (arguments.len() == items.len()).then_some(arguments)
}

fn one(reader: &Reader<'_>, value: &Value<'_>) -> Option<At<Argument>> {
    let DeValue::String(text) = value.get_ref() else {
        return reader.expression(value).map(|found| At::new(Argument::Value(found.value), found.span));
    };
    let whole = span(value);
    let (content, is_plain) = reader.content(whole, text);
    let place = |start: usize, length: usize| {
        if is_plain { Span { start: content.start + start, end: content.start + start + length } } else { content }
    };
    let found = argument(reader, (whole, text), text, 0, &place)?;
    if matches!(found.value, Argument::Text(_)) {
        reader.complain(found.span, "a text has no place in the process; expected a number, an expression, or an address");
        return None;
    }
    Some(found)
}
