//! An image for people, section by section.

use std::fmt::Write;
use std::path::Path;

use dsu_formats::address::PAGE_SIZE;
use dsu_formats::image::ImageReader;
use dsu_formats::model::latest::{
    Credentials, Limits, Manifest, Process, ProcessSignals, ProcessTimers, Registers, Snapshot, Thread,
};
use nix::sys::signal::Signal;

use super::{PageCounts, descriptors, memory, rewritten};
use crate::cli::output::human::{self, Table};
use crate::cli::output::json;

/// Everything but pages; registers when they are asked for.
pub fn image(path: &Path, image: &ImageReader, registers: bool) -> String {
    let snapshot = image.snapshot();
    let mut text = String::new();
    header(&mut text, path, image);
    manifest(&mut text, &snapshot.manifest);
    for (index, process) in snapshot.tree.processes.iter().enumerate() {
        self::process(&mut text, snapshot, index, process);
    }
    threads(&mut text, &snapshot.threads, registers);
    memory::address_spaces(&mut text, snapshot);
    descriptors::tables(&mut text, &snapshot.descriptors);
    rewritten::parts(&mut text, image);
    text
}

fn header(text: &mut String, path: &Path, image: &ImageReader) {
    let header = image.header();
    let counts = PageCounts::of(image);
    let pages = |count: u64| format!("{count} ({})", human::size(count.saturating_mul(PAGE_SIZE)));
    let mut table = Table::default();
    table
        .row("format", format!("version {}, for readers from version {}", header.format_version, header.oldest_reader))
        .row("identity", format!("{:08x}", header.identity))
        .row("length", human::size(header.total_len))
        .row("pages stored", pages(counts.stored))
        .row("pages of zeros", pages(counts.zero));
    if counts.in_parent + counts.in_holder > 0 {
        table.row("pages in parent", pages(counts.in_parent)).row("pages in holder", pages(counts.in_holder));
    }
    let _ = write!(text, "image {}\n{}\nsections\n", human::printable(&path.display().to_string()), table.text());
    for section in image.sections() {
        let name = section.id.to_string();
        let required = if section.required { "" } else { "  optional" };
        let _ = writeln!(
            text,
            "  {name:14}  version {}  at {:>10}  {:>12}  crc {:08x}{required}",
            section.version,
            section.offset,
            human::size(section.len),
            section.crc
        );
    }
}

fn manifest(text: &mut String, manifest: &Manifest) {
    let program = &manifest.program;
    let mut table = Table::default();
    let deleted = if program.deleted { " (deleted)" } else { "" };
    table
        .row("program", format!("{}{deleted}", human::text(&program.path)))
        .row("build-id", program.build_id.as_deref().map_or_else(|| "none".to_owned(), json::hex))
        .row("made", format!("{} by dsu {}", human::time(manifest.created_ns), human::printable(&manifest.engine_version)))
        .row("host", format!("{}, Linux {}", human::printable(&manifest.host.hostname), human::printable(&manifest.host.kernel)))
        .row("processor", format!("{}, xfeatures {:#x}", human::printable(&manifest.host.cpu), manifest.host.xfeatures));
    if let Some(lineage) = &manifest.lineage {
        let (old, new) = (human::build_id(&lineage.old_build_id), human::build_id(&lineage.new_build_id));
        table.row("made from", format!("image {:08x}, {old} to {new}", lineage.parent));
    }
    let _ = write!(text, "\nmanifest\n{}", table.text());
}

fn process(text: &mut String, snapshot: &Snapshot, index: usize, process: &Process) {
    let mut table = Table::default();
    table
        .row("parent, group, session", format!("{}, {}, {}", process.ppid, process.pgid, process.sid))
        .row("directory", human::text(&process.filesystem.cwd))
        .row("root", human::text(&process.filesystem.root))
        .row("umask", format!("{:03o}", process.filesystem.umask));
    if !process.children.is_empty() {
        table.row("children outside", list(&process.children));
    }
    if let Some(credentials) = snapshot.credentials.get(index) {
        self::credentials(&mut table, credentials);
    }
    if let Some(signals) = snapshot.signals.get(index) {
        self::signals(&mut table, signals);
    }
    if let Some(timers) = snapshot.timers.get(index) {
        self::timers(&mut table, timers);
    }
    if let Some(limits) = snapshot.limits.get(index) {
        table.row("limits", self::limits(limits));
    }
    let generation = snapshot.generations.get(process.address_space as usize);
    table.row("updates so far", generation.map_or(0, |generation| generation.count).to_string());
    let _ = write!(text, "\nprocess {}\n{}", process.pid, table.text());
}

fn credentials(table: &mut Table, credentials: &Credentials) {
    table
        .row("user (r, e, s, fs)", list(&credentials.uids))
        .row("group (r, e, s, fs)", list(&credentials.gids))
        .row("further groups", list(&credentials.groups))
        .row("capabilities", format!("effective {:#x}", credentials.capabilities.effective));
}

fn signals(table: &mut Table, signals: &ProcessSignals) {
    const IGNORE: u64 = 1;
    let lines: Vec<String> = signals
        .handlers
        .iter()
        .map(|handler| match handler.handler.0 {
            IGNORE => format!("{} ignored", signal_name(handler.signal.into())),
            _ => format!("{} at {}, flags {:#x}", signal_name(handler.signal.into()), handler.handler, handler.flags),
        })
        .collect();
    table.row("signal handlers", if lines.is_empty() { "none".to_owned() } else { lines.join("\n") });
    if !signals.pending.is_empty() {
        let pending: Vec<String> = signals.pending.iter().map(|pending| signal_name(pending.signal())).collect();
        table.row("pending signals", pending.join(", "));
    }
}

fn timers(table: &mut Table, timers: &ProcessTimers) {
    let milliseconds = |ns: u64| ns as f64 / 1e6;
    for (name, timer) in ["real", "virtual", "prof"].iter().zip(&timers.interval).filter(|(_, timer)| timer.value_us != 0) {
        let (value, period) = (timer.value_us as f64 / 1e3, timer.interval_us as f64 / 1e3);
        table.row("interval timer", format!("{name}: in {value:.3} ms, every {period:.3} ms"));
    }
    for timer in &timers.posix {
        let (value, period) = (milliseconds(timer.value_ns), milliseconds(timer.interval_ns));
        table.row("posix timer", format!("{}: clock {}, in {value:.3} ms, every {period:.3} ms", timer.id, timer.clock));
    }
}

fn limits(limits: &Limits) -> String {
    /// Names by number (`bits/resource.h`).
    const NAMES: [&str; 16] = [
        "cpu",
        "fsize",
        "data",
        "stack",
        "core",
        "rss",
        "nproc",
        "nofile",
        "memlock",
        "as",
        "locks",
        "sigpending",
        "msgqueue",
        "nice",
        "rtprio",
        "rttime",
    ];
    let value = |value: u64| if value == u64::MAX { "unlimited".to_owned() } else { value.to_string() };
    let named = NAMES.iter().zip(&limits.limits).filter(|(_, limit)| limit.soft != u64::MAX || limit.hard != u64::MAX);
    let lines: Vec<String> =
        named.map(|(name, limit)| format!("{name} {} (hard {})", value(limit.soft), value(limit.hard))).collect();
    if lines.is_empty() { "none".to_owned() } else { lines.join("\n") }
}

fn threads(text: &mut String, threads: &[Thread], registers: bool) {
    let _ = writeln!(text, "\nthreads ({})", threads.len());
    for thread in threads {
        let place = match &thread.in_syscall {
            Some(call) => format!("in system call {}", call.number),
            None => "in user code".to_owned(),
        };
        let (ip, sp) = (thread.registers.rip, thread.registers.rsp);
        let name = human::text(&thread.name);
        let _ = writeln!(
            text,
            "  {:>7}  {name:16}  {place}, rip {ip:#x}, rsp {sp:#x}, blocked {:#x}",
            thread.tid, thread.signal_mask
        );
        if registers {
            self::registers(text, &thread.registers);
        }
    }
}

fn registers(text: &mut String, r: &Registers) {
    let named = [
        ("rax", r.rax),
        ("rbx", r.rbx),
        ("rcx", r.rcx),
        ("rdx", r.rdx),
        ("rsi", r.rsi),
        ("rdi", r.rdi),
        ("rbp", r.rbp),
        ("rsp", r.rsp),
        ("r8", r.r8),
        ("r9", r.r9),
        ("r10", r.r10),
        ("r11", r.r11),
        ("r12", r.r12),
        ("r13", r.r13),
        ("r14", r.r14),
        ("r15", r.r15),
        ("rip", r.rip),
        ("eflags", r.eflags),
        ("orig_rax", r.orig_rax),
        ("fs_base", r.fs_base),
        ("gs_base", r.gs_base),
        ("cs", r.cs),
        ("ss", r.ss),
        ("ds", r.ds),
        ("es", r.es),
        ("fs", r.fs),
        ("gs", r.gs),
    ];
    for row in named.chunks(4) {
        let cells: Vec<String> = row.iter().map(|(name, value)| format!("{name:>8} {value:016x}")).collect();
        let _ = writeln!(text, "           {}", cells.join(" "));
    }
}

fn signal_name(number: i32) -> String {
    match Signal::try_from(number) {
        Ok(signal) => signal.to_string(),
        Err(_) => format!("signal {number}"),
    }
}

fn list<T: ToString>(items: &[T]) -> String {
    if items.is_empty() { "none".to_owned() } else { items.iter().map(T::to_string).collect::<Vec<_>>().join(", ") }
}
