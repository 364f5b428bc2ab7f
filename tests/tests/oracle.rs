//! What plans give to the frames of changed functions is what the new program has there when it is run from scratch.

use dsu_engine::tracee::memory::RemoteMemory;
use dsu_engine::tracee::procfs;
use dsu_formats::address::RunRange;
use dsu_tests::oracle::compare::{Comparison, Counts, Planned, compare};
use dsu_tests::oracle::plan::{Fate, FramePlan, Place, PlacedObject, PlacedValue, Position, ThreadPlan};
use dsu_tests::oracle::process::Process;
use dsu_tests::oracle::program::{self, Program, Style};
use dsu_tests::oracle::scratch::{Frame, Scratch};

const STYLE: Style = Style { compiler: "gcc", level: 0 };

/// Registers that a function gets back from what it calls, by DWARF number.
const CALLEE_SAVED: [usize; 6] = [3, 6, 12, 13, 14, 15];

fn find(name: &str) -> Program {
    program::all().into_iter().find(|program| program.name == name).unwrap_or_else(|| panic!("no program {name}"))
}

/// A plan that gives each frame of the program what it has: every register that is known, and all bytes of the frame.
fn truth(scratch: &Scratch) -> Vec<ThreadPlan> {
    let frame = |(index, frame): (usize, &Frame)| {
        let register = |number: usize| {
            let value = frame.registers[number]?;
            let (why, reader) = (String::new(), String::new());
            Some(PlacedValue { place: Place::Register(number), length: 8, bits: u64::MAX, value: Some(value), why, reader })
        };
        let below = index.checked_sub(1).map_or(frame.cfa - 16, |callee| scratch.threads[0].frames[callee].cfa);
        let mut bytes = vec![0; (frame.cfa - below) as usize];
        scratch.memory().read(dsu_formats::address::RunAddress(below), &mut bytes).expect("the frame is readable");
        let object = PlacedObject {
            name: "all".to_owned(),
            new: Place::Slot(below.wrapping_sub(frame.cfa).cast_signed()),
            bytes: Some(bytes),
        };
        let is_programs = !frame.function.is_empty() && frame.function != "point";
        FramePlan {
            function: frame.function.clone(),
            fate: if is_programs { Fate::Rebuilt } else { Fate::Carried },
            old: Position { pc: frame.pc, cfa: frame.cfa },
            new: Some(Position { pc: frame.pc, cfa: frame.cfa }),
            values: CALLEE_SAVED.into_iter().filter_map(register).collect(),
            objects: vec![object],
            blockers: Vec::new(),
        }
    };
    vec![ThreadPlan { tid: 1, frames: scratch.threads[0].frames.iter().enumerate().map(frame).collect() }]
}

/// Takes the truth from one process, lets `change` at it, and compares with a second process.
fn compare_changed(name: &str, change: impl FnOnce(&mut [ThreadPlan])) -> Comparison {
    let program = find(name);
    let executable = program.build(2, STYLE);
    let [first, second] = [(); 2].map(|()| Process::at_point(&program, &executable).expect("the point is reached"));
    let mut stacks = truth(&Scratch::stop(&first, &executable));
    change(&mut stacks);
    let pid = first.pid().as_raw();
    let (maps, memory) = (procfs::maps(pid).expect("mappings"), RemoteMemory::open(pid).expect("memory"));
    let planned = Planned { stacks: &stacks, maps: &maps, old_program: RunRange::new(0, 1), memory: &memory };
    compare(&planned, &Scratch::stop(&second, &executable))
}

#[test]
fn the_truth_is_equal() {
    for name in ["recursion", "list_walk", "pointer_into_local", "sort_callback"] {
        let Comparison { counts, findings, doubts } = compare_changed(name, |_| {});
        assert!(counts.equal > 10 && counts.wrong == 0 && counts.elsewhere == 0, "{name}: {counts:?} {findings:?}");
        assert_eq!(doubts, [], "{name}");
    }
}

#[test]
fn one_wrong_bit_in_a_register_or_variable_is_seen() {
    let work = |stacks: &mut [ThreadPlan]| {
        stacks[0].frames.iter().position(|frame| frame.function == "work").expect("a frame of `work`")
    };
    let register = compare_changed("list_walk", |stacks| {
        let index = work(stacks);
        let value = &mut stacks[0].frames[index].values[0];
        value.value = value.value.map(|value| value ^ 1);
    });
    let byte = compare_changed("list_walk", |stacks| {
        let index = work(stacks);
        let bytes = &mut stacks[0].frames[index].objects[0].bytes;
        bytes.as_mut().expect("bytes")[20] ^= 1;
    });
    assert!(register.counts.wrong == 1 && register.findings[0].contains("WRONG in `work`"), "{register:?}");
    assert!(byte.doubts.len() == 1 && byte.doubts[0].finding.contains("WRONG in `work`"), "{byte:?}");
}

#[test]
fn a_bit_that_nobody_reads_is_not_compared() {
    let found = compare_changed("list_walk", |stacks| {
        for value in stacks[0].frames.iter_mut().flat_map(|frame| &mut frame.values) {
            (value.bits, value.value) = (0xffff_ffff, value.value.map(|value| value ^ 1 << 40));
        }
    });
    assert_eq!((found.counts.wrong, found.findings), (0, Vec::new()));
}

#[test]
fn another_place_in_the_code_is_seen() {
    let found = compare_changed("recursion", |stacks| {
        let frame = stacks[0].frames.iter_mut().find(|frame| frame.function == "fibonacci").expect("a frame");
        frame.new = frame.new.map(|new| Position { pc: new.pc + 4, ..new });
    });
    assert!(found.counts.elsewhere > 0 && found.findings[0].contains("goes on at"), "{found:?}");
}

#[test]
fn addresses_elsewhere_with_the_same_meaning_are_equal() {
    // The whole stack moves: what points into it follows.
    const MOVED: u64 = 0x230;
    let in_stack = |value: u64| value >> 24 == 0x7fffff;
    let found = compare_changed("pointer_into_local", |stacks| {
        for frame in &mut stacks[0].frames {
            frame.new = frame.new.map(|new| Position { cfa: new.cfa - MOVED, ..new });
            for value in frame.values.iter_mut().filter_map(|value| value.value.as_mut()).filter(|value| in_stack(**value)) {
                *value -= MOVED;
            }
            for word in
                frame.objects.iter_mut().filter_map(|object| object.bytes.as_mut()).flat_map(|bytes| bytes.chunks_exact_mut(8))
            {
                let value = u64::from_le_bytes(word.try_into().expect("eight bytes"));
                if in_stack(value) {
                    word.copy_from_slice(&(value - MOVED).to_le_bytes());
                }
            }
        }
    });
    let Counts { meaning, wrong, .. } = found.counts;
    assert!(meaning > 3 && wrong == 0 && found.doubts.is_empty(), "{found:?}");
}
