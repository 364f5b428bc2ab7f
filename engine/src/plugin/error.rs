//! Why a plugin cannot be used, or did not do its work. Each is a blocker: the process is untouched.

use std::path::PathBuf;
use std::time::Duration;

use dsu_formats::address::RunAddress;
use dsu_formats::plugin::frame::FrameError;

use crate::plan::source::SourceError;

/// A plugin failed.
#[derive(Debug, thiserror::Error)]
pub enum PluginError {
    /// It cannot be started.
    #[error("cannot start the plugin {}", path.display())]
    Start {
        /// The plugin's file.
        path: PathBuf,
        /// Cause.
        #[source]
        source: std::io::Error,
    },
    /// It ended before its work was done.
    #[error("the plugin {name} ended while it had to {step} ({status}){}", said(stderr))]
    Ended {
        /// The plugin.
        name: String,
        /// What it had to do.
        step: &'static str,
        /// Exit code or signal.
        status: String,
        /// The end of what it wrote to standard error.
        stderr: String,
    },
    /// It does not answer.
    #[error("the plugin {name} did not {step} within {} s", limit.as_secs_f64())]
    Silent {
        /// The plugin.
        name: String,
        /// What it had to do.
        step: &'static str,
        /// How long it had.
        limit: Duration,
    },
    /// It sends what is no message, or the pipe to it fails.
    #[error("what the plugin {name} sends cannot be understood")]
    Frame {
        /// The plugin.
        name: String,
        /// Cause.
        #[source]
        source: FrameError,
    },
    /// It speaks another version of the protocol.
    #[error("the plugin {name} speaks version {found} of the plugin protocol; this dsu speaks {oldest} to {newest}")]
    Version {
        /// The plugin.
        name: String,
        /// Its version.
        found: u16,
        /// Oldest version of this dsu.
        oldest: u16,
        /// Newest version of this dsu.
        newest: u16,
    },
    /// It names a type that a build does not have, or has several of.
    #[error("the plugin {name} names the type `{kind}`, which the {build} program {problem}")]
    Type {
        /// The plugin.
        name: String,
        /// The type.
        kind: String,
        /// `old` or `new`.
        build: &'static str,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// It rewrites other types than the spec says.
    #[error("the plugin {name} and `{kind}`: {problem}")]
    Assignment {
        /// The plugin.
        name: String,
        /// The type.
        kind: String,
        /// What does not agree.
        problem: &'static str,
    },
    /// An object that it is to rewrite cannot be read.
    #[error("`{kind}` at {address}, which the plugin {name} is to rewrite, cannot be read")]
    Memory {
        /// The plugin.
        name: String,
        /// The type.
        kind: String,
        /// The object.
        address: RunAddress,
        /// Cause.
        #[source]
        source: SourceError,
    },
    /// Its answer is not what was asked for.
    #[error("the plugin {name} answers wrongly: {what}: expected {expected}, found {found}")]
    Answer {
        /// The plugin.
        name: String,
        /// What was compared.
        what: &'static str,
        /// What an honest plugin sends.
        expected: String,
        /// What it sent.
        found: String,
    },
    /// It will not rewrite an object.
    #[error("the plugin {name} refuses `{kind}` at {address}: {reason}")]
    Refused {
        /// The plugin.
        name: String,
        /// Type of the object; empty if it is about none.
        kind: String,
        /// Address of the object; 0 if it is about none.
        address: RunAddress,
        /// The plugin's own words.
        reason: String,
    },
}

fn said(stderr: &str) -> String {
    if stderr.is_empty() { String::new() } else { format!("; it said: {stderr}") }
}
