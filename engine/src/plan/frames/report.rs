//! What becomes of every frame of every thread, for people and programs.

use std::sync::Mutex;

/// Collects the reports of one plan; those of an earlier try give way.
#[derive(Debug, Default)]
pub struct StackReports(Mutex<Vec<ThreadReport>>);

impl StackReports {
    /// Takes the reports of a plan.
    pub fn set(&self, reports: Vec<ThreadReport>) {
        *self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = reports;
    }

    /// Gives the reports of the last plan.
    pub fn take(&self) -> Vec<ThreadReport> {
        std::mem::take(&mut self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner))
    }
}

/// One thread.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct ThreadReport {
    /// Thread ID.
    pub tid: i32,
    /// Its frames, innermost first.
    pub frames: Vec<FrameReport>,
}

/// One frame.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct FrameReport {
    /// Its function.
    pub function: String,
    /// What becomes of it.
    pub fate: FrameFate,
    /// Where it was.
    pub old: PlaceReport,
    /// Where it will be; a blocked frame is nowhere.
    pub new: Option<PlaceReport>,
    /// `program`, or the library's path.
    pub module: String,
    /// What is filled in.
    pub values: Vec<ValueReport>,
    /// Variables that are in memory in both frames.
    pub objects: Vec<ObjectReport>,
    /// What stands against it.
    pub blockers: Vec<String>,
    /// Where its thread would be let on to by single instructions, because it can go on from there.
    pub next_point: Option<NextPoint>,
}

/// A point ahead of a thread that cannot go on where it is.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct NextPoint {
    /// A run-time address of the old program.
    pub pc: String,
    /// Source file and line.
    pub line: Option<String>,
    /// How many instructions of its function away it is, by the shortest way.
    pub instructions: usize,
}

/// What becomes of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum FrameFate {
    /// It keeps its bytes.
    Carried,
    /// It is made for the new code.
    Rebuilt,
    /// The thread enters its function, as the spec wants it.
    Entered,
    /// It is gone: the thread enters a function in the place of what called it.
    Dropped,
    /// It cannot go on.
    Blocked,
}

/// Where a frame is.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct PlaceReport {
    /// Where it goes on, a run-time address.
    pub pc: String,
    /// Its canonical frame address.
    pub cfa: String,
    /// Source file and line.
    pub line: Option<String>,
}

/// A value of a rebuilt frame.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct ValueReport {
    /// `rbx`, `cfa-24`.
    pub place: String,
    /// Length in bytes.
    pub length: u8,
    /// The bits of it that are read.
    pub bits: String,
    /// What is stored.
    pub value: Option<String>,
    /// Which rule proves it.
    pub why: String,
    /// An instruction that reads it.
    pub reader: String,
}

/// A variable that is in memory in both frames.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct ObjectReport {
    /// Its name.
    pub name: String,
    /// Where it was: `cfa-96`.
    pub old: String,
    /// Where it will be.
    pub new: String,
    /// Bytes that it had.
    pub old_length: u64,
    /// Bytes that it will have.
    pub new_length: u64,
    /// Its new bytes, in hexadecimal.
    pub bytes: Option<String>,
}
