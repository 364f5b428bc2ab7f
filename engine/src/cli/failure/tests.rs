//! Messages are told apart, carry their facts, and each comes with a hint of its own.

use std::collections::BTreeSet;
use std::io;
use std::path::PathBuf;

use dsu_engine::program::error::ProgramError;
use dsu_engine::resources::{Obstacle, ResourceError};
use dsu_engine::tracee::error::{Refusal, TraceeError};
use dsu_engine::update::error::UpdateError;
use dsu_engine::update::lock::LockError;
use dsu_engine::vessel::error::VesselError;
use dsu_formats::address::{RunAddress, RunRange};
use dsu_formats::image::{ImageError, Place};
use nix::errno::Errno;

use super::*;

const PID: i32 = 4242;
const SUBJECT: Subject<'static> = Subject::Process(PID);

type Sample = (Box<dyn Sorted>, &'static [&'static str]);

fn refused(reason: Refusal) -> Box<dyn Sorted> {
    Box::new(TraceeError::Refused { pid: PID, reason })
}

fn denied() -> io::Error {
    Errno::EACCES.into()
}

fn refusals() -> Vec<Sample> {
    vec![
        (refused(Refusal::NoSuchProcess), &["4242"]),
        (refused(Refusal::NotPermitted), &["4242"]),
        (refused(Refusal::KernelThread), &["4242"]),
        (refused(Refusal::Zombie), &["4242"]),
        (refused(Refusal::Traced { tracer: 77 }), &["4242", "77"]),
        (refused(Refusal::WrongArchitecture), &["4242", "x86-64"]),
        (refused(Refusal::SharedMemory { other: 78 }), &["4242", "78"]),
        (refused(Refusal::ZombieLeader), &["4242"]),
        (refused(Refusal::Myself), &["4242"]),
        (refused(Refusal::NotALeader), &["4242"]),
    ]
}

fn tracee() -> Vec<Sample> {
    let deadline = TraceeError::Deadline { tid: 11, awaited: "stop", limit_ms: 500, state: "state D, in nfs".to_owned() };
    let call = TraceeError::Call { call: "mmap", tid: 13, source: Errno::ENOMEM };
    let memory =
        TraceeError::Memory { access: "read", length: 8, address: RunAddress(0x7000), pid: PID, source: Errno::EIO.into() };
    let text = TraceeError::ProcText { path: "/proc/1/stat".to_owned(), expected: "a number", found: "x".to_owned() };
    vec![
        (Box::new(TraceeError::Ptrace { request: "SEIZE", tid: 9, source: Errno::EPERM }), &["SEIZE", "9", "EPERM"]),
        (Box::new(TraceeError::Gone { tid: 10, operation: "reading registers" }), &["10", "reading registers"]),
        (Box::new(deadline), &["11", "stop", "500", "nfs"]),
        (Box::new(TraceeError::UnexpectedStop { tid: 12, status: 0x57f, operation: "mapping" }), &["12", "0x57f", "mapping"]),
        (Box::new(call), &["mmap", "13", "ENOMEM"]),
        (Box::new(memory), &["read", "8", "0x7000", "4242"]),
        (Box::new(TraceeError::Proc { path: "/proc/4242/maps".to_owned(), source: denied() }), &["/proc/4242/maps", "denied"]),
        (Box::new(text), &["/proc/1/stat", "a number", "`x`"]),
        (Box::new(TraceeError::NoGadget { pid: PID, sequence: "syscall" }), &["4242", "syscall"]),
    ]
}

fn resources() -> Vec<Sample> {
    let range = RunRange::new(0x1000, 0x2000);
    let (expected, found) = ("1".to_owned(), "2".to_owned());
    let obstacle = |obstacle: Obstacle| -> Box<dyn Sorted> { Box::new(obstacle) };
    vec![
        (
            Box::new(ResourceError::Call { call: "sched_setattr", object: "thread 5".into(), source: Errno::EPERM }),
            &["sched_setattr", "thread 5", "EPERM"],
        ),
        (
            Box::new(ResourceError::File { operation: "open", path: "/var/log/x".into(), source: denied() }),
            &["open", "/var/log/x", "denied"],
        ),
        (
            Box::new(ResourceError::Unexpected { object: "the vdso".to_owned(), expected: "ELF", found: "zeros".to_owned() }),
            &["the vdso", "ELF", "zeros"],
        ),
        (Box::new(ResourceError::NotGivenBack { object: "umask".to_owned(), expected, found }), &["umask", "1", "2"]),
        (
            obstacle(Obstacle::Mapping { range, what: "/dev/mem".into(), reason: "device".into() }),
            &["0x1000", "/dev/mem", "device"],
        ),
        (
            obstacle(Obstacle::ThreadDiffers { tid: 6, attribute: "root", expected: "/".into(), found: "/x".into() }),
            &["6", "root", "/x"],
        ),
        (obstacle(Obstacle::Thread { tid: 7, reason: "strange".into() }), &["7", "strange"]),
        (obstacle(Obstacle::Timer { id: 3, reason: "odd clock".into() }), &["3", "odd clock"]),
        (obstacle(Obstacle::Descriptor { number: 8, target: "tcp".into(), reason: "no way".into() }), &["8", "tcp", "no way"]),
        (
            obstacle(Obstacle::Attribute { attribute: "securebits", value: "0x2f".into(), reason: "locked".into() }),
            &["securebits", "0x2f", "locked"],
        ),
        (obstacle(Obstacle::Room { limit: "RLIMIT_AS".into(), available: 100, needed: 4096 }), &["RLIMIT_AS", "100", "4096"]),
        (obstacle(Obstacle::Host { what: "the cpu", expected: "a".into(), found: "b".into() }), &["the cpu", "a", "b"]),
    ]
}

fn vessel() -> Vec<Sample> {
    let range = RunRange::new(0x3000, 0x4000);
    let source = TraceeError::Call { call: "mmap", tid: 14, source: Errno::EPERM };
    let page = Box::new(io::Error::other("gone"));
    vec![
        (Box::new(VesselError::Mapping { range, what: "heap".into(), source }), &["0x3000", "heap", "mmap", "EPERM"]),
        (Box::new(VesselError::NoFile { range, path: "/lib/libx.so".into() }), &["0x3000", "/lib/libx.so"]),
        (Box::new(VesselError::NoPage { address: RunAddress(0x5000), source: page }), &["0x5000", "gone"]),
        (Box::new(VesselError::Mismatch { what: "maps", expected: "3".into(), found: "4".into() }), &["maps", "3", "4"]),
        (Box::new(VesselError::NoSite { length: 8192 }), &["8192"]),
    ]
}

fn programs() -> Vec<Sample> {
    let path = PathBuf::from("/srv/kvd");
    let unsupported = ProgramError::Unsupported { what: "machine", expected: "x86-64", found: "ARM".into() };
    let split = ProgramError::SplitDebug { unit: "main.c".into(), problem: "is in a .dwo file".into() };
    vec![
        (Box::new(ProgramError::Read { path: path.clone(), source: denied() }), &["/srv/kvd", "denied"]),
        (Box::new(ProgramError::NotElf { found: "23 21".into() }), &["23 21"]),
        (Box::new(unsupported), &["machine", "x86-64", "ARM"]),
        (Box::new(ProgramError::Corrupt { what: "symbols", expected: "24".into(), found: "7".into() }), &["symbols", "24", "7"]),
        (Box::new(ProgramError::Dwarf { place: ".debug_info".into(), source: gimli::Error::BadUtf8 }), &[".debug_info"]),
        (Box::new(split), &["main.c", ".dwo"]),
        (Box::new(ProgramError::NoDebugInfo { path, looked: "inside it".into() }), &["/srv/kvd", "inside it"]),
    ]
}

fn images() -> Vec<Sample> {
    let path = PathBuf::from("/srv/x.dsu");
    vec![
        (Box::new(ImageError::Io { operation: "open", path, source: Errno::ENOSPC.into() }), &["open", "/srv/x.dsu", "No space"]),
        (Box::new(ImageError::NotAnImage { expected: *b"12345678", found: b"#!".to_vec() }), &["2321", "3132"]),
        (Box::new(ImageError::Truncated { expected: 100, found: 50 }), &["100", "50"]),
        (Box::new(ImageError::TrailingBytes { expected: 100, found: 150 }), &["100", "150"]),
        (Box::new(ImageError::NewerFormat { found: 9, oldest_reader: 7, known: 1 }), &["9", "7", "1"]),
        (Box::new(ImageError::Architecture { expected: 62, found: 183 }), &["62", "183"]),
        (
            Box::new(ImageError::Checksum { place: Place::Table, expected: 1, found: 2 }),
            &["section table", "0x00000001", "0x00000002"],
        ),
        (Box::new(ImageError::Parent { expected: Some(0xab), found: None }), &["0x000000ab", "none"]),
    ]
}

fn transactions() -> Vec<Sample> {
    let back = || Box::new(VesselError::NoSite { length: 77 });
    let forth = || Box::new(VesselError::NoFile { range: RunRange::new(0x3000, 0x4000), path: "/lib/x".into() });
    let no_elf = || Box::new(ProgramError::NotElf { found: "aa".into() });
    vec![
        (Box::new(LockError::Busy { pid: PID }), &["4242"]),
        (Box::new(LockError::Directory { path: "/run/dsu".into(), source: denied() }), &["/run/dsu", "denied"]),
        (Box::new(LockError::Foreign { path: "/tmp/dsu-1".into(), owner: 5, user: 6 }), &["/tmp/dsu-1", "5", "6"]),
        (Box::new(UpdateError::OldProgram { path: "/srv/old".into(), source: no_elf() }), &["running", "/srv/old", "aa"]),
        (Box::new(UpdateError::NewProgram { path: "/srv/new".into(), source: no_elf() }), &["new", "/srv/new", "aa"]),
        (Box::new(UpdateError::GivenUp(forth())), &["given up", "/lib/x"]),
        (Box::new(UpdateError::RolledBack(forth())), &["old one runs", "/lib/x"]),
        (Box::new(UpdateError::Parked { pid: PID, source: forth(), back: back() }), &["4242", "parked", "/lib/x"]),
        (Box::new(UpdateError::StillParked { pid: PID, source: forth() }), &["4242", "stays parked", "/lib/x"]),
        (
            Box::new(UpdateError::Lost { pid: PID, source: Box::new(TraceeError::Gone { tid: PID, operation: "exec" }) }),
            &["4242", "ended", "exec"],
        ),
        (
            Box::new(UpdateError::Journal {
                operation: "write",
                path: "/run/dsu/1/journal-99".into(),
                source: Box::new(denied()),
            }),
            &["write", "/run/dsu/1/journal-99", "denied"],
        ),
    ]
}

fn samples() -> Vec<Sample> {
    [refusals(), tracee(), resources(), vessel(), programs(), images(), transactions()].into_iter().flatten().collect()
}

#[test]
fn messages_are_unique_and_carry_their_facts() {
    let mut seen = BTreeSet::new();
    for (error, facts) in samples() {
        let text = chain(&*error).join(": ");
        for fact in facts {
            assert!(text.contains(fact), "`{fact}` is not in: {text}");
        }
        assert!(seen.insert(text.clone()), "two errors say: {text}");
    }
}

#[test]
fn every_error_has_a_hint_that_says_more_than_the_message() {
    for (error, _) in samples() {
        let Verdict { exit, code, hint } = error.verdict(&SUBJECT);
        assert!(hint.len() > 15 && !error.to_string().contains(&hint), "{error}: {hint}");
        assert!(code.chars().all(|c| c.is_ascii_lowercase() || c == '-'), "{code}");
        assert!(!matches!(exit, Exit::Done | Exit::Usage | Exit::LaterStep), "{error}");
    }
}

#[test]
fn no_text_is_told_twice() {
    for (error, _) in samples() {
        let chain = chain(&*error);
        for (at, text) in chain.iter().enumerate() {
            assert!(!chain[..at].iter().any(|before| before.contains(text)), "{chain:?}");
        }
    }
    let inner = ResourceError::Tracee(TraceeError::Proc { path: "/proc/1/maps".to_owned(), source: denied() });
    let passed_on = UpdateError::GivenUp(Box::new(VesselError::Resource(inner)));
    let expected =
        ["the update was given up before the point of no return", "cannot read /proc/1/maps", "Permission denied (os error 13)"];
    assert_eq!(chain(&passed_on), expected);
}

#[test]
fn the_state_of_the_process_decides_the_exit_code_and_the_cause_the_hint() {
    let cause = || Box::new(VesselError::Tracee(TraceeError::Call { call: "clone3", tid: 5, source: Errno::EPERM }));
    let given_up = update_failure(&UpdateError::GivenUp(cause()), &SUBJECT);
    assert_eq!((given_up.exit, &given_up.state), (Exit::Lacking, &State::Untouched(PID)));
    let rolled_back = update_failure(&UpdateError::RolledBack(cause()), &SUBJECT);
    assert_eq!((rolled_back.exit, &rolled_back.state), (Exit::RolledBack, &State::OldVersion(PID)));
    assert_eq!(given_up.hints, rolled_back.hints);
    let parked = update_failure(&UpdateError::Parked { pid: PID, source: cause(), back: cause() }, &SUBJECT);
    assert_eq!((parked.exit, &parked.state), (Exit::Parked, &State::Parked(PID)));
    assert_eq!(parked.hints, ["`dsu recover --pid 4242`"]);
    assert!(parked.also.is_some_and(|(_, chain)| chain.iter().any(|text| text.contains("clone3"))));
    let later = later_failure(&UpdateError::GivenUp(cause()), PID);
    assert_eq!((later.exit, &later.state), (Exit::LaterStep, &State::NewVersion(PID)));
}

#[test]
fn reasons_are_listed_with_their_hints() {
    let obstacles = vec![
        Obstacle::Descriptor { number: 8, target: "tcp".into(), reason: "established".into() },
        Obstacle::Timer { id: 3, reason: "odd".into() },
    ];
    let failure = update_failure(&UpdateError::Blocked { blockers: Vec::new(), obstacles }, &SUBJECT);
    let value = failure.json();
    assert_eq!((&value["result"], &value["exit"]), (&"blocked".into(), &3.into()));
    assert_eq!(value["obstacles"][0]["kind"], "descriptor");
    assert_eq!(value["obstacles"][0]["number"], 8);
    assert!(value["obstacles"][1]["hint"].as_str().unwrap().contains("timer 3"), "{value}");
    assert_eq!(value["blockers"], serde_json::json!([]));
    assert_eq!(failure.message(), "2 reasons stand in the way of process 4242");
}

#[test]
fn exit_codes_are_the_documented_ones() {
    let all =
        [Exit::Done, Exit::Failed, Exit::Usage, Exit::Blocked, Exit::RolledBack, Exit::Lacking, Exit::LaterStep, Exit::Parked];
    assert_eq!(all.map(Exit::code), [0, 1, 2, 3, 4, 5, 6, 7]);
    assert_eq!(all.iter().map(|exit| exit.word()).collect::<BTreeSet<_>>().len(), all.len());
}
