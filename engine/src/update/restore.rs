//! `restore`: a process from an image, after the one that was saved is gone.

use std::fs::File;
use std::os::fd::AsFd;
use std::path::Path;

use dsu_formats::address::{RunAddress, RunRange};
use dsu_formats::image::{ImageReader, verify};
use dsu_formats::model::latest::{Backing, Snapshot};

use super::cold;
use super::error::UpdateError;
use super::lock::ProcessLock;
use super::operation::{Observer, RestoreRequest, Restored};
use super::stored::work::Work;
use super::timeline::Timeline;
use crate::resources::memory::{capture_mappings, read_layout};
use crate::resources::{self, Obstacle, ResourceError};
use crate::tracee::error::TraceeError;
use crate::tracee::last_pid;
use crate::tracee::memory::RemoteMemory;
use crate::tracee::site::site_length;
use crate::tracee::spawn::{Parentage, spawn};
use crate::vessel::error::VesselError;
use crate::vessel::files::MappedFiles;
use crate::vessel::pages::PageProvider;
use crate::vessel::restore::{self as vessel, Origin, Restore};
use crate::vessel::{site, stub};

/// Starts a process from an image.
pub fn restore(request: &RestoreRequest, observer: &mut dyn Observer) -> Result<Restored, UpdateError> {
    let mut timeline = Timeline::start();
    observer.step("read image");
    let reader = open_image(&request.image)?;
    let snapshot = reader.snapshot();
    check_image(&reader, &request.image)?;
    let work = Work::of(reader.work())
        .map_err(|error| UpdateError::Unsound { path: request.image.clone(), findings: vec![error.to_string()] })?;
    let pid = snapshot.threads.first().map_or(0, |leader| leader.tid);
    let _lock = ProcessLock::acquire(pid)?;
    let (mut obstacles, warnings) = cold::obstacles_at_restore(snapshot);
    obstacles.extend(resources::host::blockers(&snapshot.manifest.host, &this_host(snapshot)?));
    let files = match reopen(snapshot) {
        Ok(files) => files,
        Err(more) => {
            obstacles.extend(more);
            MappedFiles::default()
        }
    };
    if !obstacles.is_empty() {
        return Err(UpdateError::Blocked { blockers: Vec::new(), obstacles });
    }
    timeline.mark("check image");
    observer.step("restore");
    fill(&reader, &work, files, pid).map_err(|source| UpdateError::NotRestored { pid, source: Box::new(source) })?;
    timeline.mark("restore");
    Ok(Restored { pid, threads: snapshot.threads.len(), warnings, steps: timeline.steps().to_vec() })
}

/// Opens an image.
pub(super) fn open_image(path: &Path) -> Result<ImageReader, UpdateError> {
    let failed = |source| UpdateError::Image { operation: "read", path: Some(path.to_owned()), source: Box::new(source) };
    ImageReader::open(path).map_err(failed)
}

/// Nothing of a process is made from an image that does not hold together.
pub(super) fn check_image(reader: &ImageReader, path: &Path) -> Result<(), UpdateError> {
    let findings = verify(reader, None);
    if findings.is_empty() && reader.snapshot().tree.processes.len() == 1 {
        return Ok(());
    }
    let findings = findings.iter().map(ToString::to_string).collect();
    Err(UpdateError::Unsound { path: path.to_owned(), findings })
}

/// The machine as this process sees it.
pub(super) fn this_host(snapshot: &Snapshot) -> Result<dsu_formats::model::latest::Host, UpdateError> {
    let pid = std::process::id() as i32;
    let mappings = capture_mappings(pid, &[])?.mappings;
    let memory = RemoteMemory::open(pid)?;
    let host = resources::host::capture(&memory, &read_layout(pid)?, &mappings, &[])?;
    // The kernel refuses a register set with components that it has not enabled: no need to ask for them here.
    Ok(dsu_formats::model::latest::Host { xfeatures: snapshot.manifest.host.xfeatures, ..host })
}

/// Opens the files below all mappings, and makes shared memory anew.
fn reopen(snapshot: &Snapshot) -> Result<MappedFiles, Vec<Obstacle>> {
    let root = snapshot.tree.processes.first().map_or(&b"/"[..], |process| &process.filesystem.root);
    let mappings = snapshot.address_spaces.first().map_or(&[][..], |space| &space.mappings);
    let mut files = MappedFiles::default();
    let mut obstacles = Vec::new();
    for mapping in mappings.iter().filter(|mapping| files.get(mapping).is_none()).collect::<Vec<_>>() {
        let opened = match &mapping.backing {
            Backing::SharedAnonymous { inode, .. } => {
                let made = resources::memory::make_shared(resources::memory::shared_length(mappings, *inode));
                made.map(Some).map_err(|error| Obstacle::Mapping {
                    range: mapping.range,
                    what: "shared anonymous memory".to_owned(),
                    reason: error.to_string(),
                })
            }
            _ => resources::memory::reopen_mapped(mapping, root),
        };
        match opened {
            Ok(Some(file)) => files.add(mapping, file),
            Ok(None) => {}
            Err(obstacle) => obstacles.push(obstacle),
        }
    }
    if obstacles.is_empty() { Ok(files) } else { Err(obstacles) }
}

/// Makes the process, fills it, and lets it go. A process that cannot be finished is killed: nothing of it ever ran.
fn fill(reader: &ImageReader, work: &Work, mut files: MappedFiles, pid: i32) -> Result<(), VesselError> {
    let snapshot = reader.snapshot();
    let taken = snapshot.address_spaces.iter().flat_map(|space| &space.mappings).map(|mapping| mapping.range);
    let site: RunRange = site::choose(site_length(snapshot.threads.len()), taken)?;
    let stub = stub::make(site.start)?;
    let executable = executable(snapshot)?;
    last_pid::move_past(snapshot.threads.iter().map(|thread| thread.tid))?;
    let process = snapshot.tree.processes.first();
    let parentage = Parentage { leads_session: process.is_some_and(|process| process.sid == process.pid) };
    let mut emptied = spawn(pid, parentage, stub.as_fd(), site)?;
    let restored = (|| {
        let root = process.map_or(&b"/"[..], |process| &process.filesystem.root);
        let placed = resources::descriptors::bring_in(&mut emptied, &snapshot.descriptors, root)?;
        for restored in &placed.files {
            files.add_memory_file(restored.inode, &restored.file).map_err(|source| ResourceError::File {
                operation: "duplicate",
                path: "a memory file".into(),
                source,
            })?;
        }
        vessel::restore(
            &mut emptied,
            &Restore {
                snapshot,
                files: &files,
                pages: PageProvider::Image { reader, address_space: 0 },
                guards: &[],
                patches: &[],
                contents: &[],
                resolvers: &work.resolvers,
                allocations: work.allocations.as_ref(),
                calls: &work.calls,
                protect_after: &work.protect_after,
                executable: Some(executable.as_fd()),
                origin: Origin::Cold { descriptors: &placed },
            },
        )
    })();
    let gated = restored.and_then(|finals| emptied.gate(finals).map_err(|(_, error)| error.into()));
    let committed = gated.and_then(|gated| match gated.commit() {
        Err((Some(_), error)) => Err(VesselError::from(error)),
        Ok(()) | Err((None, _)) => Ok(()),
    });
    if committed.is_err() {
        crate::tracee::spawn::discard(pid);
    }
    committed
}

fn executable(snapshot: &Snapshot) -> Result<File, VesselError> {
    use std::os::unix::ffi::OsStrExt;
    let path = std::path::PathBuf::from(std::ffi::OsStr::from_bytes(&snapshot.manifest.program.path));
    File::open(&path).map_err(|source| {
        VesselError::Tracee(TraceeError::Memory {
            access: "open the program for",
            address: RunAddress(0),
            length: 0,
            pid: 0,
            source: std::io::Error::new(source.kind(), format!("{}: {source}", path.display())),
        })
    })
}
