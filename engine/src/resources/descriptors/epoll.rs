//! `epoll_create(2)` and what it watches. The user data of each watch is a word of the program's.

use std::os::fd::OwnedFd;

use dsu_formats::model::latest::{DescriptionId, Descriptors, EpollWatch, Kind};
use nix::sys::epoll::{Epoll, EpollCreateFlags};

use super::super::error::{Obstacle, ResourceError};
use super::super::scratch::put;
use super::fdinfo::FdInfo;
use super::give_back::number_of;
use crate::tracee::batch::Batch;
use crate::tracee::calls;
use crate::tracee::inject::Injector;

pub(super) fn capture(info: &FdInfo) -> Kind {
    Kind::Epoll { watches: info.watches.clone() }
}

/// Finds the description that each watch is on: the number it was added under may have been closed or used again since.
pub(super) fn resolve(pid: i32, found: &mut Descriptors) -> Result<(), ResourceError> {
    let Some(table) = found.tables.first().cloned() else { return Ok(()) };
    for index in 0..found.descriptions.len() {
        let id = DescriptionId(index as u32);
        let Some(epoll) = table.descriptors.iter().find(|descriptor| descriptor.description == id) else { continue };
        let Kind::Epoll { watches } = &mut found.descriptions[index].kind else { continue };
        for at in 0..watches.len() {
            let number = watches[at].descriptor;
            let nth = watches[..at].iter().filter(|other| other.descriptor == number).count() as u32;
            let is_watched = |candidate: i32| calls::watches(pid, candidate, epoll.number, number, nth);
            // The usual case first: the number still leads to what it was added for.
            let usual = table.descriptors.iter().filter(|descriptor| descriptor.number == number);
            let others = table.descriptors.iter().filter(|descriptor| descriptor.number != number);
            for descriptor in usual.chain(others) {
                let same = is_watched(descriptor.number).map_err(|source| {
                    ResourceError::call("kcmp", format_args!("the watch on {number} of epoll {}", epoll.number), source)
                })?;
                if same {
                    watches[at].description = Some(descriptor.description);
                    break;
                }
            }
        }
        // The kernel lists them by address: an order of our own makes equal tables equal.
        watches.sort_by_key(|watch| watch.descriptor);
    }
    Ok(())
}

/// Why a fresh epoll cannot watch what this one did.
pub(super) fn obstacle(watches: &[EpollWatch], found: &Descriptors) -> Option<String> {
    let table = found.tables.first()?;
    watches.iter().find_map(|watch| {
        let holder = table.descriptors.iter().find(|descriptor| descriptor.number == watch.descriptor);
        match (watch.description, holder) {
            (None, _) => Some(format!("it watches what was descriptor {} and is open no more in this process", watch.descriptor)),
            (Some(description), Some(holder)) if holder.description == description => None,
            (Some(_), _) => {
                Some(format!("it watches what was added as descriptor {} and has another number now", watch.descriptor))
            }
        }
    })
}

pub(super) fn restore() -> Result<OwnedFd, ResourceError> {
    let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC);
    Ok(epoll.map_err(|source| ResourceError::call("epoll_create1", "a new descriptor", source))?.0)
}

/// Adds the watches of the epoll at `number`, once every descriptor is in its place: the kernel remembers the numbers.
pub(super) fn add_watches(injector: &mut dyn Injector, number: i32, watches: &[EpollWatch]) -> Result<(), ResourceError> {
    for watch in watches {
        let address = put(injector, 0, &event(watch))?;
        let arguments = [number as u64, libc::EPOLL_CTL_ADD as u64, watch.descriptor as u64, address];
        injector.leader_call("epoll_ctl", libc::SYS_epoll_ctl, &arguments)?;
    }
    Ok(())
}

/// Gives watches their words in a process that kept its epolls over an exec, where the kernel holds others: those of another
/// version of the program, on the way to it or back.
///
/// A watch that reported once and waits to be armed again (EPOLLONESHOT) stays disarmed; one by edge may report once more.
pub fn rewrite_words(batch: &mut Batch<'_>, wanted: &Descriptors) -> Result<(), ResourceError> {
    let watches = changed(&present(batch.pid(), wanted)?, wanted);
    for (index, number, watch) in watches {
        let epoll = number_of(wanted, index).unwrap_or(u64::MAX);
        // The kernel changes no exclusive watch: it is taken out and put in anew.
        let steps: &[i32] = if watch.events & libc::EPOLLEXCLUSIVE as u32 != 0 {
            &[libc::EPOLL_CTL_DEL, libc::EPOLL_CTL_ADD]
        } else {
            &[libc::EPOLL_CTL_MOD]
        };
        for operation in steps {
            batch.leader_with("epoll_ctl", libc::SYS_epoll_ctl, |at| {
                (event(&watch), [epoll, *operation as u64, number as u64, at])
            })?;
        }
    }
    Ok(())
}

/// `struct epoll_event`, which is packed on x86-64.
fn event(watch: &EpollWatch) -> Vec<u8> {
    [&watch.events.to_le_bytes()[..], &watch.data.to_le_bytes()].concat()
}

/// Watches whose word changes and that no call can reach, since their number leads elsewhere now.
pub fn blockers_of_rewrite(before: &Descriptors, after: &Descriptors) -> Vec<Obstacle> {
    let unreachable = changed(before, after).into_iter().filter(|(_, _, watch)| !reaches(after, watch));
    let obstacles = unreachable.map(|(index, number, watch)| Obstacle::Descriptor {
        number: number_of(after, index).map_or(-1, |number| number as i32),
        target: "epoll".to_owned(),
        reason: format!(
            "its word for what was added as descriptor {number} ({:#x}) must be rewritten, and that number leads elsewhere now",
            watch.data
        ),
    });
    obstacles.collect()
}

/// `wanted` with the watches that the kernel has now; what none of the process's numbers leads to stays.
fn present(pid: i32, wanted: &Descriptors) -> Result<Descriptors, ResourceError> {
    let mut now = wanted.clone();
    for (index, description) in now.descriptions.iter_mut().enumerate() {
        let (Kind::Epoll { watches }, Some(number)) = (&mut description.kind, number_of(wanted, index)) else { continue };
        *watches = FdInfo::read(pid, number as i32)?.watches;
        watches.sort_by_key(|watch| watch.descriptor);
    }
    Ok(now)
}

fn reaches(descriptors: &Descriptors, watch: &EpollWatch) -> bool {
    let holder = descriptors
        .tables
        .first()
        .and_then(|table| table.descriptors.iter().find(|descriptor| descriptor.number == watch.descriptor));
    holder.is_some_and(|descriptor| Some(descriptor.description) == watch.description)
}

/// Watches whose data differs: position of the epoll's description, number watched, the new watch.
fn changed(before: &Descriptors, after: &Descriptors) -> Vec<(usize, i32, EpollWatch)> {
    let mut found = Vec::new();
    for (index, (old, new)) in before.descriptions.iter().zip(&after.descriptions).enumerate() {
        let (Kind::Epoll { watches: old }, Kind::Epoll { watches: new }) = (&old.kind, &new.kind) else { continue };
        let differing = old.iter().zip(new).filter(|(old, new)| old.data != new.data);
        found.extend(differing.map(|(_, new)| (index, new.descriptor, *new)));
    }
    found
}
