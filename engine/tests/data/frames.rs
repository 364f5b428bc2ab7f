//! Variables of frames as roots.

use std::collections::BTreeSet;

use dsu_engine::plan::heap::{HeapView, MallocFamily};
use dsu_engine::plan::walk::{Problem, Structural, walk};

use crate::scene::{Scene, compile};
use crate::walk::item_of;

#[test]
fn what_only_frames_lead_to_is_found() {
    for flags in [["-O0", "-fno-inline"], ["-O1", "-g"], ["-O2", "-g"], ["-O2", "-gdwarf-4"]] {
        let directory = tempfile::tempdir().unwrap();
        let scene = Scene::new(&compile("frames", directory.path(), "frames", &flags), &[]);
        let (heap, memory) = (scene.heap(), scene.memory());
        assert!(matches!(heap, HeapView::Readable(_)), "{heap:?}");
        let unwound = scene.unwind();
        let stacks = scene.stacks(&unwound);
        let types = &scene.build.debug.types;
        let interest = Structural::new(types, [item_of(types)]);
        let mut seen = scene.walk(&memory, &heap, &interest);
        seen.stacks = &stacks;
        let walked = walk(&seen);
        let found: BTreeSet<u64> = walked.found.iter().map(|found| found.address.0).collect();
        let lines = scene.program.said.iter().filter_map(|line| line.strip_prefix("O "));
        let said: BTreeSet<u64> = lines.map(|line| u64::from_str_radix(line, 16).unwrap()).collect();
        let missing: Vec<u64> = said.difference(&found).copied().collect();
        // Without optimisation each variable is in memory. With it, gcc splits `table` and says no longer where its parts are: what they
        // lead to is a block that nobody explains.
        assert!(missing.len() <= usize::from(flags[0] != "-O0"), "{flags:?}: missing {missing:x?}");
        let told: Vec<u64> = walked
            .problems
            .iter()
            .map(|problem| match problem {
                Problem::Suspect { address, .. } => address.0,
                other => panic!("{other}"),
            })
            .collect();
        assert_eq!(told, missing, "{flags:?}");
        assert!(found.is_subset(&said), "{flags:?}: {found:x?} {said:x?}");
    }
}

#[test]
fn a_thread_in_a_system_call_is_not_inside_malloc() {
    let directory = tempfile::tempdir().unwrap();
    let scene = Scene::new(&compile("frames", directory.path(), "frames", &["-O1"]), &[]);
    let loaded = scene.loaded();
    let at = loaded.iter().position(|library| library.path.ends_with(b"libc.so.6")).unwrap();
    let family = MallocFamily::new(&loaded[at], at + 1);
    let unwound = scene.unwind();
    assert!(unwound.iter().all(|(_, frames)| !family.is_active(frames)));
    // The same frames with the innermost one moved into malloc.
    let malloc = loaded[at].library.elf.dynamic_symbols.iter().find(|symbol| symbol.defined && symbol.name == "malloc").unwrap();
    let mut frames = unwound[0].1.clone();
    frames[0].module = Some((at + 1, malloc.address.offset(8)));
    assert!(family.is_active(&frames));
    frames[0].module = Some((at + 1, malloc.address.offset(malloc.size + 0x10_0000)));
    assert!(!family.is_active(&frames));
}
