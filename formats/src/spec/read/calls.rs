//! Calls in the new program, and its health check.

use super::reader::{Reader, Value, span};
use super::tables::words;
use crate::spec::model::{Argument, Call, Health, Spec};
use crate::spec::names::VariableName;
use crate::spec::place::{At, Span};

/// Most arguments of a call: those that the System V ABI passes in registers.
pub(super) const MAX_ARGUMENTS: usize = 6;

/// `call` and `health`.
pub(super) fn after_restore(reader: &Reader<'_>, value: &Value<'_>, spec: &mut Spec) {
    for (key, value) in reader.known(value, "[after-restore]", &["call", "health"]) {
        match key {
            "call" => {
                let items = reader.items(value, "a list of calls such as [\"rebuild(&index, 16)\"]");
                spec.calls = items.iter().filter_map(|item| call(reader, item)).collect();
            }
            _ => spec.health = health(reader, value),
        }
    }
}

fn health(reader: &Reader<'_>, value: &Value<'_>) -> Option<Health> {
    let (mut run, mut within) = (None, None);
    for (key, value) in reader.known(value, "the health check", &["run", "within"]) {
        match key {
            "run" => run = words(reader, value),
            _ => within = reader.time(value),
        }
    }
    match (run, within) {
        (Some(command), Some(within)) => Some(Health { command, within }),
        _ => {
            reader.complain(span(value), "expected `{ run = [\"./check\"], within = \"5s\" }`, with both `run` and `within`");
            None
        }
    }
}

/// `"function(argument, argument)"`.
pub(super) fn call(reader: &Reader<'_>, value: &Value<'_>) -> Option<Call> {
    let text = reader.string(value, "a call such as \"rebuild(&index, 16)\"")?;
    let whole = span(value);
    let (content, is_plain) = reader.content(whole, &text.value);
    let place = |start: usize, length: usize| {
        if is_plain { Span { start: content.start + start, end: content.start + start + length } } else { content }
    };
    let form = || {
        reader.complain(content, format!("expected a call such as `rebuild(&index, 16)`, found `{}`", text.value));
        None
    };
    let Some((name, rest)) = text.value.split_once('(') else { return form() };
    let Some(inner) = rest.trim_end().strip_suffix(')') else { return form() };
    let function = reader.name(At::new(name.trim().to_owned(), place(0, name.len())), VariableName::parse)?;
    let pieces = pieces(inner);
    let first = name.len() + 1;
    let read = |(start, piece): &(usize, &str)| argument(reader, (whole, &text.value), piece, first + start, &place);
    let arguments: Vec<At<Argument>> = pieces.iter().filter_map(read).collect();
    if arguments.len() > MAX_ARGUMENTS {
        reader.complain(content, format!("expected at most {MAX_ARGUMENTS} arguments, found {}", arguments.len()));
    }
    (arguments.len() == pieces.len()).then_some(Call { function, arguments, text: text.value })
}

/// The arguments, cut at commas outside quotes and parentheses, each with where it starts.
fn pieces(text: &str) -> Vec<(usize, &str)> {
    let (mut pieces, mut start, mut depth, mut quoted, mut escaped) = (Vec::new(), 0, 0u32, false, false);
    for (at, c) in text.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            _ if quoted => {}
            '(' | '[' => depth += 1,
            ')' | ']' => depth = depth.saturating_sub(1),
            ',' if depth == 0 => {
                pieces.push((start, text.get(start..at).unwrap_or_default()));
                start = at + 1;
            }
            _ => {}
        }
    }
    let last = text.get(start..).unwrap_or_default();
    if !pieces.is_empty() || !last.trim().is_empty() {
        pieces.push((start, last));
    }
    pieces
}

/// One argument: an address, as in `&table`, a text, or an expression.
pub(super) fn argument(
    reader: &Reader<'_>,
    (whole, text): (Span, &str),
    piece: &str,
    start: usize,
    place: &impl Fn(usize, usize) -> Span,
) -> Option<At<Argument>> {
    let start = start + (piece.len() - piece.trim_start().len());
    let piece = piece.trim();
    let at = place(start, piece.len());
    if let Some(name) = piece.strip_prefix('&') {
        let name = reader.name(At::new(name.trim().to_owned(), at), VariableName::parse)?;
        return Some(At::new(Argument::Address(name.value), at));
    }
    let expression = reader.parsed_within(whole, text, piece, start)?;
    let value = match expression.value.root.kind {
        crate::spec::expression::NodeKind::Text(text) if text.contains('\0') => {
            reader.complain(at, "a string cannot hold a zero byte");
            return None;
        }
        crate::spec::expression::NodeKind::Text(text) => Argument::Text(text),
        _ => Argument::Value(expression.value),
    };
    Some(At::new(value, at))
}
