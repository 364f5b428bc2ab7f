//! Why a frame of a changed function cannot go on in the new code.

use std::fmt;

use super::continuation::Continuation;
use crate::program::address::LinkAddress;
use crate::program::build::Build;

/// A place in code.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct CodePlace {
    /// Address in its build.
    #[serde(serialize_with = "as_text")]
    pub address: LinkAddress,
    /// Source file and line, `f.c:12`.
    pub line: Option<String>,
}

/// What stands against one frame.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct FrameBlocker {
    /// The function.
    pub function: String,
    /// Where the frame goes on in the old code.
    pub old: CodePlace,
    /// Where it would go on in the new code, if that is known.
    pub new: Option<CodePlace>,
    /// The register or slot of the new frame that it is about: `rbx`, `cfa-24`.
    pub location: Option<String>,
    /// An instruction of the new code that reads it.
    pub reader: Option<CodePlace>,
    /// What is not proved.
    pub reason: String,
    /// The line of a spec that would answer it.
    pub answer: Option<String>,
}

impl CodePlace {
    /// The place `address` of `build`.
    pub fn new(build: &Build, address: LinkAddress) -> Self {
        // A return address belongs to the line of its call.
        Self { address, line: line(build, address) }
    }

    /// Where a frame goes on in the new build.
    pub fn of(build: &Build, continuation: &Continuation) -> Self {
        Self { address: continuation.returns_to.0, line: line(build, continuation.lookup()) }
    }

    /// The place `address` of `build` that a call returns to: its line is the call's.
    pub fn after_call(build: &Build, address: LinkAddress) -> Self {
        Self { address, line: line(build, LinkAddress(address.0.wrapping_sub(1))) }
    }
}

fn as_text<S: serde::Serializer>(address: &LinkAddress, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(address)
}

fn line(build: &Build, address: LinkAddress) -> Option<String> {
    build.line_at(address).map(|(file, line)| format!("{file}:{line}"))
}

impl fmt::Display for CodePlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.line {
            Some(line) => f.write_str(line),
            None => self.address.fmt(f),
        }
    }
}

impl fmt::Display for FrameBlocker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` at {}", self.function, self.old)?;
        if let Some(new) = &self.new {
            write!(f, " (new: {new})")?;
        }
        f.write_str(": ")?;
        if let Some(location) = &self.location {
            write!(f, "{location}")?;
            match &self.reader {
                Some(reader) => write!(f, ", read at {reader}: ")?,
                None => f.write_str(": ")?,
            }
        }
        f.write_str(&self.reason)
    }
}
