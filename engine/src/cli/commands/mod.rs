//! One file for each command: what it asks the library for, and its answer.

pub mod checkpoint;
pub mod diff;
pub mod doctor;
pub mod inspect;
pub mod plan;
pub mod plugin_sandbox;
pub mod recover;
pub mod restore;
pub mod transform;
pub mod update;
pub mod verify;

use std::io;
use std::path::Path;

use dsu_formats::spec::Spec;
use nix::unistd::{AccessFlags, access};

use super::failure::{Exit, Failure, file_failure, spec_failure};

/// Refuses a place where no image can be written, before any process is touched.
fn check_destination(path: &Path) -> Result<(), Box<Failure>> {
    let failed = |error: io::Error| Box::new(file_failure("write the image", path, &error));
    if path.is_dir() {
        return Err(failed(nix::errno::Errno::EISDIR.into()));
    }
    let directory = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    access(directory, AccessFlags::W_OK | AccessFlags::X_OK).map_err(|errno| failed(errno.into()))
}

/// Reads a spec, before any process is touched.
fn read_spec(path: Option<&Path>) -> Result<Option<Spec>, Box<Failure>> {
    path.map(Spec::open).transpose().map_err(|error| Box::new(spec_failure(&error)))
}

/// Refuses what cannot be a program, before any process is touched. Opening a FIFO would wait for its other end.
fn check_program(path: &Path) -> Result<(), Box<Failure>> {
    let failed = |error: io::Error| Box::new(file_failure("use the program", path, &error));
    if std::fs::metadata(path).map_err(failed)?.is_file() {
        return Ok(());
    }
    let message = format!("the program `{}` is not a regular file", path.display());
    Err(Box::new(Failure::new(Exit::Failed, "wrong-path", message, "name the compiled program itself")))
}
