//! Where something stands in a spec file, and what is wrong there.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Bytes `start..end` of a spec file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Span {
    /// First byte.
    pub start: usize,
    /// Behind the last byte.
    pub end: usize,
}

impl Span {
    /// The bytes of `range`.
    pub fn new(range: std::ops::Range<usize>) -> Self {
        Self { start: range.start, end: range.end }
    }

    /// From the start of this to the end of `other`.
    pub fn to(self, other: Span) -> Self {
        Self { start: self.start.min(other.start), end: self.end.max(other.end) }
    }
}

/// A value and where it stands.
#[derive(Clone, Debug, PartialEq)]
pub struct At<T> {
    /// The value.
    pub value: T,
    /// Where it stands.
    pub span: Span,
}

impl<T> At<T> {
    /// `value`, which stands at `span`.
    pub fn new(value: T, span: Span) -> Self {
        Self { value, span }
    }
}

/// A spec file: its name and its text. Cheap to copy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// The name that messages give it.
    pub path: PathBuf,
    /// What is in it.
    pub text: Arc<str>,
}

impl Source {
    /// A file of this name and text.
    pub fn new(path: &Path, text: &str) -> Self {
        Self { path: path.to_owned(), text: Arc::from(text) }
    }

    /// Line and column of a byte, both from 1; columns count characters.
    pub fn line_and_column(&self, offset: usize) -> (usize, usize) {
        let mut end = offset.min(self.text.len());
        while !self.text.is_char_boundary(end) {
            end -= 1;
        }
        let before = self.text.get(..end).unwrap_or_default();
        let line = before.matches('\n').count() + 1;
        let start = before.rfind('\n').map_or(0, |at| at + 1);
        (line, before.get(start..).unwrap_or_default().chars().count() + 1)
    }

    /// A problem at `span`.
    pub fn problem(&self, span: Span, message: impl Into<String>) -> Problem {
        let (line, column) = self.line_and_column(span.start);
        Problem { path: self.path.clone(), line, column, message: message.into(), nearest: None }
    }

    /// A problem with the name at `span`, which is none of `known`; the one most like it is suggested.
    pub fn unknown<'k>(&self, span: Span, what: &str, name: &str, known: impl IntoIterator<Item = &'k str>) -> Problem {
        let nearest = nearest(name, known).map(str::to_owned);
        Problem { nearest, ..self.problem(span, format!("{what} `{name}` is not known")) }
    }
}

/// What is wrong with a spec, and where.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct Problem {
    /// The file.
    pub path: PathBuf,
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
    /// What is wrong: expected, found.
    pub message: String,
    /// The known name that the writer may have meant.
    pub nearest: Option<String>,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}: {}", self.path.display(), self.line, self.column, self.message)?;
        match &self.nearest {
            Some(nearest) => write!(f, "; the nearest known name is `{nearest}`"),
            None => Ok(()),
        }
    }
}

/// Everything that is wrong with a spec; never empty.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", text(.0))]
pub struct SpecError(pub Vec<Problem>);

fn text(problems: &[Problem]) -> String {
    problems.iter().map(Problem::to_string).collect::<Vec<_>>().join("\n")
}

/// How much two names are alike, from 0 to 1, whatever their case.
pub fn likeness(a: &str, b: &str) -> f64 {
    // The distance takes time by the product of the lengths.
    const LONGEST: usize = 256;
    if a.len() > LONGEST || b.len() > LONGEST {
        return 0.0;
    }
    strsim::normalized_damerau_levenshtein(&a.to_lowercase(), &b.to_lowercase())
}

/// The known name most like `name`, if one is like it.
pub fn nearest<'k>(name: &str, known: impl IntoIterator<Item = &'k str>) -> Option<&'k str> {
    let known = known.into_iter().filter(|other| other.len().abs_diff(name.len()) <= 12);
    let best = known.map(|other| (likeness(name, other), other)).max_by(|a, b| a.0.total_cmp(&b.0))?;
    (best.0 >= 0.5).then_some(best.1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_count_characters() {
        let source = Source::new(Path::new("u.toml"), "a\nbé = 1\n");
        assert_eq!(source.line_and_column(0), (1, 1));
        assert_eq!(source.line_and_column(2), (2, 1));
        assert_eq!(source.line_and_column(5), (2, 3));
        assert_eq!(source.line_and_column(4), (2, 2), "in the middle of a character");
        assert_eq!(source.line_and_column(9999), (3, 1));
    }

    #[test]
    fn the_nearest_name_is_like_the_wrong_one() {
        assert_eq!(nearest("conut", ["count", "amount", "x"]), Some("count"));
        assert_eq!(nearest("zzz", ["count"]), None);
        assert_eq!(nearest("", ["count"]), None);
    }
}
