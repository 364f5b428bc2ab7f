//! Things by name, and what a thing that is gone may be now.

use serde::Serialize;

use crate::plan::spec::names::{Named, written_among};

/// A function, variable or type.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Thing {
    /// As a spec names it.
    pub name: String,
    /// Source file of its declaration; empty when not known.
    pub file: String,
    /// Line of its declaration; 0 when not known.
    pub line: u64,
}

impl Thing {
    pub(super) fn of<T: Named>(list: &[T], index: usize) -> Option<Self> {
        let (file, line) = list.get(index)?.declared().clone();
        Some(Self { name: written_among(list, index)?, file, line })
    }

    /// Its name with the place of its declaration.
    pub fn describe(&self) -> String {
        match (self.file.is_empty(), self.line) {
            (true, _) => self.name.clone(),
            (false, 0) => format!("{} ({})", self.name, self.file),
            (false, line) => format!("{} ({}:{line})", self.name, self.file),
        }
    }
}

/// Something that the new program may have instead.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Candidate {
    /// As a spec names it.
    pub name: String,
    /// How much it is like the old one, in per cent.
    pub alike: u8,
}

/// Something that only the old program has.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Removed {
    /// The thing.
    #[serde(flatten)]
    pub thing: Thing,
    /// What it may be now, the most likely first.
    pub candidates: Vec<Candidate>,
}

/// Something of which neither name nor content tells what it is in the new program.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Ambiguous {
    /// The thing.
    #[serde(flatten)]
    pub thing: Thing,
    /// The lines of a spec of which one decides it.
    pub answers: Vec<String>,
}
