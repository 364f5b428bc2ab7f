//! `[[continue]]`.

use toml::de::DeValue;

use super::calls;
use super::reader::{Reader, Value, span};
use crate::spec::continuation::{Accepted, CodeLine, Continue, Inside, Point, SetPlace};
use crate::spec::model::{Expression, Rule};
use crate::spec::names::{Subject, VariableName};
use crate::spec::place::At;

/// Keys of a table.
const KEYS: [&str; 12] =
    ["function", "in", "called-by", "thread", "from", "at", "drop", "inside", "locals", "set", "before", "accept"];
/// Keys of a table within one.
const INSIDE: [&str; 4] = ["function", "at", "locals", "accept"];

/// All tables.
pub(super) fn continues(reader: &Reader<'_>, value: &Value<'_>) -> Vec<Continue> {
    let tables = reader.items(value, "tables with the heading `[[continue]]`");
    tables.iter().filter_map(|table| continuation(reader, table)).collect()
}

fn continuation(reader: &Reader<'_>, table: &Value<'_>) -> Option<Continue> {
    let entries = reader.known(table, "[[continue]]", &KEYS);
    let of = |key: &str| entries.iter().find(|(own, _)| *own == key).map(|(_, value)| *value);
    let named = |key: &str| of(key).and_then(|value| reader.named(value, VariableName::parse));
    let function = match of("function") {
        Some(value) => reader.named(value, VariableName::parse),
        None => {
            reader.complain(span(table), "expected `function = \"NAME\"`: the old function whose frames go on as it says");
            None
        }
    };
    let found = Continue {
        span: span(table),
        function: function?,
        into: named("in"),
        drops: of("drop").map(|value| names(reader, value)).unwrap_or_default(),
        inside: of("inside").map(|value| insides(reader, value)).unwrap_or_default(),
        called_by: named("called-by"),
        thread: named("thread"),
        from: of("from").and_then(|value| point(reader, value)),
        at: of("at").map(|value| points(reader, value)).unwrap_or_default(),
        locals: of("locals").map(|value| locals(reader, value)).unwrap_or_default(),
        set: of("set").map(|value| settings(reader, value)).unwrap_or_default(),
        before: of("before").map(|value| before(reader, value)).unwrap_or_default(),
        accept: of("accept").map(|value| reader.names(value, Accepted::parse)).unwrap_or_default(),
    };
    Some(found)
}

/// One name, or several.
fn names(reader: &Reader<'_>, value: &Value<'_>) -> Vec<At<VariableName>> {
    match value.get_ref() {
        DeValue::Array(_) => reader.names(value, VariableName::parse),
        _ => reader.named(value, VariableName::parse).into_iter().collect(),
    }
}

fn insides(reader: &Reader<'_>, value: &Value<'_>) -> Vec<Inside> {
    let tables = reader.items(value, "tables with the heading `[[continue.inside]]`");
    let inside = |table: &Value<'_>| {
        let entries = reader.known(table, "[[continue.inside]]", &INSIDE);
        let of = |key: &str| entries.iter().find(|(own, _)| *own == key).map(|(_, value)| *value);
        let (Some(function), Some(at)) = (of("function"), of("at")) else {
            reader.complain(
                span(table),
                "expected `function = \"NAME\"` and `at = { call = \"NAME\" }`: a function of the new program",
            );
            return None;
        };
        Some(Inside {
            function: reader.named(function, VariableName::parse)?,
            at: point(reader, at)?,
            locals: of("locals").map(|value| locals(reader, value)).unwrap_or_default(),
            accept: of("accept").map(|value| reader.names(value, Accepted::parse)).unwrap_or_default(),
        })
    };
    tables.iter().filter_map(inside).collect()
}

/// One point, or several that are tried in order.
fn points(reader: &Reader<'_>, value: &Value<'_>) -> Vec<At<Point>> {
    match value.get_ref() {
        DeValue::Array(items) => items.iter().filter_map(|item| point(reader, item)).collect(),
        _ => point(reader, value).into_iter().collect(),
    }
}

fn point(reader: &Reader<'_>, value: &Value<'_>) -> Option<At<Point>> {
    let (mut callee, mut ordinal, mut line, mut label) = (None, None, None, None);
    for (key, value) in reader.known(value, "a point", &["call", "ordinal", "line", "label"]) {
        match key {
            "call" => callee = reader.string(value, "the function that is called"),
            "ordinal" => ordinal = number(reader, value),
            "line" => line = code_line(reader, value),
            _ => label = reader.string(value, "a label"),
        }
    }
    let point = match (callee, ordinal, line, label) {
        (Some(callee), ordinal, None, None) => Point::Call { callee: callee.value, ordinal },
        (None, None, Some(line), None) => Point::Line(line.value),
        (None, None, None, Some(label)) => Point::Label(label.value),
        _ => {
            let expected =
                "expected `{ call = \"recv\", ordinal = 2 }`, `{ line = \"server.c:120\" }` or `{ label = \"again\" }`";
            reader.complain(span(value), expected);
            return None;
        }
    };
    Some(At::new(point, span(value)))
}

fn number(reader: &Reader<'_>, value: &Value<'_>) -> Option<u64> {
    let number = match value.get_ref() {
        DeValue::Integer(number) => u64::from_str_radix(number.as_str(), number.radix()).ok().filter(|number| *number > 0),
        _ => None,
    };
    if number.is_none() {
        reader.complain(span(value), "expected a number from 1 on: which of the calls it is");
    }
    number
}

/// `120`, or `"server.c:120"`.
fn code_line(reader: &Reader<'_>, value: &Value<'_>) -> Option<At<CodeLine>> {
    match value.get_ref() {
        DeValue::Integer(number) => reader.name(At::new(number.as_str().to_owned(), span(value)), CodeLine::parse),
        _ => reader.named(value, CodeLine::parse),
    }
}

fn locals(reader: &Reader<'_>, value: &Value<'_>) -> Vec<Rule<String, Expression>> {
    let name = |text: &str| VariableName::parse(text).map(|_| text.to_owned());
    reader.rules(value, "locals", name, |reader, value| reader.expression(value).map(|at| at.value))
}

fn settings(reader: &Reader<'_>, value: &Value<'_>) -> Vec<Rule<SetPlace, Expression>> {
    let rules =
        reader.rules(value, "set", |text| Ok(text.to_owned()), |reader, value| reader.expression(value).map(|at| at.value));
    let places = rules.into_iter().filter_map(|rule| {
        let place = set_place(reader, &rule.subject)?;
        Some(Rule { subject: At::new(place, rule.subject.span), value: rule.value })
    });
    places.collect()
}

/// `stats.active`, or `old.conn->peer.port`: what stands before the last arrow is an expression.
fn set_place(reader: &Reader<'_>, text: &At<String>) -> Option<SetPlace> {
    let Some((pointer, field)) = text.value.rsplit_once("->") else {
        return reader.name(text.clone(), Subject::parse).map(|subject| SetPlace::Variable(subject.value));
    };
    let path: Vec<String> = field.split('.').map(str::to_owned).collect();
    if path.iter().any(|name| VariableName::parse(name).is_err()) {
        reader.complain(text.span, format!("expected a field behind `->`, as in `old.conn->state`, found `{field}`"));
        return None;
    }
    let pointer = reader.parsed_within(text.span, &text.value, pointer, 0)?.value;
    Some(SetPlace::Through { pointer, path })
}

fn before(reader: &Reader<'_>, value: &Value<'_>) -> Vec<crate::spec::model::Call> {
    let items = reader.items(value, "a list of calls such as [\"reopen(&log, old.fd)\"]");
    items.iter().filter_map(|item| calls::call(reader, item)).collect()
}
