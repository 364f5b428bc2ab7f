//! How a spec names things: `store.c:lookup::hits`, `struct conn`, `struct conn.stats.hits`.

use std::fmt;

/// A function or variable: `name`, `file.c:name`, `function::name` (a static of a function), `file.c:function::name`; with `@12` behind it
/// the one that is declared in line 12.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct VariableName {
    /// The end of its source file's path.
    pub file: Option<String>,
    /// The function that it is a static of.
    pub function: Option<String>,
    /// Its name.
    pub name: String,
    /// The line of its declaration.
    pub line: Option<u64>,
}

/// A type: `struct x`, `union x`, `enum x`, or the name of a typedef.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct TypeName {
    /// `struct`, `union`, `enum`; `None` for a bare name.
    pub keyword: Option<Keyword>,
    /// Its name.
    pub name: String,
}

/// The word before the name of a type.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Keyword {
    /// `struct`
    Struct,
    /// `union`
    Union,
    /// `enum`
    Enum,
}

/// A type, a variable, or a field of one: `struct conn.stats.hits`, `store.c:head.next`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Subject {
    /// Where the path begins.
    pub root: Root,
    /// Fields from there, outermost first.
    pub path: Vec<String>,
    /// Whether it ends in `[new]`: the elements that an array has more than before.
    pub new_elements: bool,
}

/// Where the path of a [`Subject`] begins.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Root {
    /// A type by its keyword.
    Type(TypeName),
    /// A variable that cannot be a type.
    Variable(VariableName),
    /// The name of a typedef or of a variable.
    Either(String),
    /// Words that the kernel keeps for the program.
    Kernel(KernelWords),
}

/// Words that the kernel keeps for a program and gives back to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum KernelWords {
    /// `epoll_event.data`.
    Epoll,
    /// The values of timers and of signals that wait (`sigval`).
    Signals,
}

impl KernelWords {
    /// All of them.
    const ALL: [Self; 2] = [Self::Epoll, Self::Signals];

    /// As a spec writes them. With a space in it, it is the name of nothing in a program.
    fn name(self) -> &'static str {
        match self {
            Self::Epoll => "epoll data",
            Self::Signals => "signal values",
        }
    }
}

impl VariableName {
    /// Reads a name.
    ///
    /// # Errors
    /// What was expected.
    pub fn parse(text: &str) -> Result<Self, String> {
        let (rest, line) = split_line(text);
        let (file, rest) = split_file(rest);
        let (function, name) = match rest.split_once("::") {
            Some((function, name)) => (Some(function), name),
            None => (None, rest),
        };
        let parts = [file, function, Some(name)];
        if parts.into_iter().flatten().any(|part| part.is_empty())
            || !is_name(name)
            || function.is_some_and(|name| !is_name(name))
        {
            return Err(format!("expected a name such as `count`, `store.c:count` or `lookup::count`, found `{text}`"));
        }
        Ok(Self { file: file.map(str::to_owned), function: function.map(str::to_owned), name: name.to_owned(), line })
    }
}

/// The line behind `@`.
fn split_line(text: &str) -> (&str, Option<u64>) {
    let parts = text.rsplit_once('@').and_then(|(rest, line)| Some((rest, line.parse().ok()?)));
    parts.map_or((text, None), |(rest, line)| (rest, Some(line)))
}

/// The file before a single colon.
fn split_file(text: &str) -> (Option<&str>, &str) {
    let bytes = text.as_bytes();
    let at = |index: usize| bytes.get(index).copied();
    let colon = (0..bytes.len())
        .find(|&index| at(index) == Some(b':') && at(index + 1) != Some(b':') && index.checked_sub(1).and_then(at) != Some(b':'));
    match colon.and_then(|colon| Some((text.get(..colon)?, text.get(colon + 1..)?))) {
        Some((file, rest)) => (Some(file), rest),
        None => (None, text),
    }
}

/// Names of C, and what compilers make of them (`f.constprop`, `operator<<`): anything without spaces and separators.
fn is_name(text: &str) -> bool {
    let is_keyword = matches!(text, "struct" | "union" | "enum");
    !text.is_empty()
        && !is_keyword
        && !text.chars().any(|c| c.is_whitespace() || c.is_control() || matches!(c, ':' | '"' | '(' | ')' | '[' | ']'))
}

impl TypeName {
    /// Reads a name.
    ///
    /// # Errors
    /// What was expected.
    pub fn parse(text: &str) -> Result<Self, String> {
        let words: Vec<&str> = text.split_whitespace().collect();
        let (keyword, name) = match words[..] {
            ["struct" | "class", name] => (Some(Keyword::Struct), name),
            ["union", name] => (Some(Keyword::Union), name),
            ["enum", name] => (Some(Keyword::Enum), name),
            [name] => (None, name),
            _ => return Err(wrong_type(text)),
        };
        if !is_name(name) || name.contains(['.', '*']) {
            return Err(wrong_type(text));
        }
        Ok(Self { keyword, name: name.to_owned() })
    }
}

fn wrong_type(text: &str) -> String {
    format!("expected a type such as `struct conn`, `enum state` or the name of a typedef, found `{text}`")
}

impl Subject {
    /// Reads a type, a variable or a field.
    ///
    /// # Errors
    /// What was expected.
    pub fn parse(text: &str) -> Result<Self, String> {
        if let Some(words) = KernelWords::ALL.into_iter().find(|words| words.name() == text) {
            return Ok(Self { root: Root::Kernel(words), path: Vec::new(), new_elements: false });
        }
        let (text, new_elements) = match text.strip_suffix("[new]") {
            Some(text) => (text, true),
            None => (text, false),
        };
        let has_keyword = ["struct ", "union ", "enum ", "class "].iter().any(|keyword| text.starts_with(keyword));
        let (file, rest) = if has_keyword { (None, text) } else { split_file(text) };
        let mut parts = rest.split('.');
        let first = parts.next().unwrap_or_default();
        let path: Vec<String> = parts.map(str::to_owned).collect();
        if path.iter().any(|part| !is_name(part)) {
            return Err(format!("expected a field such as `struct conn.count`, found `{text}`"));
        }
        let root = match file {
            _ if has_keyword => Root::Type(TypeName::parse(first)?),
            Some(file) => Root::Variable(VariableName::parse(&format!("{file}:{first}"))?),
            None if first.contains("::") => Root::Variable(VariableName::parse(first)?),
            None if is_name(first) => Root::Either(first.to_owned()),
            None => return Err(format!("expected a type, a variable or a field of one, found `{text}`")),
        };
        Ok(Self { root, path, new_elements })
    }

    /// The name that the path begins with, without file or keyword.
    pub fn root_name(&self) -> &str {
        match &self.root {
            Root::Type(name) => &name.name,
            Root::Variable(name) => &name.name,
            Root::Either(name) => name,
            Root::Kernel(words) => words.name(),
        }
    }

    /// The type that the path begins with, or would if it is one.
    pub fn type_name(&self) -> Option<TypeName> {
        match &self.root {
            Root::Type(name) => Some(name.clone()),
            Root::Either(name) => Some(TypeName { keyword: None, name: name.clone() }),
            Root::Variable(_) | Root::Kernel(_) => None,
        }
    }
}

impl fmt::Display for VariableName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(file) = &self.file {
            write!(f, "{file}:")?;
        }
        if let Some(function) = &self.function {
            write!(f, "{function}::")?;
        }
        f.write_str(&self.name)?;
        self.line.map_or(Ok(()), |line| write!(f, "@{line}"))
    }
}

impl fmt::Display for Keyword {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Struct => "struct",
            Self::Union => "union",
            Self::Enum => "enum",
        })
    }
}

impl fmt::Display for TypeName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.keyword {
            Some(keyword) => write!(f, "{keyword} {}", self.name),
            None => f.write_str(&self.name),
        }
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.root {
            Root::Type(name) => write!(f, "{name}")?,
            Root::Variable(name) => write!(f, "{name}")?,
            Root::Either(name) => f.write_str(name)?,
            Root::Kernel(words) => f.write_str(words.name())?,
        }
        for part in &self.path {
            write!(f, ".{part}")?;
        }
        f.write_str(if self.new_elements { "[new]" } else { "" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_read_as_they_are_written() {
        for text in ["count", "store.c:count", "lookup::hits", "src/store.c:lookup::hits", "f.constprop", "a.c:n@12"] {
            assert_eq!(VariableName::parse(text).map(|name| name.to_string()), Ok(text.to_owned()));
        }
        for text in ["struct conn", "union value", "enum state", "conn_t"] {
            assert_eq!(TypeName::parse(text).map(|name| name.to_string()), Ok(text.to_owned()));
        }
        for text in [
            "struct conn",
            "struct conn.a.b",
            "conn_t.a",
            "store.c:head.next",
            "f::s.x",
            "struct t.slots[new]",
            "limit",
            "epoll data",
        ] {
            assert_eq!(Subject::parse(text).map(|name| name.to_string()), Ok(text.to_owned()));
        }
    }

    #[test]
    fn a_file_is_told_from_a_function() {
        let name = VariableName::parse("a/store.c:lookup::hits").unwrap();
        assert_eq!((name.file.as_deref(), name.function.as_deref(), &*name.name), (Some("a/store.c"), Some("lookup"), "hits"));
        assert!(matches!(Subject::parse("store.c:head.next").unwrap().root, Root::Variable(_)));
        assert!(matches!(Subject::parse("head.next").unwrap().root, Root::Either(_)));
    }

    #[test]
    fn what_is_no_name_is_refused() {
        for text in ["", ":", "a:", "::a", "a::", "a b", "store.c:", "f(", "\u{0}"] {
            assert!(VariableName::parse(text).is_err(), "{text}");
        }
        for text in ["", "struct", "struct a b", "struct conn *", "long int"] {
            assert!(TypeName::parse(text).is_err(), "{text}");
        }
        for text in ["", "struct", "struct a..b", "struct a.", "a.b c", "[new]"] {
            assert!(Subject::parse(text).is_err(), "{text}");
        }
    }
}
