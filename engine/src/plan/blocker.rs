//! Reasons not to update, each with what, where, why.

use dsu_formats::address::{RunAddress, RunRange};

use super::frames::FrameBlocker;
use super::walk::Problem;
use crate::program::address::LinkAddress;

/// One reason.
#[derive(Clone, Debug, PartialEq, thiserror::Error, serde::Serialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Blocker {
    /// A changed function is active on a thread's stack; waiting may help.
    #[error(
        "thread {tid} is inside `{function}`, which changes ({place}){}{}",
        outermost.as_ref().map_or(String::new(), |outer| format!("; so does `{outer}`, from which it was called")),
        frames.iter().map(|frame| format!("; {frame}")).collect::<String>()
    )]
    ActiveFunction {
        /// Thread.
        tid: i32,
        /// Function of the old program.
        function: String,
        /// Source file and line, or address.
        place: String,
        /// The outermost changed function that it is inside as well: it leaves the stack last.
        outermost: Option<String>,
        /// Whether no other function of the program called the outermost one: `main`, or what the thread began with.
        stays: bool,
        /// Why its frames cannot go on in the new code, where that was looked into.
        frames: Vec<FrameBlocker>,
        /// Lines of a spec that would answer some of that.
        answers: Vec<String>,
    },
    /// A frame that would go on in the new code, but for what it holds, or where its stack lies; waiting may help.
    #[error("thread {tid} cannot go on in the new code: {frame}")]
    Frame {
        /// Thread.
        tid: i32,
        /// What is in the way.
        frame: FrameBlocker,
    },
    /// A thread is to enter a function in the place of one that it is inside, and cannot; waiting may help.
    #[error("thread {tid} is to enter `{function}` anew, and cannot: {frame}")]
    Restart {
        /// Thread.
        tid: i32,
        /// Function of the new program.
        function: String,
        /// What is in the way of giving up its frames.
        frame: Box<FrameBlocker>,
        /// Whether it may be otherwise a moment later.
        passing: bool,
        /// Lines of a spec that would answer it.
        answers: Vec<String>,
    },
    /// A thread is at a place that is never safe (loader, PLT, unwinder, exit); waiting may help.
    #[error("thread {tid} is inside {what} at {address:?}")]
    UnsafePlace {
        /// Thread.
        tid: i32,
        /// Which place.
        what: String,
        /// Program counter.
        address: RunAddress,
    },
    /// A thread's stack cannot be followed to its end, so that nothing can be said about what is active.
    #[error("the stack of thread {tid} cannot be followed beyond {address}: {reason}")]
    Unwinding {
        /// Thread.
        tid: i32,
        /// Program counter of the last frame that was found.
        address: RunAddress,
        /// What is missing.
        reason: String,
    },
    /// A kind of program or process that is outside what an update handles.
    #[error("{what} is not supported: expected {expected}, found {found}")]
    Unsupported {
        /// What it is about.
        what: String,
        /// What an update handles.
        expected: String,
        /// What is there.
        found: String,
    },
    /// The new program needs a library that is not loaded.
    #[error("the new program needs the library {library}, which the process has not loaded")]
    NewLibrary {
        /// DT_NEEDED of the new program.
        library: String,
    },
    /// A variable in use whose type or size differs.
    #[error("variable `{name}` changes at {place}: {old} becomes {new}, and its value cannot be carried")]
    ChangedVariable {
        /// Name of the variable.
        name: String,
        /// Member or aspect that differs first.
        place: String,
        /// The old build's side.
        old: String,
        /// The new build's side.
        new: String,
        /// Source file and line of the old declaration.
        declared: (String, u64),
    },
    /// A variable of the old program without one partner in the new one, whose value is not the initial one.
    #[error("variable `{name}` of {unit} has {} possible partners in the new program ({})", candidates.len(), candidates.join(", "))]
    AmbiguousVariable {
        /// Name of the variable.
        name: String,
        /// Its source file.
        unit: String,
        /// Variables of the new program that it could be.
        candidates: Vec<String>,
        /// The line of a spec that says so, for each of them.
        answers: Vec<String>,
    },
    /// A constructor that is new or changed: it would have run at the start of the new program, and will not.
    #[error("constructor `{function}` ({place}) {change}, and constructors do not run in an update")]
    Constructor {
        /// Function of the new program.
        function: String,
        /// Source file and line.
        place: String,
        /// `is new` or `changes`, and through which function.
        change: String,
        /// The line of a spec that does without it.
        answers: Vec<String>,
    },
    /// Code that computes with an address as with a number, as a table keyed by addresses does.
    #[error("`{function}` ({place}) computes with the address of {object} as with a number, and the address changes")]
    AddressAsNumber {
        /// Function of the old program.
        function: String,
        /// Its entry.
        #[serde(skip)]
        entry: LinkAddress,
        /// Source file and line.
        place: String,
        /// What the address is of.
        object: String,
        /// Lines of a spec that answer it.
        answers: Vec<String>,
    },
    /// A symbol that the new program needs and no loaded module defines.
    #[error("no loaded module defines `{symbol}`{}", version.as_ref().map_or(String::new(), |version| format!(" (version {version})")))]
    UnresolvedSymbol {
        /// Symbol.
        symbol: String,
        /// Version.
        version: Option<String>,
    },
    /// A dynamic relocation of the new program that cannot be applied.
    #[error("relocation type {relocation} of the new program at {address}{} is not supported", symbol.as_ref().map_or(String::new(), |symbol| format!(" (`{symbol}`)")))]
    Relocation {
        /// R_X86_64_….
        relocation: u32,
        /// Link-time address.
        address: RunAddress,
        /// Its symbol.
        symbol: Option<String>,
    },
    /// The loader's record of the program is not laid out as any glibc that is known.
    #[error("the loader's record of the program is not understood: {what} ({libc})")]
    LoaderRecord {
        /// What was not found, or found twice.
        what: String,
        /// The C library's file.
        libc: String,
    },
    /// No free range for the new program.
    #[error("no free range of {length} bytes for the new program")]
    NoRoom {
        /// Bytes needed.
        length: u64,
    },
    /// A fixed-address program that is larger than what lies behind it leaves room for.
    #[error("the new program goes from {} to {}, and {what} is in the way at {}: it does not grow by {length} bytes", needed.start, needed.end, taken.start)]
    NoRoomInPlace {
        /// Where it must go.
        needed: RunRange,
        /// What is in the way.
        what: String,
        /// Where that is.
        taken: RunRange,
        /// Bytes that it grows by beyond the old program's end.
        length: u64,
    },
    /// A word that points into the old program and whose meaning no rule decides.
    #[error("{holder} holds {value}, {reason}{}", more_words(*others))]
    Pointer {
        /// What holds the word.
        holder: String,
        /// Address of the word, when it is in memory.
        address: Option<RunAddress>,
        /// The word.
        value: RunAddress,
        /// Whether it is a register or a word on a stack: it may be gone a moment later.
        passing: bool,
        /// How many other words of the kind hold the same.
        others: u64,
        /// What is in the way.
        #[serde(flatten)]
        reason: PointerReason,
    },
    /// Bytes of the old program's writable data that belong to no known variable and differ from their initial value.
    #[error("{length} bytes at {address} in `{section}` of the old program changed, and belong to no variable")]
    UnknownData {
        /// Run-time address.
        address: RunAddress,
        /// Section.
        section: String,
        /// How many bytes from the first to the last that differ.
        length: u64,
    },
    /// Something about data that only the user knows, and of which objects are in use.
    #[error("{question}; the first of its objects is at {object}")]
    Question {
        /// What is asked.
        question: String,
        /// The kind of rule that answers it.
        needs: &'static str,
        /// An object that needs the answer.
        object: RunAddress,
        /// The line of a spec that answers it, to be completed.
        answers: Vec<String>,
    },
    /// Something that keeps the objects of changed types from being found, all of them and with certainty.
    #[error("{problem}")]
    Walk {
        /// What it is.
        problem: Problem,
        /// Lines of a spec that would help.
        answers: Vec<String>,
    },
    /// A block of the heap that could hold an object of a changed type, and that evidence alone clears, where proof is asked for.
    #[error("only evidence says that the block of {usable} bytes at {address} holds no object that changes: {reason}")]
    Cleared {
        /// The block.
        address: RunAddress,
        /// Bytes that it has.
        usable: u64,
        /// The evidence.
        reason: String,
        /// The line of a spec that takes it as enough.
        answers: Vec<String>,
    },
    /// An object of a changed type that cannot become one of the new type.
    #[error("{problem}")]
    Object {
        /// What stands against it.
        problem: String,
        /// The object.
        object: RunAddress,
        /// Whether it is on a stack: it may be gone a moment later.
        passing: bool,
        /// Lines of a spec that would help.
        answers: Vec<String>,
    },
    /// A plugin that did not make its objects.
    #[error("{problem}")]
    Plugin {
        /// What happened.
        problem: String,
    },
    /// Thread-local storage of the new program that does not fit where the old one's is.
    #[error("thread-local storage: {what}: {old} bytes become {new}, {room} are available")]
    ThreadLocal {
        /// What is in the way.
        what: String,
        /// Bytes used by the old program.
        old: u64,
        /// Bytes needed by the new program.
        new: u64,
        /// Bytes available.
        room: u64,
    },
}

/// Why a pointer is not decided.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, serde::Serialize)]
#[serde(tag = "problem", rename_all = "kebab-case")]
pub enum PointerReason {
    /// It ends one object and starts another (PROOF 1.2).
    #[error("which is both the end of `{before}` and the start of `{after}`; these part in the new program")]
    Boundary {
        /// Object that ends there.
        before: String,
        /// Object that starts there.
        after: String,
    },
    /// It points into a table whose rows changed, at a row without one equal in the new table (PROOF 1.1).
    #[error("row {row} of `{table}`, whose rows change: {matches} rows of the new table match it")]
    Table {
        /// Name of the table.
        table: String,
        /// Row.
        row: u64,
        /// Rows of the new table that could be it.
        matches: u64,
    },
    /// A code address inside a function that changes (PROOF 1.3).
    #[error("a place inside `{function}` (+{offset:#x}), which changes")]
    InsideFunction {
        /// Function.
        function: String,
        /// Bytes from its entry.
        offset: u64,
    },
    /// What it points to is not in the new program.
    #[error("which is `{symbol}` of {unit}; the new program has no such {what}")]
    Gone {
        /// `function` or `variable`.
        what: &'static str,
        /// Name.
        symbol: String,
        /// Source file.
        unit: String,
        /// The line of a spec that pairs it, its right side left open.
        answers: Vec<String>,
    },
    /// What it points to has several possible partners.
    #[error("which is `{symbol}`; it could be any of {} in the new program", candidates.join(", "))]
    Ambiguous {
        /// Name.
        symbol: String,
        /// Candidates in the new program.
        candidates: Vec<String>,
        /// The line of a spec that names it, for each of them.
        answers: Vec<String>,
    },
    /// It points to an object whose layout differs.
    #[error("which is {offset:#x} bytes into `{symbol}`, whose layout changes")]
    ChangedLayout {
        /// Object.
        symbol: String,
        /// Offset in bytes.
        offset: u64,
    },
    /// It points into an object whose type changes, at a place that nothing decides.
    #[error("which is {offset:#x} bytes into the `{kind}` at {object}: {reason}")]
    Object {
        /// The object's type.
        kind: String,
        /// Its address.
        object: RunAddress,
        /// Offset in bytes.
        offset: u64,
        /// What is not known.
        reason: &'static str,
    },
    /// It points to an object that needs a larger block, and whoever holds it cannot be told the address of one that is yet to be made.
    #[error("which is an object that outgrows its block; what holds it cannot follow")]
    NewBlock,
    /// It points into the frame of a function that changes, to bytes of no variable that both builds have in memory.
    #[error("which is {offset} bytes from the frame address of `{function}`, which changes: {what}")]
    Frame {
        /// Function.
        function: String,
        /// Bytes from its canonical frame address.
        offset: i64,
        /// What is not known.
        what: &'static str,
    },
    /// It points to no function or variable.
    #[error("which is in `{section}` of the old program but in no known function or variable")]
    Unknown {
        /// Section, or what the place is.
        section: String,
    },
    /// A thread's stack is a variable that would come to lie off its alignment: what signal frames and vector code rely on.
    #[error("which is in `{symbol}`: a stack in use, and its address is aligned otherwise in the new program")]
    StackAlignment {
        /// The variable.
        symbol: String,
    },
    /// A number in the range of a fixed-address program, of which no type says whether it is an address (PROOF 1.5).
    #[error("which may be a number as well as {symbol} of the old program, at a fixed address: {evidence}")]
    Untyped {
        /// What it would point to.
        symbol: String,
        /// What is known of the word.
        evidence: &'static str,
    },
    /// It lies where a rewritten word would change what another process or the kernel sees.
    #[error("which points to {symbol} of the old program; what others may read as well cannot be rewritten")]
    InTransit {
        /// What it points to.
        symbol: String,
    },
}

fn more_words(others: u64) -> String {
    match others {
        0 => String::new(),
        1 => " (another word does, too)".to_owned(),
        others => format!(" ({others} other words do, too)"),
    }
}

impl Blocker {
    /// Whether the same plan may succeed a moment later, once threads have gone on.
    pub fn is_transient(&self) -> bool {
        match self {
            Blocker::ActiveFunction { .. } | Blocker::Frame { .. } | Blocker::UnsafePlace { .. } | Blocker::Unwinding { .. } => {
                true
            }
            Blocker::Pointer { passing, .. } | Blocker::Object { passing, .. } | Blocker::Restart { passing, .. } => *passing,
            Blocker::Walk { problem, .. } => problem.is_passing(),
            _ => false,
        }
    }

    /// Lines of a spec of which one would answer it, with their tables: `[pair.globals] "a" = "b"`.
    pub fn answers(&self) -> &[String] {
        match self {
            Blocker::ActiveFunction { answers, .. }
            | Blocker::AmbiguousVariable { answers, .. }
            | Blocker::AddressAsNumber { answers, .. }
            | Blocker::Constructor { answers, .. }
            | Blocker::Question { answers, .. }
            | Blocker::Walk { answers, .. }
            | Blocker::Cleared { answers, .. }
            | Blocker::Object { answers, .. }
            | Blocker::Restart { answers, .. }
            | Blocker::Pointer {
                reason: PointerReason::Gone { answers, .. } | PointerReason::Ambiguous { answers, .. }, ..
            } => answers,
            Blocker::Frame { frame, .. } => frame.answer.as_slice(),
            _ => &[],
        }
    }
}

/// Why there is no plan.
#[derive(Debug, thiserror::Error)]
pub enum PlanError {
    /// The update is blocked; the process is untouched.
    #[error("{} blockers", .0.len())]
    Blocked(Vec<Blocker>),
    /// Memory of the process or image could not be read.
    #[error(transparent)]
    Source(#[from] super::source::SourceError),
}
