//! Descriptor tables for people.

use std::fmt::Write;

use dsu_formats::model::latest::{Description, Descriptors, FileIdentity, Kind, PipeEnd, Socket, SocketState};

use super::address;
use crate::cli::output::human;

/// Every table, a line for each descriptor.
pub fn tables(text: &mut String, descriptors: &Descriptors) {
    for (index, table) in descriptors.tables.iter().enumerate() {
        let _ = writeln!(text, "\ndescriptor table {index} ({})", table.descriptors.len());
        for descriptor in &table.descriptors {
            let number = descriptor.description.0;
            let what = match descriptors.descriptions.get(number as usize) {
                Some(description) => self::description(description),
                None => "refers to no open description of the image".to_owned(),
            };
            let close = if descriptor.close_on_exec { "  close-on-exec" } else { "" };
            let _ = writeln!(text, "  {:>5} -> #{number:<4} {what}{close}", descriptor.number);
        }
    }
}

fn description(description: &Description) -> String {
    let mut text = kind(&description.kind);
    if description.position != 0 {
        let _ = write!(text, ", at {}", description.position);
    }
    let _ = write!(text, ", flags {:#o}", description.flags);
    if !description.locks.is_empty() {
        let _ = write!(text, ", {}", human::count(description.locks.len() as u64, "lock"));
    }
    text
}

fn kind(kind: &Kind) -> String {
    let named = |what: &str, file: &FileIdentity| {
        format!("{what} {}{}", human::text(&file.path), if file.deleted { " (deleted)" } else { "" })
    };
    match kind {
        Kind::Regular(file) => format!("{}, {}", named("file", file), human::size(file.size)),
        Kind::Directory(file) => named("directory", file),
        Kind::Path(file) => named("path", file),
        Kind::PlainDevice { file, .. } | Kind::Device { file, .. } => named("device", file),
        Kind::Terminal { file, .. } => named("terminal", file),
        Kind::Pipe { inode, end, contents, .. } => {
            format!("pipe {inode}, {}, {}", end_name(*end), human::count(contents.len() as u64, "byte"))
        }
        Kind::Fifo { file, end, contents, .. } => {
            format!("{}, {}, {}", named("fifo", file), end_name(*end), human::count(contents.len() as u64, "byte"))
        }
        Kind::EventFd { count, semaphore } => format!("eventfd {count}{}", if *semaphore { " (semaphore)" } else { "" }),
        Kind::TimerFd { clock, value_ns, interval_ns, .. } => {
            let (value, period) = (*value_ns as f64 / 1e6, *interval_ns as f64 / 1e6);
            format!("timerfd, clock {clock}, in {value:.3} ms, every {period:.3} ms")
        }
        Kind::SignalFd { mask } => format!("signalfd, mask {mask:#x}"),
        Kind::Epoll { watches } => {
            let numbers: Vec<String> = watches.iter().map(|watch| watch.descriptor.to_string()).collect();
            format!("epoll of {}", if numbers.is_empty() { "nothing".to_owned() } else { numbers.join(", ") })
        }
        Kind::MemFd { name, size, .. } => format!("memfd {}, {}", human::text(name), human::size(*size)),
        Kind::Socket(socket) => self::socket(socket),
        Kind::PidFd { pid } => format!("pidfd of process {pid}"),
        Kind::Inotify { watches } => format!("inotify, {}", human::count(watches.len() as u64, "watch line")),
        Kind::Fanotify { marks } => format!("fanotify, {}", human::count(marks.len() as u64, "mark line")),
        Kind::Namespace { target } => format!("namespace {}", human::text(target)),
        Kind::BoundToMemory { name } => format!("bound to the memory: {}", human::printable(name)),
        Kind::Unknown { name } => format!("unknown kind: {}", human::printable(name)),
    }
}

fn end_name(end: PipeEnd) -> &'static str {
    match end {
        PipeEnd::Read => "read end",
        PipeEnd::Write => "write end",
        PipeEnd::Both => "both ends",
    }
}

fn socket(socket: &Socket) -> String {
    let state = match socket.state {
        SocketState::Unbound => "unbound",
        SocketState::Bound => "bound",
        SocketState::Listening => "listening",
        SocketState::Connected => "connected",
        SocketState::Transient => "in transition",
    };
    let mut text = format!("socket, {} {}, {state}", address::family(socket.family), address::kind(socket.kind));
    for (what, bytes) in [("at", &socket.local), ("to", &socket.peer)] {
        if let Some(name) = address::text(bytes) {
            let _ = write!(text, ", {what} {name}");
        }
    }
    text
}
