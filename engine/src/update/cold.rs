//! What a process made anew from an image cannot have.

use dsu_formats::model::latest::{Backing, Sharing, Snapshot};

use crate::resources::timers::Path;
use crate::resources::{self, Obstacle};

/// What already the capture can tell: no machine will restore this.
pub(super) fn obstacles_at_capture(snapshot: &Snapshot) -> Vec<Obstacle> {
    let Some(process) = snapshot.tree.processes.first() else { return Vec::new() };
    let (mut obstacles, _) = resources::descriptors::blockers_of_restore(&snapshot.descriptors, &process.filesystem.root, true);
    obstacles.extend(resources::descriptors::shared_with_others(process.pid, &snapshot.descriptors));
    obstacles.extend(of_the_process(snapshot));
    obstacles
}

/// What of an image no plan can look into, and what a restore of it will refuse.
pub(super) fn obstacles_of_image(snapshot: &Snapshot) -> (Vec<Obstacle>, Vec<Obstacle>) {
    let unsaved: Vec<Obstacle> = unsaved_memory(snapshot).collect();
    let others = of_the_process(snapshot).into_iter().filter(|obstacle| !unsaved.contains(obstacle)).collect();
    (unsaved, others)
}

/// What the machine of the restore lacks, and what the user should know.
pub(super) fn obstacles_at_restore(snapshot: &Snapshot) -> (Vec<Obstacle>, Vec<String>) {
    let Some(process) = snapshot.tree.processes.first() else { return (Vec::new(), Vec::new()) };
    let (mut obstacles, cautions) =
        resources::descriptors::blockers_of_restore(&snapshot.descriptors, &process.filesystem.root, false);
    obstacles.extend(resources::filesystem::blockers(&process.filesystem));
    obstacles.extend(of_the_process(snapshot));
    obstacles.extend(taken_ids(snapshot));
    (obstacles, cautions.iter().map(ToString::to_string).collect())
}

/// What of threads, timers, memory has no cold counterpart.
fn of_the_process(snapshot: &Snapshot) -> Vec<Obstacle> {
    let timers = snapshot.timers.iter().flat_map(|timers| resources::timers::blockers(timers, Path::Cold));
    let filters = snapshot.threads.iter().filter(|thread| thread.seccomp_mode != 0).map(|thread| Obstacle::Thread {
        tid: thread.tid,
        reason: "it runs under a seccomp filter, which a fresh process would not have".to_owned(),
    });
    let mappings = snapshot.address_spaces.iter().flat_map(|space| &space.mappings);
    let segments = mappings.filter_map(|mapping| {
        let Backing::SysV { id, .. } = mapping.backing else { return None };
        Some(Obstacle::Mapping {
            range: mapping.range,
            what: format!("System V segment {id}"),
            reason: "it is shared memory of the whole system, which is not made anew".to_owned(),
        })
    });
    let children = snapshot.tree.processes.iter().flat_map(|process| &process.children).map(|pid| Obstacle::Attribute {
        attribute: "child process",
        value: pid.to_string(),
        reason: "it is no part of the image, and a fresh process has no children".to_owned(),
    });
    timers
        .chain(filters)
        .chain(segments)
        .chain(children)
        .chain(parent_death_signals(snapshot))
        .chain(unsaved_memory(snapshot))
        .collect()
}

/// The signal waits for the end of a parent that a fresh process does not have; set again, it would come when `dsu` exits.
fn parent_death_signals(snapshot: &Snapshot) -> impl Iterator<Item = Obstacle> {
    snapshot.threads.iter().filter(|thread| thread.parent_death_signal != 0).map(|thread| Obstacle::Thread {
        tid: thread.tid,
        reason: format!(
            "it asked for signal {} at the death of its parent (PR_SET_PDEATHSIG), and a fresh process has another parent",
            thread.parent_death_signal
        ),
    })
}

/// Memory that images leave out by the program's wish would come back as zeros. The kernel makes its own mappings anew, and
/// a file keeps what was stored in it through a shared mapping.
fn unsaved_memory(snapshot: &Snapshot) -> impl Iterator<Item = Obstacle> {
    let mappings = snapshot.address_spaces.iter().flat_map(|space| &space.mappings);
    let only_here = mappings.filter(|mapping| match &mapping.backing {
        Backing::Vdso | Backing::Vvar { .. } | Backing::Vsyscall => false,
        Backing::File { deleted: false, .. } => mapping.sharing == Sharing::Private || mapping.flags.secret,
        _ => true,
    });
    only_here.filter_map(|mapping| {
        let reason = if mapping.flags.secret {
            "it is secret memory (memfd_secret), and images leave its content out"
        } else if mapping.flags.dont_dump {
            "it is kept out of dumps (MADV_DONTDUMP), and images leave its content out"
        } else {
            return None;
        };
        Some(Obstacle::Mapping { range: mapping.range, what: "memory outside the image".to_owned(), reason: reason.to_owned() })
    })
}

/// A process and its threads keep their IDs; another task must not have one of them.
fn taken_ids(snapshot: &Snapshot) -> Vec<Obstacle> {
    let taken = snapshot.threads.iter().filter(|thread| std::fs::exists(format!("/proc/{}", thread.tid)).unwrap_or(true));
    taken.map(|thread| Obstacle::Thread { tid: thread.tid, reason: "another task has this ID now".to_owned() }).collect()
}
