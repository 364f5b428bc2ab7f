//! Mappings of real processes, and text that no kernel would write.

use super::*;
use crate::resources::testing::Target;

const PROGRAM: &str = r#"
    #include <fcntl.h>
    #include <sys/mman.h>
    #include <sys/prctl.h>
    #include <sys/shm.h>
    #define PAGES(n) ((n) * 4096L)
    static void *map(int flags, int fd, long offset) {
        void *p = mmap(0, PAGES(4), PROT_READ | PROT_WRITE, flags, fd, offset);
        CHECK(p);
        return p;
    }
    int main(void) {
        int file = open("data (deleted)", O_RDWR | O_CREAT, 0600), gone = open("gone", O_RDWR | O_CREAT, 0600);
        int memory = memfd_create("scratch", 0);
        CHECK(ftruncate(file, PAGES(8)));
        CHECK(ftruncate(gone, PAGES(4)));
        CHECK(ftruncate(memory, PAGES(4)));
        char *anonymous = map(MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        CHECK(mprotect(anonymous, PAGES(4), PROT_READ));
        CHECK(madvise(anonymous, PAGES(4), MADV_DONTDUMP));
        CHECK(madvise(anonymous, PAGES(4), MADV_DONTFORK));
        say("%p", anonymous);
        say("%p", map(MAP_SHARED | MAP_ANONYMOUS, -1, 0));
        say("%p", map(MAP_SHARED, file, PAGES(4)));
        say("%p", map(MAP_PRIVATE, gone, 0));
        say("%p", map(MAP_SHARED, memory, 0));
        CHECK(unlink("gone"));
        int id = shmget(IPC_PRIVATE, PAGES(1), 0600);
        CHECK(id);
        void *segment = shmat(id, 0, 0);
        CHECK(segment);
        CHECK(shmctl(id, IPC_RMID, 0));
        say("%p", segment);
        char *locked = map(MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        CHECK(mlock(locked, PAGES(4)));
        CHECK(madvise(locked, PAGES(4), MADV_WIPEONFORK));
        say("%p", locked);
        wait_for_end();
    }"#;

struct Captured {
    target: Target,
    capture: MemoryCapture,
    addresses: Vec<u64>,
}

fn captured() -> Captured {
    let mut target = Target::start(PROGRAM);
    let addresses: Vec<u64> = (0..7).map(|_| target.address()).collect();
    let capture = capture_mappings(target.pid(), &[]).unwrap();
    Captured { target, capture, addresses }
}

impl Captured {
    fn mapping(&self, index: usize) -> &Mapping {
        let address = dsu_formats::address::RunAddress(self.addresses[index]);
        self.capture.mappings.iter().find(|mapping| mapping.range.contains(address)).unwrap()
    }
}

#[test]
fn kinds_and_flags_of_mappings_are_told_apart() {
    let found = captured();
    let flags = found.mapping(0).flags;
    assert!(flags.dont_dump && flags.dont_fork && !flags.locked, "{flags:?}");
    assert_eq!(found.mapping(0).protection, Protection { read: true, write: false, execute: false });
    assert!(matches!(found.mapping(1).backing, Backing::SharedAnonymous { inode, offset: 0 } if inode != 0));
    assert_eq!(found.mapping(1).sharing, Sharing::Shared);
    match &found.mapping(2).backing {
        Backing::File { path, deleted: false, offset: 16384, size: 32768, .. } => assert!(path.ends_with(b"/data (deleted)")),
        other => panic!("{other:?}"),
    }
    match &found.mapping(3).backing {
        Backing::File { path, deleted: true, offset: 0, size: 16384, .. } => assert!(path.ends_with(b"/gone")),
        other => panic!("{other:?}"),
    }
    match &found.mapping(4).backing {
        Backing::File { path, deleted: true, size: 16384, .. } => assert_eq!(path, b"/memfd:scratch"),
        other => panic!("{other:?}"),
    }
    assert!(matches!(found.mapping(5).backing, Backing::SysV { key: 0, deleted: true, .. }));
    let flags = found.mapping(6).flags;
    assert!(flags.locked && flags.wipe_on_fork && flags.no_reserve, "{flags:?}");
    assert_eq!(blockers(&found.capture), []);
    assert!(!found.capture.lock_future);
}

#[test]
fn the_kernels_own_mappings_are_recognised() {
    let found = captured();
    let backings = || found.capture.mappings.iter().map(|mapping| &mapping.backing);
    assert_eq!(backings().filter(|backing| **backing == Backing::Vdso).count(), 1);
    assert!(backings().any(|backing| matches!(backing, Backing::Vvar { .. })));
    assert!(found.capture.mappings.iter().any(|mapping| mapping.flags.grows_down), "the stack");
}

#[test]
fn files_of_mappings_can_be_opened_deleted_ones_too() {
    let found = captured();
    for index in [2, 3, 4] {
        let mapping = found.mapping(index);
        let file = open_mapped(found.target.pid(), mapping, mapping.range, false).unwrap();
        let Backing::File { inode, size, .. } = &mapping.backing else { panic!("no file") };
        let metadata = file.metadata().unwrap();
        assert_eq!((metadata.ino(), metadata.len()), (*inode, *size));
    }
}

#[test]
fn ranges_of_the_engine_are_left_out() {
    let found = captured();
    let whole = found.mapping(0).range;
    let middle = RunRange::new(whole.start.0 + 4096, whole.start.0 + 8192);
    let capture = capture_mappings(found.target.pid(), &[middle]).unwrap();
    let pieces: Vec<_> = capture.mappings.iter().map(|m| m.range).filter(|range| range.overlaps(&whole)).collect();
    assert_eq!(pieces, [RunRange::new(whole.start.0, middle.start.0), RunRange::new(middle.end.0, whole.end.0)]);
    // A locked range of the engine's tells of mlockall(MCL_FUTURE).
    let locked = found.mapping(6).range;
    assert!(capture_mappings(found.target.pid(), &[locked]).unwrap().lock_future);
}

#[test]
fn lines_agree_with_the_full_capture() {
    let found = captured();
    let lines = read_mapping_lines(found.target.pid()).unwrap();
    let ranges: Vec<_> = lines.iter().map(|line| line.range).collect();
    assert_eq!(ranges, found.capture.mappings.iter().map(|mapping| mapping.range).collect::<Vec<_>>());
}

#[test]
fn broken_text_is_an_error_that_shows_it() {
    for text in ["7f00-7f01", "zz-7f01000 r--p 0 08:01 5 /x", "7f00000-7f01000 r--p 0 0801 5 /x", "VmFlags: rd\n"] {
        let error = match parse_entries("smaps", text.as_bytes()) {
            Ok(_) => panic!("{text} was taken"),
            Err(error) => error.to_string(),
        };
        assert!(error.starts_with("smaps: expected"), "{error}");
    }
}

#[test]
fn unknown_flags_and_labels_block_by_name() {
    let text = "1000-2000 rw-p 00000000 00:00 0 [uprobes]\nVmFlags: rd wr zz\n";
    let entries = parse_entries("smaps", text.as_bytes()).unwrap();
    assert_eq!(entries[0].unsupported, ["[uprobes]", "zz"]);
}
