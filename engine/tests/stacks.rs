//! Functions that never leave the stack go on in a new build, with continuations that the test makes by hand.

mod common;
#[path = "common/moving.rs"]
mod moving;

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use common::Program;
use dsu_engine::plan::address::NewLink;
use dsu_engine::plan::blocker::Blocker;
use dsu_engine::plan::frames::{
    Besides, Condition, Continuation, Continuations, FrameBlocker, FrameFate, FrameObject, FramePlace, Placed, Relation,
    StackReports, Value,
};
use dsu_engine::program::address::LinkAddress;
use dsu_engine::program::build::{Build, DebugSearch};
use dsu_engine::program::unwind::dwarf;
use dsu_engine::program::variables::{Frame, Source, Variables};
use dsu_engine::update::error::UpdateError;
use dsu_engine::update::operation::{PlanRequest, plan};
use iced_x86::{Decoder, DecoderOptions, FlowControl};
use moving::{Silent, move_within, moved, version};

/// Where a function waits and what it has where, told by its debug information.
struct Point {
    returns: LinkAddress,
    variables: HashMap<String, (i64, u64)>,
}

/// The place behind the call of `callee` in `function`.
fn point(build: &Build, function: &'static str, callee: &'static str) -> Point {
    let symbol = |name: &'static str| build.elf.symbols_named(name).next().expect(name);
    let (function, callee) = (symbol(function), symbol(callee));
    let code = build.elf.file_bytes(function.address, function.size).unwrap();
    let calls = Decoder::with_ip(64, code, function.address.0, DecoderOptions::NONE);
    let is_wanted =
        |one: &iced_x86::Instruction| one.flow_control() == FlowControl::Call && one.near_branch_target() == callee.address.0;
    let call = calls.into_iter().find(is_wanted).unwrap_or_else(|| panic!("no call"));
    let cfa = 0x10_0000;
    let mut registers = [None; 16];
    registers[dwarf::RBP] = Some(dsu_engine::program::unwind::RegisterValue {
        value: cfa - 16,
        place: dsu_engine::program::unwind::Place::Register(dwarf::RBP as u8),
    });
    let mut word = |_| None;
    let mut reader = Variables::new(build);
    let locals = reader.at(LinkAddress(call.ip())).unwrap();
    let mut frame = Frame { registers: &registers, cfa: dsu_formats::address::RunAddress(cfa), bias: 0, word: &mut word };
    let variables = locals.iter().filter_map(|local| {
        let size = build.debug.types.size_of(local.kind)?;
        match reader.locate(local, &mut frame).as_slice() {
            [piece] => match piece.source {
                Source::Memory(address) => Some((local.name.clone(), (address.0.wrapping_sub(cfa).cast_signed(), size))),
                _ => None,
            },
            _ => None,
        }
    });
    Point { returns: LinkAddress(call.next_ip()), variables: variables.collect() }
}

#[derive(Debug)]
struct ByHand {
    returns: LinkAddress,
    continuation: Arc<Continuation>,
}

impl Continuations for ByHand {
    fn of(&self, _function: usize, returns: LinkAddress) -> Result<Arc<Continuation>, Vec<FrameBlocker>> {
        assert_eq!(returns, self.returns);
        Ok(Arc::clone(&self.continuation))
    }

    fn given(&self, _caller: (usize, LinkAddress), _callee: usize, _register: u8, _again: bool) -> Result<Value, String> {
        Err("no continuation by hand asks for it".to_owned())
    }
}

/// `loop` of one build goes on in the other: its parameters are values, the session and the line objects.
fn by_hand(old: &Path, new: &Path, conditions: &[(Relation, u64)]) -> Arc<dyn Continuations> {
    let open = |path: &Path| Build::open(path, &DebugSearch::default()).unwrap();
    let (old, new) = (open(old), open(new));
    let (from, to) = (point(&old, "loop", "wait_line"), point(&new, "loop", "wait_line"));
    let slot = |point: &Point, name: &str| FramePlace::Slot { offset: point.variables[name].0, length: 8 };
    let reader = NewLink(to.returns);
    let value = |name: &str| Placed {
        place: slot(&to, name),
        bits: u64::MAX,
        value: Value::Old(slot(&from, name)),
        why: format!("variable `{name}`"),
        reader,
    };
    let base = Placed {
        place: FramePlace::Register(dwarf::RBP as u8),
        bits: u64::MAX,
        value: Value::Frame(-16),
        why: "the frame's own register".to_owned(),
        reader,
    };
    let object = |name: &str| FrameObject {
        name: name.to_owned(),
        old: from.variables[name].0,
        new: to.variables[name].0,
        old_length: from.variables[name].1,
        new_length: to.variables[name].1,
        kinds: (None, None),
        is_changed: from.variables[name].1 != to.variables[name].1,
        initial: Vec::new(),
    };
    let condition = |(relation, number): &(Relation, u64)| Condition {
        left: Value::Old(slot(&from, "seed")),
        relation: *relation,
        right: Value::Constant(*number),
        bits: 64,
        branch: reader,
        argument: None,
    };
    let continuation = Continuation {
        function: 0,
        returns_to: NewLink(to.returns),
        between: false,
        given_back: Vec::new(),
        values: vec![value("number"), value("seed"), base],
        objects: vec![object("session"), object("line")],
        conditions: conditions.iter().map(condition).collect(),
        warnings: Vec::new(),
        rivals: Vec::new(),
        has_unread: false,
        besides: Besides::default(),
    };
    Arc::new(ByHand { returns: from.returns, continuation: Arc::new(continuation) })
}

fn versions(directory: &Path) -> [std::path::PathBuf; 2] {
    [1, 2].map(|number| version("stacked", directory, number, &["-O0"]))
}

#[test]
fn a_frame_that_grows_and_shrinks_takes_everything_along() {
    let directory = tempfile::tempdir().unwrap();
    let [one, two] = versions(directory.path());
    let mut program = Program::start(&one);
    assert_eq!(program.ask("a"), "version 1 a count 40 wrong 0 jumps 0");
    moved(program.pid(), &two, Some(by_hand(&one, &two, &[])));
    assert_eq!(program.ask("b"), "version 2 b count 80 wrong 0 jumps 0");
    assert_eq!(program.ask("jump\nc"), "version 2 c count 120 wrong 0 jumps 1");
    moved(program.pid(), &one, Some(by_hand(&two, &one, &[(Relation::AboveOrEqual, 40)])));
    assert_eq!(program.ask("jump\nd"), "version 1 d count 160 wrong 0 jumps 2");
    moved(program.pid(), &two, Some(by_hand(&one, &two, &[])));
    assert_eq!(program.ask("quit"), "version 2 quit count 200 wrong 0 jumps 2");
    assert_eq!(program.ask("go"), "version 2 quit count 41 wrong 0 jumps 2");
    assert_eq!(program.ask("go"), "version 2 quit count 42 wrong 0 jumps 2");
}

#[test]
fn a_condition_that_does_not_hold_blocks_and_the_report_says_all() {
    let directory = tempfile::tempdir().unwrap();
    let [one, two] = versions(directory.path());
    let mut program = Program::start(&one);
    assert_eq!(program.ask("a"), "version 1 a count 40 wrong 0 jumps 0");
    match move_within(Duration::from_secs(2), program.pid(), &two, Some(by_hand(&one, &two, &[(Relation::Equal, 40)]))) {
        Err(UpdateError::Blocked { blockers, .. }) => {
            // The leader's seed is 40, those of the threads are not.
            assert!(
                blockers.len() == 2 && blockers.iter().all(|blocker| matches!(blocker, Blocker::Frame { .. })),
                "{blockers:?}"
            );
            assert!(blockers[0].to_string().contains("0x29 == 0x28"), "{}", blockers[0]);
        }
        other => panic!("{other:?}"),
    }
    let stacks: Arc<StackReports> = Arc::default();
    let request = PlanRequest {
        pid: program.pid(),
        program: two.clone(),
        spec: None,
        wait: Duration::ZERO,
        accept_seccomp_risk: false,
        debug_directories: Vec::new(),
        cache: None,
        continuations: Some(by_hand(&one, &two, &[])),
        stacks: Some(Arc::clone(&stacks)),
        strict: false,
    };
    plan(&request, &mut Silent).unwrap();
    let reports = stacks.take();
    assert_eq!(reports.len(), 3);
    for report in &reports {
        let rebuilt: Vec<_> = report.frames.iter().filter(|frame| frame.fate == FrameFate::Rebuilt).collect();
        assert!(rebuilt.len() == 1 && rebuilt[0].function == "loop", "{report:?}");
        let session = rebuilt[0].objects.iter().find(|object| object.name == "session").unwrap();
        assert!(session.bytes.as_ref().is_some_and(|bytes| bytes.starts_with("000000000000000010555e0000000000")), "{session:?}");
        assert!(rebuilt[0].values.iter().all(|value| value.value.is_some()), "{report:?}");
    }
    assert_eq!(program.ask("b"), "version 1 b count 80 wrong 0 jumps 0");
}

/// What `dsu` finds out by itself.
fn there_and_back(flags: &[&str]) {
    let directory = tempfile::tempdir().unwrap();
    let [one, two] = [1, 2].map(|number| version("stacked", directory.path(), number, flags));
    let mut program = Program::start(&one);
    assert_eq!(program.ask("a"), "version 1 a count 40 wrong 0 jumps 0");
    moved(program.pid(), &two, None);
    assert_eq!(program.ask("b"), "version 2 b count 80 wrong 0 jumps 0");
    // With the kernel's record of a signal on the stack.
    assert_eq!(program.ask("signal"), "in the handler of 10");
    moved(program.pid(), &one, None);
    assert_eq!(program.ask("leave\njump\nc"), "version 1 c count 120 wrong 0 jumps 1");
    moved(program.pid(), &two, None);
    assert_eq!(program.ask("jump\nquit"), "version 2 quit count 160 wrong 0 jumps 2");
    assert_eq!(program.ask("go"), "version 2 quit count 41 wrong 0 jumps 2");
    assert_eq!(program.ask("go"), "version 2 quit count 42 wrong 0 jumps 2");
}

#[test]
fn a_lightly_optimised_loop_goes_there_and_back() {
    there_and_back(&["-O1"]);
}

#[test]
fn an_optimised_loop_goes_there_and_back() {
    there_and_back(&["-O2"]);
}

#[test]
fn a_loop_with_frame_pointers_goes_there_and_back() {
    there_and_back(&["-O1", "-fno-omit-frame-pointer"]);
}

#[test]
fn a_loop_at_a_fixed_address_goes_there_and_back() {
    there_and_back(&["-O2", "-no-pie"]);
}

#[test]
fn a_variable_of_the_frame_that_changes_its_type_is_rewritten_there() {
    let directory = tempfile::tempdir().unwrap();
    let [one, three] = [1, 3].map(|number| version("stacked", directory.path(), number, &["-O0"]));
    let mut program = Program::start(&one);
    assert_eq!(program.ask("a"), "version 1 a count 40 wrong 0 jumps 0");
    moved(program.pid(), &three, Some(by_hand(&one, &three, &[])));
    assert_eq!(program.ask("jump\nb"), "version 3 b count 80 wrong 0 jumps 1");
}

#[test]
fn the_leaders_stack_grows_where_the_new_frame_needs_it() {
    let directory = tempfile::tempdir().unwrap();
    let [one, four] = [1, 4].map(|number| version("stacked", directory.path(), number, &["-O2"]));
    let mut program = Program::start(&one);
    assert_eq!(program.ask("a"), "version 1 a count 40 wrong 0 jumps 0");
    moved(program.pid(), &four, None);
    assert_eq!(program.ask("jump\nb"), "version 4 b count 80 wrong 0 jumps 1");
    moved(program.pid(), &one, None);
    assert_eq!(program.ask("c"), "version 1 c count 120 wrong 0 jumps 1");
}

#[test]
fn a_recursion_goes_on_in_the_new_code_however_deep() {
    let directory = tempfile::tempdir().unwrap();
    let [one, two] = [1, 2].map(|number| version("deep", directory.path(), number, &["-O1"]));
    for depth in [40u64, 3000] {
        let mut program = Program::spawn(std::process::Command::new(&one).arg(depth.to_string()));
        assert_eq!(program.line(), "at the bottom");
        moved(program.pid(), &two, None);
        let sum = 3 * depth * (depth + 1) / 2;
        // `main` has the version of its build, and is carried or rebuilt with the rest.
        assert_eq!(program.ask("go"), format!("version 2 sum {sum} left {depth}"));
    }
}
