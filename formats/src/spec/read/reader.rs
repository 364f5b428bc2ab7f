//! Typed access to TOML values; what does not suit is reported with its place and left out.

use std::cell::RefCell;
use std::ops::Range;
use std::time::Duration;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::spec::duration::duration;
use crate::spec::expression::{Node, NodeKind, parse};
use crate::spec::model::{Expression, Rule};
use crate::spec::place::{At, Problem, Source, Span};

/// A TOML value and where it stands.
pub(super) type Value<'i> = Spanned<DeValue<'i>>;

/// Reads values of one file and collects what is wrong with them.
pub(super) struct Reader<'s> {
    source: &'s Source,
    problems: RefCell<Vec<Problem>>,
}

impl<'s> Reader<'s> {
    pub(super) fn new(source: &'s Source) -> Self {
        Self { source, problems: RefCell::new(Vec::new()) }
    }

    /// All problems, by place.
    pub(super) fn problems(self) -> Vec<Problem> {
        let mut problems = self.problems.into_inner();
        problems.sort_by_key(|problem| (problem.line, problem.column));
        problems
    }

    pub(super) fn complain(&self, span: Span, message: impl Into<String>) {
        self.problems.borrow_mut().push(self.source.problem(span, message));
    }

    fn expected<T>(&self, value: &Value<'_>, what: &str) -> Option<T> {
        self.complain(span(value), format!("expected {what}, found {}", described(value.get_ref())));
        None
    }

    /// Keys and values of a table, as they stand in the file.
    pub(super) fn entries<'v, 'i>(&self, value: &'v Value<'i>, what: &str) -> Vec<(At<String>, &'v Value<'i>)> {
        match value.get_ref() {
            DeValue::Table(table) => ordered(table),
            _ => self.expected(value, &format!("a table for {what}")).unwrap_or_default(),
        }
    }

    /// The entries of a table whose keys are all in `names`; others are reported.
    pub(super) fn known<'v, 'i, 'n>(&self, value: &'v Value<'i>, what: &str, names: &[&'n str]) -> Vec<(&'n str, &'v Value<'i>)> {
        self.checked(self.entries(value, what), &format!("key of {what}"), names)
    }

    /// As [`Self::known`], for the whole file.
    pub(super) fn known_entries<'v, 'i, 'n>(
        &self,
        table: &'v DeTable<'i>,
        what: &str,
        names: &[&'n str],
    ) -> Vec<(&'n str, &'v Value<'i>)> {
        self.checked(ordered(table), what, names)
    }

    fn checked<'v, 'i, 'n>(
        &self,
        entries: Vec<(At<String>, &'v Value<'i>)>,
        what: &str,
        names: &[&'n str],
    ) -> Vec<(&'n str, &'v Value<'i>)> {
        let known = entries.into_iter().filter_map(|(key, value)| {
            let found = names.iter().find(|name| **name == key.value);
            if found.is_none() {
                let mut problem = self.source.unknown(key.span, what, &key.value, names.iter().copied());
                if problem.nearest.is_none() {
                    problem.message = format!("{}; expected {}", problem.message, names.join(", "));
                }
                self.problems.borrow_mut().push(problem);
            }
            Some((*found?, value))
        });
        known.collect()
    }

    /// One rule for each entry: what it is about is its key.
    pub(super) fn rules<'v, 'i, N, V>(
        &self,
        value: &'v Value<'i>,
        what: &str,
        name: impl Fn(&str) -> Result<N, String>,
        read: impl Fn(&Self, &'v Value<'i>) -> Option<V>,
    ) -> Vec<Rule<N, V>> {
        let rules = self.entries(value, what).into_iter().filter_map(|(key, value)| {
            if self.is_dotted(value) {
                self.complain(key.span, format!("a name with a `.` in it has to stand in quotes: `\"{}.…\" = …`", key.value));
                return None;
            }
            let subject = self.name(key, &name);
            let found = read(self, value);
            Some(Rule { subject: subject?, value: At::new(found?, span(value)) })
        });
        rules.collect()
    }

    /// Whether a table was not written with braces: TOML made it of a dot in a key, or of a header.
    fn is_dotted(&self, value: &Value<'_>) -> bool {
        let raw = self.source.text.get(value.span());
        matches!(value.get_ref(), DeValue::Table(_)) && !raw.is_some_and(|raw| raw.starts_with('{'))
    }

    /// A name.
    pub(super) fn name<N>(&self, text: At<String>, read: impl Fn(&str) -> Result<N, String>) -> Option<At<N>> {
        match read(&text.value) {
            Ok(name) => Some(At::new(name, text.span)),
            Err(message) => {
                self.complain(text.span, message);
                None
            }
        }
    }

    /// A name in a string.
    pub(super) fn named<N>(&self, value: &Value<'_>, read: impl Fn(&str) -> Result<N, String>) -> Option<At<N>> {
        self.string(value, "a name in quotes").and_then(|text| self.name(text, read))
    }

    /// A list of names.
    pub(super) fn names<N>(&self, value: &Value<'_>, read: impl Fn(&str) -> Result<N, String>) -> Vec<At<N>> {
        let DeValue::Array(items) = value.get_ref() else {
            return self.expected(value, "a list of names").unwrap_or_default();
        };
        items.iter().filter_map(|item| self.named(item, &read)).collect()
    }

    /// A string with the place of its content.
    pub(super) fn string(&self, value: &Value<'_>, what: &str) -> Option<At<String>> {
        match value.get_ref() {
            DeValue::String(text) => Some(At::new(text.clone().into_owned(), self.content(span(value), text).0)),
            _ => self.expected(value, &format!("{what}, a string")),
        }
    }

    /// The items of an array.
    pub(super) fn items<'v, 'i>(&self, value: &'v Value<'i>, what: &str) -> &'v [Value<'i>] {
        match value.get_ref() {
            DeValue::Array(items) => items,
            _ => self.expected(value, what).unwrap_or_default(),
        }
    }

    pub(super) fn boolean(&self, value: &Value<'_>) -> Option<At<bool>> {
        match value.get_ref() {
            DeValue::Boolean(found) => Some(At::new(*found, span(value))),
            _ => self.expected(value, "true or false"),
        }
    }

    pub(super) fn time(&self, value: &Value<'_>) -> Option<At<Duration>> {
        let text = self.string(value, "a time such as \"5s\"")?;
        self.name(text, duration)
    }

    /// A constant, or an expression in a string.
    pub(super) fn expression(&self, value: &Value<'_>) -> Option<At<Expression>> {
        let at = span(value);
        let constant = |kind, text: &str| Expression { text: text.to_owned(), root: Node { kind, span: at } };
        let found = match value.get_ref() {
            DeValue::String(text) => return self.parsed(at, text),
            DeValue::Boolean(found) => constant(NodeKind::Boolean(*found), if *found { "true" } else { "false" }),
            DeValue::Integer(number) => match i128::from_str_radix(number.as_str(), number.radix()) {
                Ok(value) => constant(NodeKind::Integer(value), &value.to_string()),
                Err(_) => return self.expected(value, "a number of at most 128 bits"),
            },
            DeValue::Float(number) => match number.as_str().parse() {
                Ok(value) => constant(NodeKind::Float(value), number.as_str()),
                Err(_) => return self.expected(value, "a number"),
            },
            _ => return self.expected(value, "a constant, or an expression in quotes"),
        };
        Some(At::new(found, at))
    }

    fn parsed(&self, at: Span, text: &str) -> Option<At<Expression>> {
        self.parsed_at(self.content(at, text).0, text)
    }

    /// The expression `part` of the string `text` that stands at `whole`, `start` bytes into it.
    pub(super) fn parsed_within(&self, whole: Span, text: &str, part: &str, start: usize) -> Option<At<Expression>> {
        let (content, is_plain) = self.content(whole, text);
        if is_plain {
            let at = Span { start: content.start + start, end: content.start + start + part.len() };
            return self.parsed_at(at, part);
        }
        self.parsed_at(content, part)
    }

    /// The expression `text`, which stands at `at`, byte for byte if the lengths agree.
    fn parsed_at(&self, at: Span, text: &str) -> Option<At<Expression>> {
        let is_plain = at.end - at.start == text.len();
        let place = |range: Range<usize>| {
            if is_plain { Span { start: at.start + range.start, end: at.start + range.end } } else { at }
        };
        match parse(text, place) {
            Ok(root) => Some(At::new(Expression { text: text.to_owned(), root }, at)),
            Err((span, message)) => {
                self.complain(span, message);
                None
            }
        }
    }

    /// Where the content of a string stands, and whether each of its bytes stands for itself (no escapes).
    pub(super) fn content(&self, whole: Span, text: &str) -> (Span, bool) {
        let raw = self.source.text.get(whole.start..whole.end).unwrap_or_default();
        let inner = raw.get(1..raw.len().saturating_sub(1));
        match inner {
            Some(inner) if inner == text && !text.is_empty() => (Span { start: whole.start + 1, end: whole.end - 1 }, true),
            _ => (whole, false),
        }
    }
}

/// Where a value stands.
pub(super) fn span(value: &Value<'_>) -> Span {
    Span::new(value.span())
}

fn ordered<'v, 'i>(table: &'v DeTable<'i>) -> Vec<(At<String>, &'v Value<'i>)> {
    let entries = table.iter().map(|(key, value)| (At::new(key.get_ref().clone().into_owned(), Span::new(key.span())), value));
    let mut entries: Vec<_> = entries.collect();
    entries.sort_by_key(|(key, _)| key.span.start);
    entries
}

fn described(value: &DeValue<'_>) -> String {
    match value {
        DeValue::String(text) => format!("the string \"{}\"", text.chars().take(60).collect::<String>().escape_debug()),
        DeValue::Integer(number) => format!("the number {}", number.as_str()),
        DeValue::Float(number) => format!("the number {}", number.as_str()),
        DeValue::Boolean(value) => format!("{value}"),
        DeValue::Datetime(_) => "a date".to_owned(),
        DeValue::Array(_) => "a list".to_owned(),
        DeValue::Table(_) => "a table".to_owned(),
    }
}
