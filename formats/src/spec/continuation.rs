//! `[[continue]]`: where frames of a changed function go on, and with which values.

use super::model::{Call, Expression, Rule};
use super::names::{Subject, VariableName};
use super::place::{At, Span};

/// One `[[continue]]`. Tables that are about the same frames add up.
#[derive(Clone, Debug, PartialEq)]
pub struct Continue {
    /// Where it stands.
    pub span: Span,
    /// The old function.
    pub function: At<VariableName>,
    /// What its frames become; `None`: its partner.
    pub into: Option<At<VariableName>>,
    /// Old functions whose frames vanish: those that it called, the nearest first.
    pub drops: Vec<At<VariableName>>,
    /// Functions of the new program that the thread is in besides, each called by the one before; the first by `into`, at `at`.
    pub inside: Vec<Inside>,
    /// Only frames of threads in which this old function is further out.
    pub called_by: Option<At<VariableName>>,
    /// Only threads that began with this old function.
    pub thread: Option<At<VariableName>>,
    /// Only frames that are here in the old function.
    pub from: Option<At<Point>>,
    /// Where they go on in the new function: the first that fits. None: where the engine finds it.
    pub at: Vec<At<Point>>,
    /// What variables of the new frame take, by name.
    pub locals: Vec<Rule<String, Expression>>,
    /// What variables of the new program, fields of them, and fields of objects that pointers lead to take.
    pub set: Vec<Rule<SetPlace, Expression>>,
    /// Calls of functions of the new program before it runs on.
    pub before: Vec<Call>,
    /// What the user takes upon himself.
    pub accept: Vec<At<Accepted>>,
}

/// One `[[continue.inside]]`: a function of the new program that the frame becomes a frame of, besides.
#[derive(Clone, Debug, PartialEq)]
pub struct Inside {
    /// The new function.
    pub function: At<VariableName>,
    /// Where it goes on.
    pub at: At<Point>,
    /// What its variables take, by name, in terms of the old frame.
    pub locals: Vec<Rule<String, Expression>>,
    /// What the user takes upon himself there.
    pub accept: Vec<At<Accepted>>,
}

/// What `set` gives a value.
#[derive(Clone, Debug, PartialEq)]
pub enum SetPlace {
    /// A variable of the new program, or a field of one: `stats.active`.
    Variable(Subject),
    /// A field of the object that a pointer leads to: `old.conn->peer.port`.
    Through {
        /// The pointer, as the old program has it.
        pointer: Expression,
        /// The field, in the new program.
        path: Vec<String>,
    },
}

/// A place in a function.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Point {
    /// Behind a call.
    Call {
        /// What is called; `*` is a function pointer.
        callee: String,
        /// Which of the function's calls of it, from 1, in the order of the source; `None`: the only one.
        ordinal: Option<u64>,
    },
    /// Before a line.
    Line(CodeLine),
    /// Before a label.
    Label(String),
}

/// A line of the source.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct CodeLine {
    /// The end of the file's path; `None`: the function's own.
    pub file: Option<String>,
    /// From 1.
    pub line: u64,
}

/// Something that the engine asks about a point and that the user answers with: it is right.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Accepted {
    /// What is asked.
    pub question: Question,
    /// The line of the new program that it is about; `None`: any.
    pub line: Option<CodeLine>,
    /// The parameter or variable that it is about.
    pub name: Option<String>,
}

/// What the engine asks about a point.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Question {
    /// An effect that the new code has before the point, and that the old code has not had.
    Skipped,
    /// An effect that the old code has had, and that the new code has behind the point.
    Repeated,
    /// A branch that the new code takes on its way to the point, of which nothing says that it goes that way.
    Branch,
    /// An argument of the call under way that the new code makes otherwise.
    Argument,
}

impl Question {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Skipped, Self::Repeated, Self::Branch, Self::Argument];

    /// As a spec writes it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Skipped => "skipped",
            Self::Repeated => "repeated",
            Self::Branch => "branch",
            Self::Argument => "argument",
        }
    }

    /// What the question is about, for messages.
    pub fn asks(self) -> &'static str {
        match self {
            Self::Skipped => "something that the new code has done when it comes to the point, and that the old code has not",
            Self::Repeated => "something that the old code has done, and that the new code does behind the point",
            Self::Branch => "a branch on the new code's way to the point, of which nothing says that it goes that way",
            Self::Argument => "an argument of the call under way that the new code makes otherwise",
        }
    }
}

impl CodeLine {
    /// Reads `12` or `file.c:12`.
    ///
    /// # Errors
    /// What was expected.
    pub fn parse(text: &str) -> Result<Self, String> {
        let (file, line) = match text.rsplit_once(':') {
            Some((file, line)) => (Some(file), line),
            None => (None, text),
        };
        match line.parse() {
            Ok(line) if line > 0 && file != Some("") => Ok(Self { file: file.map(str::to_owned), line }),
            _ => Err(format!("expected a line such as `server.c:120`, found `{text}`")),
        }
    }
}

impl Accepted {
    /// Reads `skipped session.c:12`, `argument length`, or a question alone.
    ///
    /// # Errors
    /// What was expected.
    pub fn parse(text: &str) -> Result<Self, String> {
        let (word, rest) = text.split_once(' ').unwrap_or((text, ""));
        let question = Question::ALL.into_iter().find(|question| question.name() == word).ok_or_else(|| {
            let known: Vec<&str> = Question::ALL.iter().map(|question| question.name()).collect();
            let nearest = super::place::nearest(word, known.iter().copied());
            let nearest = nearest.map(|name| format!("; the nearest known name is `{name}`")).unwrap_or_default();
            format!("expected one of {}, with a line as in `skipped session.c:12`, found `{text}`{nearest}", known.join(", "))
        })?;
        let rest = rest.trim();
        match question {
            _ if rest.is_empty() => Ok(Self { question, line: None, name: None }),
            Question::Argument => Ok(Self { question, line: None, name: Some(rest.to_owned()) }),
            _ => Ok(Self { question, line: Some(CodeLine::parse(rest)?), name: None }),
        }
    }
}

impl std::fmt::Display for CodeLine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.file {
            Some(file) => write!(f, "{file}:{}", self.line),
            None => self.line.fmt(f),
        }
    }
}

impl std::fmt::Display for Point {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Call { callee, ordinal: None } => write!(f, "the call of `{callee}`"),
            Self::Call { callee, ordinal: Some(ordinal) } => write!(f, "call {ordinal} of `{callee}`"),
            Self::Line(line) => write!(f, "line {line}"),
            Self::Label(label) => write!(f, "the label `{label}`"),
        }
    }
}

impl std::fmt::Display for Accepted {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.question.name())?;
        match (&self.line, &self.name) {
            (Some(line), _) => write!(f, " {line}"),
            (None, Some(name)) => write!(f, " {name}"),
            (None, None) => Ok(()),
        }
    }
}
