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
use std::path::{Path, PathBuf};

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

/// Reads a spec, before any process is touched. `plugins` are programs of plugins that lie elsewhere than it says.
fn read_spec(path: Option<&Path>, plugins: &[PathBuf]) -> Result<Option<Spec>, Box<Failure>> {
    let mut spec = path.map(Spec::open).transpose().map_err(|error| Box::new(spec_failure(&error)))?;
    if let Some(spec) = &mut spec {
        plugins.iter().try_for_each(|plugin| place_plugin(spec, plugin))?;
    }
    Ok(spec)
}

/// Takes `program` for the plugins of its file name that the spec names.
fn place_plugin(spec: &mut Spec, program: &Path) -> Result<(), Box<Failure>> {
    check_program(program)?;
    let absolute = std::path::absolute(program).map_err(|error| Box::new(file_failure("find", program, &error)))?;
    let commands = spec.plugins.iter_mut().filter_map(|rule| rule.value.value.command.first_mut());
    let mut same: Vec<&mut String> = commands
        .map(|command| &mut command.value)
        .filter(|command| Path::new(command.as_str()).file_name() == absolute.file_name())
        .collect();
    match absolute.to_str() {
        Some(text) if !same.is_empty() => {
            same.iter_mut().for_each(|command| text.clone_into(command));
            Ok(())
        }
        _ => {
            let message = format!("the spec names no plugin whose program is called as `{}` is", program.display());
            Err(Box::new(Failure::new(
                Exit::Failed,
                "unknown-plugin",
                message,
                "[plugins] of the spec lists them by the types they rewrite",
            )))
        }
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plugin_that_lies_elsewhere_is_found_by_its_file_name() {
        let text = "[plugins]\n\"struct list\" = \"./true\"\n\"struct tree\" = { run = [\"/opt/sh\", \"-x\"] }\n";
        let mut spec = Spec::parse(Path::new("u.toml"), text).unwrap();
        place_plugin(&mut spec, Path::new("/bin/sh")).unwrap();
        place_plugin(&mut spec, Path::new("/bin/true")).unwrap();
        let commands: Vec<Vec<&str>> =
            spec.plugins.iter().map(|rule| rule.value.value.command.iter().map(|word| word.value.as_str()).collect()).collect();
        assert_eq!(commands, [vec!["/bin/true"], vec!["/bin/sh", "-x"]]);
        let unknown = place_plugin(&mut spec, Path::new("/bin/cat")).unwrap_err();
        assert!(unknown.message().contains("`/bin/cat`"), "{unknown:?}");
        assert!(place_plugin(&mut spec, Path::new("/nonexistent/sh")).is_err());
    }
}
