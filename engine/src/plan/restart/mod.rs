//! Threads that go on at the entry of a function, as a spec wants it (PROOF §3a): which of them can, and what the function gets.

mod arguments;
mod base;
mod callers;
mod cancel;
mod startup;
mod wait;

use std::collections::HashMap;
use std::sync::Arc;

use dsu_formats::model::latest::Thread;

use super::address::NewLink;
use super::blocker::Blocker;
use super::frames::{Besides, Continuation, FrameBlocker};
use super::rewrite::Patch;
use super::safe_point::Examiner;
use super::spec::expression::Compiled;
use crate::program::address::LinkAddress;
use crate::program::code::Callee;
use crate::program::types::TypeId;
use crate::program::unwind::{Frame, Stack};

pub(in crate::plan) use arguments::parameter;
pub(in crate::plan) use callers::look_at;
pub use startup::StartUpCall;
pub(in crate::plan) use startup::find as find_start_up;
pub use wait::{WAITS, is_wait};

/// A function that threads enter, bound to both builds.
#[derive(Clone, Debug)]
pub struct Restart {
    /// Position of the function in the new build.
    pub function: usize,
    /// Its name.
    pub name: String,
    /// Its entry.
    pub entry: NewLink,
    /// Position of the function of the old build whose frame gives way.
    pub instead_of: usize,
    /// Position of the function of the old build that the thread began with.
    pub thread: Option<usize>,
    /// Functions of the C library that the thread must be waiting in; `None`: any of [`WAITS`].
    pub waits_in: Option<Vec<String>>,
    /// What the function takes.
    pub parameters: Vec<Parameter>,
    /// What it gets; `None`: what its partner got.
    pub arguments: Option<Vec<Argument>>,
    /// The calls of the function that gives way, by their return addresses in the old build, with what stands against it that their callers
    /// go on behind another function.
    pub callers: HashMap<LinkAddress, Option<String>>,
    /// Calls that it leads to which open something; that they are not made twice is the program's own.
    pub start_up: Vec<StartUpCall>,
}

/// A parameter of a function, which is passed in a general register.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parameter {
    /// Its name; empty where it has none.
    pub name: String,
    /// Its type in the new build.
    pub kind: Option<TypeId>,
    /// Its size in bytes.
    pub size: u8,
    /// Whether it is a pointer.
    pub is_pointer: bool,
    /// Whether it is a number with a sign.
    pub is_signed: bool,
}

/// What a parameter is given.
#[derive(Clone, Debug)]
pub enum Argument {
    /// A number.
    Word(u64),
    /// The address of a variable or function of the new program.
    Address(NewLink),
    /// An expression over the old function's variables.
    Expression {
        /// The expression; its object holds the variables one after the other.
        code: Box<Compiled>,
        /// The variables that it names: where each begins in that object, and its type in the old build.
        variables: Vec<(String, u64, Option<TypeId>)>,
        /// Length of the object, in bytes.
        length: u64,
    },
}

/// A thread that enters a function.
#[derive(Clone, Debug)]
pub struct Entry {
    /// The function with its arguments.
    pub continuation: Arc<Continuation>,
    /// Words of the thread's own record that the frames which go would have put back.
    pub patches: Vec<Patch>,
    /// What is given up, for people.
    pub warning: String,
}

/// Why a thread does not enter a function.
#[derive(Clone, Debug)]
pub struct Refusal {
    /// What is in the way.
    pub frame: FrameBlocker,
    /// Function of the new program.
    pub function: String,
    /// Whether it may be otherwise a moment later.
    pub passing: bool,
    /// Lines of a spec that would answer it.
    pub answers: Vec<String>,
}

impl Refusal {
    /// The same as a blocker.
    pub fn blocker(&self, tid: i32) -> Blocker {
        let (frame, function) = (Box::new(self.frame.clone()), self.function.clone());
        Blocker::Restart { tid, function, frame, passing: self.passing, answers: self.answers.clone() }
    }
}

/// What stands against it.
#[derive(Clone, Debug)]
struct Reason {
    text: String,
    passing: bool,
    answers: Vec<String>,
}

impl Reason {
    /// Something that may be otherwise a moment later.
    fn passing(text: impl Into<String>) -> Self {
        Self { text: text.into(), passing: true, answers: Vec::new() }
    }

    /// Something that stays.
    fn lasting(text: impl Into<String>) -> Self {
        Self { text: text.into(), passing: false, answers: Vec::new() }
    }
}

/// The frame of a thread in whose place it enters a function; `None` where the spec wants nothing of the thread.
pub fn entry(examiner: &Examiner<'_>, thread: &Thread, stack: &Stack) -> Option<(usize, Result<Entry, Refusal>)> {
    let (number, restart) = examiner.restarts.iter().find_map(|restart| Some((wanted(examiner, restart, stack)?, restart)))?;
    let made = made(examiner, restart, thread, (stack, number));
    let refused = |reason: Reason| {
        let mut frame = match stack.frames.get(number) {
            Some(frame) => examiner.blocker(restart.instead_of, frame, &reason.text),
            None => {
                return Refusal { frame: nowhere(&reason), function: restart.name.clone(), passing: false, answers: Vec::new() };
            }
        };
        frame.answer = reason.answers.first().cloned();
        Refusal { frame, function: restart.name.clone(), passing: reason.passing, answers: reason.answers }
    };
    Some((number, made.map_err(refused)))
}

fn nowhere(reason: &Reason) -> FrameBlocker {
    let old = super::frames::CodePlace { address: LinkAddress(0), line: None };
    let (function, reason) = (String::new(), reason.text.clone());
    FrameBlocker { function, old, new: None, location: None, reader: None, reason, answer: None }
}

/// The outermost frame of the function that gives way.
fn wanted(examiner: &Examiner<'_>, restart: &Restart, stack: &Stack) -> Option<usize> {
    let runs = |frame: &Frame| function(examiner, frame);
    let began = || stack.frames.iter().rev().find_map(|frame| runs(frame).filter(|(_, name)| *name != "_start"));
    if restart.thread.is_some_and(|thread| began().is_none_or(|(began, _)| began != thread)) {
        return None;
    }
    stack.frames.iter().rposition(|frame| runs(frame).is_some_and(|(runs, _)| runs == restart.instead_of))
}

/// The function of the old build that a frame runs, with its name.
fn function<'e>(examiner: &Examiner<'e>, frame: &Frame) -> Option<(usize, &'e str)> {
    let functions = &examiner.view.sides.old.functions;
    let (_, link) = frame.module.filter(|(module, _)| *module == 0)?;
    let (index, _) = functions.containing(link)?;
    functions.list().get(index).map(|function| (index, function.identity.name.as_str()))
}

fn made(examiner: &Examiner<'_>, restart: &Restart, thread: &Thread, (stack, number): (&Stack, usize)) -> Result<Entry, Reason> {
    let wait = wait::given_up(examiner, restart, thread, stack.frames.get(..=number).unwrap_or_default())?;
    let frame = stack.frames.get(number).ok_or_else(|| Reason::lasting("its frame is not there"))?;
    let outer = stack.frames.get(number + 1..).unwrap_or_default();
    let caller = base::caller(examiner, thread, frame, outer)?;
    returns(examiner, restart, outer)?;
    let values = arguments::values(examiner, restart, frame, &caller)?;
    let patches = cancel::given_back(examiner, thread, &wait)?;
    let (objects, conditions, warnings, rivals) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    let (function, returns_to) = (restart.function, restart.entry);
    // Nothing comes back to an entry: control is there already.
    let (between, given_back) = (true, Vec::new());
    let continuation = Continuation {
        function,
        returns_to,
        between,
        given_back,
        values,
        objects,
        conditions,
        warnings,
        rivals,
        has_unread: false,
        besides: Besides::default(),
    };
    let (old, what) = (examiner.name(restart.instead_of), wait.describe());
    let warning = format!(
        "thread {} enters `{}` in the place of `{old}`; {what} is given up, as if a signal had interrupted it",
        thread.tid, restart.name
    );
    Ok(Entry { continuation: Arc::new(continuation), patches, warning })
}

/// Whether the caller may go on behind another function than the one that it called.
fn returns(examiner: &Examiner<'_>, restart: &Restart, outer: &[Frame]) -> Result<(), Reason> {
    let Some(above) = outer.first() else { return Ok(()) };
    // A caller that changes goes on in code that was made for the new function.
    let found = function(examiner, above).filter(|(caller, _)| examiner.view.same_code(*caller));
    let Some((_, name)) = found else { return Ok(()) };
    let unknown = || Reason::lasting(format!("`{name}` is to see a result of it, and it is not known of which call"));
    let next = examiner.placement.old_link(above.pc.0).ok_or_else(unknown)?.0;
    match (restart.callers.get(&next), examiner.view.code.returns.get(&next)) {
        (Some(None), _) => Ok(()),
        (Some(Some(why)), _) => Err(Reason::lasting(why.clone())),
        // Of what a pointer leads to nobody knows more than the ABI says.
        (None, Some(Callee::Indirect)) => Ok(()),
        (None, _) => Err(unknown()),
    }
}
