//! Why a call of the old code is no certain call of the new one.

use std::fmt;
use std::sync::Arc;

use crate::plan::address::{NewLink, OldLink};
use crate::program::error::ProgramError;

/// A return address of the old code without a certain partner.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{}", self.sentence())]
pub struct PointProblem {
    /// The old function, with clone suffixes; empty when not known.
    pub function: String,
    /// Source file and line of the old call, the inlined function's where it is in one.
    pub line: Option<(String, u64)>,
    /// Functions that were inlined around the old call, outermost first.
    pub scope: Vec<String>,
    /// What the old call goes to; empty when not known.
    pub callee: String,
    /// What is the matter.
    #[source]
    pub reason: PointReason,
    /// Calls of the new function that go to the same callee.
    pub candidates: Vec<Candidate>,
}

/// A call of the new code that somebody may mean.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// Where it comes back to.
    pub returns: NewLink,
    /// Source file and line.
    pub line: Option<(String, u64)>,
    /// Functions that were inlined around it, outermost first.
    pub scope: Vec<String>,
}

/// What is the matter with a return address.
#[derive(Clone, Debug, thiserror::Error)]
pub enum PointReason {
    /// It belongs to no changed function that has a partner.
    #[error("the function is in the new build no more, or nothing tells which it is")]
    NoFunction,
    /// It is behind no call.
    #[error("there is no call before {}", .returns.0)]
    NoCallThere {
        /// The return address.
        returns: OldLink,
    },
    /// The new function has no such call in that scope.
    #[error("the new function does not call it there")]
    NoCall,
    /// Several calls on one side or on both, and nothing tells which is which.
    #[error("of the old function's {old} and the new one's {new} calls of it nothing tells which is which")]
    Ambiguous {
        /// How many calls of the source the old function has in that scope.
        old: usize,
        /// How many the new one has.
        new: usize,
    },
    /// One call of the new code stands for several of the old one, or for one of those.
    #[error("the one call of the new code stands in the place of {old} of the old one")]
    Joined {
        /// How many machine calls the old code has there.
        old: usize,
    },
    /// The callee became part of the function.
    #[error("the new build has inlined it")]
    Inlined,
    /// A function that was part of the old one is called by the new one.
    #[error("`{inlined}`, which the old build had inlined there, is called by the new one")]
    NotInlined {
        /// Name of the function.
        inlined: String,
    },
    /// Which copy of an inlined function is which is not certain, so no call in it is.
    #[error("of {old} inlined copies of `{inlined}` in the old function and {new} in the new one nothing tells which is which")]
    Scope {
        /// Name of the function.
        inlined: String,
        /// How many the old function has.
        old: usize,
        /// How many the new one has.
        new: usize,
    },
    /// The new function does not use the inlined function that the call is in.
    #[error("the new function does not use `{inlined}`, in which the call is, there")]
    NoScope {
        /// Name of the function.
        inlined: String,
    },
    /// The new code leaves for good by a jump where the old code called.
    #[error("the new code jumps there and does not come back (a tail call)")]
    TailCall,
    /// Debug information is broken.
    #[error("its debug information cannot be read")]
    DebugInfo(#[source] Arc<ProgramError>),
}

impl PointProblem {
    /// One that is known by nothing but its reason.
    pub(super) fn unknown(reason: PointReason) -> Self {
        let (function, callee) = (String::new(), String::new());
        Self { function, line: None, scope: Vec::new(), callee, reason, candidates: Vec::new() }
    }

    fn sentence(&self) -> String {
        let mut sentence = match (self.function.as_str(), self.callee.as_str()) {
            ("", _) => String::from("a frame of the old program"),
            (function, "") => format!("`{function}`"),
            (function, callee) => format!("the call of {} in `{function}`", quoted(callee)),
        };
        let around: String = self.scope.iter().rev().map(|inlined| format!(" (in `{inlined}`, inlined)")).collect();
        sentence.push_str(&around);
        if let Some((file, line)) = &self.line {
            sentence.push_str(&format!(" at {file}:{line}"));
        }
        sentence.push_str(" has no certain partner in the new build");
        if !self.candidates.is_empty() {
            let list: Vec<String> = self.candidates.iter().map(Candidate::to_string).collect();
            sentence.push_str(&format!("; there are {}", list.join(", ")));
        }
        sentence
    }
}

/// Names in quotes, descriptions as they are.
fn quoted(callee: &str) -> String {
    if callee.contains(' ') { callee.to_owned() } else { format!("`{callee}`") }
}

impl fmt::Display for Candidate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.line {
            Some((file, line)) => write!(f, "{file}:{line}")?,
            None => write!(f, "{}", self.returns.0)?,
        }
        self.scope.iter().rev().try_for_each(|inlined| write!(f, " in `{inlined}`"))
    }
}
