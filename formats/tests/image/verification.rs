//! Each check of the verifier finds what it is for, and names section and item.

use dsu_formats::address::{PAGE_SIZE, RunAddress, RunRange};
use dsu_formats::image::{MAX_FINDINGS, verify_snapshot};
use dsu_formats::model::latest::*;

use super::fixture::{self, HEAP, snapshot};

fn page_table() -> PageTable {
    fixture::image().page_table().clone()
}

fn findings(snapshot: &Snapshot, table: &PageTable) -> Vec<String> {
    verify_snapshot(snapshot, table).iter().map(ToString::to_string).collect()
}

type Change = fn(&mut Snapshot);

type TableChange = fn(&mut Snapshot, &mut Vec<Extent>);

/// Asserts that each change is found, as what its text says.
fn assert_found(cases: &[(Change, &str)]) {
    let table = page_table();
    for (change, expected) in cases {
        let mut changed = snapshot();
        change(&mut changed);
        let found = findings(&changed, &table);
        assert!(found.iter().any(|finding| finding.starts_with(expected)), "{expected}\n  not in {found:#?}");
    }
}

#[test]
fn a_right_snapshot_has_no_findings() {
    assert_eq!(findings(&snapshot(), &page_table()), Vec::<String>::new());
}

#[test]
fn manifest_and_tree() {
    assert_found(&[
        (|s| s.manifest.program.path.clear(), "section manifest: program: its path is empty"),
        (|s| s.manifest.program.build_id = Some(vec![]), "section manifest: program: its build-id is empty"),
        (|s| s.tree.processes.clear(), "section tree: processes: there is none"),
        (|s| s.tree.processes[1].pid = 4711, "section tree: process 1: another process has PID 4711 too"),
        (|s| s.tree.processes[1].pid = 0, "section tree: process 1: 0 is no PID"),
        (|s| s.tree.processes[0].ppid = 4720, "section tree: process 0: its parent 4720 does not come before it"),
        (|s| s.tree.processes[0].children = vec![4720], "section tree: process 0: child 4720 is said to stay behind"),
        (|s| s.tree.processes[1].address_space = 2, "section tree: process 1: address space 2 of 2 does not exist"),
        (|s| s.tree.processes[1].address_space = 0, "section tree: address space 1: no process uses it"),
        (|s| s.tree.processes[1].descriptor_table = 9, "section tree: process 1: descriptor table 9 of 2 does not exist"),
        (|s| s.tree.processes[1].descriptor_table = 0, "section tree: descriptor table 1: no process uses it"),
        (|s| s.tree.processes[0].filesystem.umask = 0o1000, "section tree: process 0: umask 0o1000 has bits"),
        (|s| s.tree.processes[0].dumpable = 3, "section tree: process 0: dumpable is 3"),
        (|s| s.tree.processes[0].oom_score_adj = -1001, "section tree: process 0: oom_score_adj -1001"),
    ]);
}

#[test]
fn one_entry_for_each_process() {
    assert_found(&[
        (|s| s.signals.truncate(1), "section signals: entries: 1 for 2 processes"),
        (|s| s.timers.clear(), "section timers: entries: 0 for 2 processes"),
        (|s| s.credentials.truncate(1), "section credentials: entries: 1 for 2 processes"),
        (|s| s.limits.truncate(1), "section limits: entries: 1 for 2 processes"),
        (|s| s.generations.truncate(1), "section generations: entries: 1 for 2 address spaces"),
        (|s| s.limits[1].limits.truncate(15), "section limits: process 1: 15 limits instead of 16"),
        (|s| s.limits[0].limits[3].hard = 0, "section limits: process 0: limit 3: soft 3072 is above hard 0"),
    ]);
}

#[test]
fn signals_and_timers() {
    assert_found(&[
        (|s| s.signals[0].handlers.swap(0, 1), "section signals: handler of signal 13 of process 0: it does not come after"),
        (|s| s.signals[0].handlers[1].signal = 65, "section signals: handler of signal 65 of process 0: that signal cannot"),
        (|s| s.signals[0].handlers[1].signal = 19, "section signals: handler of signal 19 of process 0: that signal cannot"),
        (|s| s.signals[0].handlers[0].handler.0 = 1 << 63, "section signals: handler of signal 13 of process 0: 0x8000"),
        (|s| s.signals[0].pending[1].siginfo.truncate(3), "section signals: pending signal 1 of process 0: 3 bytes instead"),
        (|s| s.signals[0].pending[0].siginfo[0] = 0, "section signals: pending signal 0 of process 0: there is no signal 0"),
        (|s| s.timers[0].posix[0].id = -1, "section timers: timer -1 of process 0: it does not come after timer -1"),
        (|s| s.timers[0].posix[0].thread = 4720, "section timers: timer 0 of process 0: thread 4720 is none of the process's"),
        (|s| s.timers[0].posix[0].signal = 65, "section timers: timer 0 of process 0: there is no signal 65"),
    ]);
}

#[test]
fn threads() {
    assert_found(&[
        (|s| s.threads[1].process = 7, "section threads: thread 4712: process 7 of 2 does not exist"),
        (|s| s.threads.swap(0, 1), "section threads: thread 4712: it comes before the leader 4711 of its process"),
        (|s| s.threads[1].tid = 4711, "section threads: thread 4711: another thread has the same ID"),
        (|s| s.threads[1].tid = 0, "section threads: thread 0: that is no thread ID"),
        (|s| s.threads.truncate(2), "section threads: process 4720: it has no thread"),
        (|s| s.threads[0].name = vec![b'n'; 16], "section threads: thread 4711: a name of 16 bytes"),
        (|s| s.threads[0].xstate.truncate(575), "section threads: thread 4711: an extended state of 575 bytes"),
        (|s| s.threads[0].xstate[513] = 1, "section threads: thread 4711: extended state has components 0x103"),
        (|s| s.threads[0].registers.rip = 0x1000, "section threads: thread 4711: it stopped at 0x1000, which is not mapped"),
        (|s| s.threads[0].pending[0].siginfo.clear(), "section threads: pending signal 0 of thread 4711: 0 bytes"),
        (|s| s.threads[0].affinity.fill(0), "section threads: thread 4711: its affinity allows no CPU"),
        (|s| s.threads[0].scheduling.nice = 20, "section threads: thread 4711: nice 20"),
        (|s| s.threads[0].parent_death_signal = -1, "section threads: thread 4711: there is no signal -1"),
        (|s| s.threads[0].seccomp_mode = 3, "section threads: thread 4711: seccomp mode 3"),
        (|s| s.threads[0].seccomp_filters = 0, "section threads: thread 4711: 0 seccomp filters in mode 2"),
        (|s| s.threads[0].alt_stack.size = u64::MAX, "section threads: thread 4711: its alternate stack"),
        (|s| s.threads[0].robust_list.length = 8, "section threads: thread 4711: its robust list of 8 bytes"),
        (|s| s.threads[0].clear_tid.0 = u64::MAX, "section threads: thread 4711: its tid word 0xffff"),
        (|s| rseq(s).address.0 = 0x40, "section threads: thread 4711: its rseq area of 32 bytes at 0x40"),
        (|s| rseq(s).address.0 += 8, "section threads: thread 4711: its rseq area"),
        (|s| rseq(s).length = 1 << 20, "section threads: thread 4711: its rseq area"),
    ]);
}

fn rseq(snapshot: &mut Snapshot) -> &mut Rseq {
    snapshot.threads[0].rseq.as_mut().expect("the leader has one")
}

#[test]
fn memory_and_modules() {
    assert_found(&[
        (|s| s.address_spaces[0].mappings.swap(3, 4), "section memory: mapping 0x7ffff0000000-0x7ffff0001000 of address space 0"),
        (|s| range(s, 3).start.0 += 1, "section memory: mapping 0x7ffff0000001-0x7ffff0001000 of address space 0: it is not"),
        (|s| range(s, 3).end = range(s, 3).start, "section memory: mapping 0x7ffff0000000-0x7ffff0000000 of address space 0"),
        (|s| range(s, 3).end.0 = 0x7fff_f100_1000, "section memory: mapping 0x7ffff1000000-0x7ffff1002000 of address space 0"),
        (|s| range(s, 9).end.0 = 1 << 57, "section memory: mapping 0x7ffffffde000-0x200000000000000 of address space 0: it r"),
        (|s| offset(s, 7), "section memory: mapping 0x555555554000-0x555555558000 of address space 0: it starts at 0x7"),
        (|s| s.address_spaces[0].mappings[2].flags.protection_key = 16, "section memory: mapping 0x555555600000"),
        (|s| s.address_spaces[0].layout.brk.0 = 0, "section memory: layout of address space 0: heap from 0x555555600000"),
        (|s| _ = s.address_spaces[0].layout.auxv.pop(), "section memory: layout of address space 0: the auxiliary vector"),
        (|s| s.modules[0].address_space = 2, "section modules: module 0 (/usr/bin/kvd): address space 2 of 2"),
        (|s| s.modules[0].range.end.0 += 1, "section modules: module 0 (/usr/bin/kvd): 0x555555554000-0x555555558001"),
        (|s| s.modules[1].range.end.0 += PAGE_SIZE, "section modules: module 1 (): the first or last page"),
        (|s| s.modules[0].link_map = Some(RunAddress(8)), "section modules: module 0 (/usr/bin/kvd): its link_map 0x8"),
        (|s| s.modules[0].build_id = Some(vec![]), "section modules: module 0 (/usr/bin/kvd): its build-id is empty"),
        (|s| s.generations[0].retained[0].range.end.0 += 8, "section generations: retained range 0x555555558000-0x555555559008"),
        (|s| s.generations[0].count = 0, "section generations: retained range 0x555555559000-0x55555555a000 of address space 0"),
    ]);
}

fn range(snapshot: &mut Snapshot, mapping: usize) -> &mut RunRange {
    &mut snapshot.address_spaces[0].mappings[mapping].range
}

fn offset(snapshot: &mut Snapshot, value: u64) {
    if let Backing::File { offset, .. } = &mut snapshot.address_spaces[0].mappings[0].backing {
        *offset = value;
    }
}

#[test]
fn descriptors() {
    assert_found(&[
        (|s| s.descriptors.tables[0].descriptors.swap(0, 1), "section descriptors: descriptor 0 of table 0: it does not come"),
        (|s| s.descriptors.tables[1].descriptors[0].description.0 = 25, "section descriptors: descriptor 2 of table 1: descr"),
        (|s| _ = s.descriptors.tables[0].descriptors.remove(5), "section descriptors: description 5 (target of 5): no descr"),
        (|s| s.descriptors.descriptions[0].locks[0].class = "LOCK".into(), "section descriptors: description 0 (target of 0)"),
        (
            |s| s.descriptors.descriptions[0].locks[0].end = 0,
            "section descriptors: description 0 (target of 0): its lock from 16",
        ),
        (|s| s.descriptors.descriptions[1].signal = 65, "section descriptors: description 1 (target of 1): there is no signal"),
        (|s| watch(s).description = Some(DescriptionId(25)), "section descriptors: description 12 (target of 12): its watch of"),
        (|s| watch(s).description = Some(DescriptionId(12)), "section descriptors: description 12 (target of 12): its watch of"),
        (|s| swap_kind(s, 7, 0), "section descriptors: description 6 (target of 6): both ends of pipe 900 are said"),
        (|s| swap_kind(s, 7, 6), "section descriptors: description 7 (target of 7): bytes of pipe 900 are recorded"),
        (|s| fill(s, 6, 65_537), "section descriptors: description 6 (target of 6): 65537 bytes in a pipe that takes 65536"),
        (|s| fill(s, 8, 4097), "section descriptors: description 8 (target of 8): 4097 bytes in a pipe that takes 4096"),
        (|s| fill(s, 13, 4), "section descriptors: description 13 (target of 13): 4 bytes are recorded of 5"),
        (|s| socket(s).local = vec![1; 129], "section descriptors: description 20 (target of 20): an address is longer"),
        (|s| socket(s).shutdown = 4, "section descriptors: description 20 (target of 20): shut-down directions 4"),
    ]);
}

fn watch(snapshot: &mut Snapshot) -> &mut EpollWatch {
    match &mut snapshot.descriptors.descriptions[12].kind {
        Kind::Epoll { watches } => &mut watches[0],
        other => panic!("the fixture has an epoll there, not {other:?}"),
    }
}

fn swap_kind(snapshot: &mut Snapshot, to: usize, from: usize) {
    snapshot.descriptors.descriptions[to].kind = snapshot.descriptors.descriptions[from].kind.clone();
}

fn fill(snapshot: &mut Snapshot, description: usize, len: usize) {
    match &mut snapshot.descriptors.descriptions[description].kind {
        Kind::Pipe { contents, .. } | Kind::Fifo { contents, .. } | Kind::MemFd { contents, .. } => *contents = vec![1; len],
        other => panic!("the fixture has something with contents there, not {other:?}"),
    }
}

fn socket(snapshot: &mut Snapshot) -> &mut Socket {
    match &mut snapshot.descriptors.descriptions[20].kind {
        Kind::Socket(socket) => socket,
        other => panic!("the fixture has a socket there, not {other:?}"),
    }
}

#[test]
fn extents() {
    let cases: [(TableChange, &str); 7] = [
        (|_, table| table[0].address_space = 5, "section page-table: extent 0x555555600000-0x555555601000 of address space 5"),
        (|s, _| range(s, 2).start.0 += PAGE_SIZE, "section page-table: extent 0x555555600000-0x555555601000 of address space 0"),
        (
            |_, table| table[4].pages = 9,
            "section page-table: extent 0x555555608000-0x555555611000 of address space 0: part of it",
        ),
        (|_, table| table[4].pages = u64::MAX, "section page-table: extent 0x555555608000-0xffffffffffffffff of address space 0"),
        (|_, table| table.swap(0, 1), "section page-table: extent 0x555555600000-0x555555601000 of address space 0: it overlaps"),
        (
            |s, _| s.manifest.lineage = None,
            "section page-table: extent 0x555555604000-0x555555607000 of address space 0: it is in",
        ),
        (|s, _| hide(s), "section page-table: extent 0x555555600000-0x555555601000 of address space 0: its bytes are kept"),
    ];
    for (change, expected) in cases {
        let (mut snapshot, mut table) = (snapshot(), page_table());
        change(&mut snapshot, &mut table.extents);
        let found = findings(&snapshot, &table);
        assert!(found.iter().any(|finding| finding.starts_with(expected)), "{expected}\n  not in {found:#?}");
    }
}

fn hide(snapshot: &mut Snapshot) {
    snapshot.address_spaces[0].mappings[2].flags.dont_dump = true;
}

#[test]
fn extents_may_span_mappings_that_touch() {
    let mut split = snapshot();
    let mut upper = split.address_spaces[0].mappings[2].clone();
    upper.range.start = RunAddress(HEAP + 3 * PAGE_SIZE);
    range(&mut split, 2).end = upper.range.start;
    split.address_spaces[0].mappings.insert(3, upper);
    assert_eq!(findings(&split, &page_table()), Vec::<String>::new());
}

#[test]
fn the_list_of_findings_is_bounded_and_says_so() {
    let mut broken = snapshot();
    broken.threads = vec![Thread { process: 9, ..broken.threads[0].clone() }; 3 * MAX_FINDINGS];
    let found = findings(&broken, &page_table());
    assert_eq!(found.len(), MAX_FINDINGS);
    assert!(found.last().is_some_and(|last| last.ends_with("not listed: too many findings")));
}
