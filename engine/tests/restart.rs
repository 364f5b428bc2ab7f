//! Threads that enter a function of the new build, as a spec wants it: `main`, workers, and what is refused.

mod common;

use std::path::{Path, PathBuf};
use std::time::Duration;

use common::Program;
use dsu_engine::plan::blocker::Blocker;
use dsu_engine::update::error::UpdateError;
use dsu_engine::update::operation::{Observer, UpdateOutcome, UpdateRequest, update};
use dsu_formats::spec::Spec;

struct Silent;

impl Observer for Silent {
    fn step(&mut self, _name: &'static str) {}
    fn waiting(&mut self, _blockers: &[Blocker]) {}
}

fn version(directory: &Path, number: u32, flags: &[&str]) -> PathBuf {
    let directory = directory.join(number.to_string());
    std::fs::create_dir_all(&directory).unwrap();
    Program::compile("restarted", &directory, &[flags, &[&format!("-DVERSION={number}")]].concat())
}

fn versions(directory: &Path, flags: &[&str]) -> [PathBuf; 2] {
    [1, 2].map(|number| version(directory, number, flags))
}

fn spec(text: &str) -> Spec {
    Spec::parse(Path::new("update.toml"), text).unwrap()
}

fn move_to(pid: i32, program: &Path, spec: &Spec, wait: Duration) -> Result<UpdateOutcome, UpdateError> {
    let request = UpdateRequest {
        pid,
        program: program.to_owned(),
        wait,
        keep_image: None,
        force: false,
        strict: false,
        spec: Some(spec.clone()),
        accept_seccomp_risk: false,
        debug_directories: Vec::new(),
        cache: None,
        continuations: None,
    };
    update(&request, &mut Silent)
}

fn moved(pid: i32, program: &Path, spec: &Spec) {
    match move_to(pid, program, spec, Duration::from_secs(10)) {
        Ok(UpdateOutcome::Updated(_)) => {}
        Ok(UpdateOutcome::UpToDate { .. }) => panic!("two versions with one build-id"),
        Err(UpdateError::Blocked { blockers, obstacles }) => {
            panic!("{obstacles:?}\n{}", blockers.iter().map(|blocker| format!("{blocker}\n")).collect::<String>())
        }
        Err(error) => panic!("{error:?}"),
    }
}

/// What stands against it.
fn refused(pid: i32, program: &Path, spec: &Spec) -> String {
    match move_to(pid, program, spec, Duration::ZERO) {
        Err(UpdateError::Blocked { blockers, .. }) => blockers.iter().map(|blocker| format!("{blocker}\n")).collect(),
        Err(error) => {
            let mut text = error.to_string();
            let mut cause = std::error::Error::source(&error);
            while let Some(next) = cause {
                text = format!("{text}\n{next}");
                cause = next.source();
            }
            text
        }
        Ok(_) => panic!("it was let through"),
    }
}

const BOTH: &str = "[[restart]]\nfunction = \"main\"\n\n[[restart]]\nfunction = \"worker\"\n";

/// `main` and four workers begin anew with all they had, there and back.
fn main_and_workers(flags: &[&str]) {
    let directory = tempfile::tempdir().unwrap();
    let [one, two] = versions(directory.path(), flags);
    let spec = spec(BOTH);
    let mut program = Program::spawn(std::process::Command::new(&one).arg("given"));
    assert_eq!(program.line(), "version 1 begins 2 given");
    assert_eq!(program.ask("where"), "version 1 generation 0 asked 1");
    assert_eq!(program.ask("w2"), "version 1 worker 2 done 1");
    moved(program.pid(), &two, &spec);
    let mut said: Vec<String> = (0..5).map(|_| program.line()).collect();
    said.sort();
    assert_eq!(said[0], "version 2 begins 2 given with an environment, generation 1 asked 2");
    for number in 0..4 {
        let done = i32::from(number == 2);
        assert_eq!(said[number + 1], format!("version 2 worker {number} begins with {done}, cancelled by type 0"));
    }
    assert_eq!(program.ask("where"), "version 2 generation 1 asked 12");
    assert_eq!(program.ask("w2"), "version 2 worker 2 done 101");
    assert_eq!(program.ask("w0"), "version 2 worker 0 done 100");
    moved(program.pid(), &one, &spec);
    assert_eq!(program.line(), "version 1 begins 2 given");
    assert_eq!(program.ask("where"), "version 1 generation 2 asked 33");
    assert_eq!(program.ask("w2"), "version 1 worker 2 done 102");
}

#[test]
fn main_and_workers_begin_anew() {
    main_and_workers(&["-O0"]);
}

#[test]
fn optimised_main_and_workers_begin_anew() {
    main_and_workers(&["-O2"]);
}

#[test]
fn main_and_workers_at_a_fixed_address_begin_anew() {
    main_and_workers(&["-O2", "-no-pie"]);
}

fn entered(directory: &Path, flags: &[&str]) -> [PathBuf; 4] {
    [1, 2, 3, 4].map(|number| {
        let directory = directory.join(number.to_string());
        std::fs::create_dir_all(&directory).unwrap();
        Program::compile("entered", &directory, &[flags, &[&format!("-DVERSION={number}")]].concat())
    })
}

/// A function below others, with arguments made of what the old one had; then one that has the old one's parameters.
fn below_others(flags: &[&str], optimised: bool) {
    let directory = tempfile::tempdir().unwrap();
    let [one, two, three, _] = entered(directory.path(), flags);
    let mut program = Program::start(&one);
    assert_eq!(program.ask("a"), "version 1 one seed 1 kind -3 count 1 other two");
    // Where a variable is gone at the point, the spec is to do without it.
    let other = if optimised { "old.peer->next" } else { "old.other" };
    let given = spec(&format!(
        "[[restart]]\nfunction = \"turns\"\ninstead-of = \"session\"\narguments = [\"old.seed + 1\", \"{other}\", \"(unsigned char)old.peer->kind\", \
         \"old.count * 7\", \"old.peer.descriptor\", \"&greeting\"]\n"
    ));
    moved(program.pid(), &two, &given);
    assert_eq!(program.line(), "version 2 two begins at 7 seed 2 kind 253: hello");
    assert_eq!(program.ask("b"), "version 2 two count 2007");
    // Its callers have kept what they had.
    assert_eq!(program.ask("end"), "served 1 20 300 one total 2328");
    assert_eq!(program.line(), "version 2 two begins at 0 seed 1 kind 253: hello");
    if optimised {
        // `session` went on by a jump: whoever called it waits for a result of code that changes.
        let jumped = "[[restart]]\nfunction = \"session\"\ninstead-of = \"turns\"\narguments = [\"old.other\", 3, -2]\n";
        let message = refused(program.pid(), &three, &spec(jumped));
        assert!(message.contains("went on by a jump"), "{message}");
        return;
    }
    let back = spec("[[restart]]\nfunction = \"session\"\narguments = [\"old.peer->next\", 3, -2]\n");
    moved(program.pid(), &three, &back);
    assert_eq!(program.line(), "version 3 two seed 3 kind -2");
}

#[test]
fn a_function_below_others_gets_what_the_spec_says() {
    below_others(&["-O0"], false);
}

#[test]
fn an_optimised_function_below_others_gets_what_the_spec_says() {
    below_others(&["-O2"], true);
}

#[test]
fn parameters_of_the_same_names_hold_what_they_held() {
    let directory = tempfile::tempdir().unwrap();
    let [one, _, three, four] = entered(directory.path(), &["-O0"]);
    let mut program = Program::start(&one);
    assert_eq!(program.ask("a"), "version 1 one seed 1 kind -3 count 1 other two");
    let plain = spec("[[restart]]\nfunction = \"session\"\n");
    let message = refused(program.pid(), &four, &plain);
    assert!(message.contains("parameter `seed` of `session` is a `double`"), "{message}");
    moved(program.pid(), &three, &plain);
    assert_eq!(program.line(), "version 3 one seed 1 kind -3");
    assert_eq!(program.ask("end"), "served 1 20 300 one total 326");
}

#[test]
fn a_thread_is_let_go_on_while_frames_of_libraries_would_lose_something() {
    let directory = tempfile::tempdir().unwrap();
    let [one, two] = versions(directory.path(), &["-O1"]);
    let spec = spec(BOTH);
    for (command, says, because) in [
        ("signal", "in the handler of 10", "handles a signal"),
        ("condition", "waits for a condition", "would lose a lock"),
        ("sort", "in the middle of a library", "would be left in the middle"),
        ("stdio", "waits in the library", "which would lose a lock"),
    ] {
        let mut program = Program::spawn(std::process::Command::new(&one).arg("given"));
        assert_eq!(program.line(), "version 1 begins 2 given");
        assert_eq!(program.ask(command), says);
        // Said before it waits.
        wait_in_kernel(program.pid());
        let message = refused(program.pid(), &two, &spec);
        assert!(message.contains("is to enter `main` anew, and cannot") && message.contains(because), "{command}: {message}");
        if command != "condition" {
            program.ask("go\nwhere");
        }
    }
}

/// Waits until the leader sleeps, which it does for good.
fn wait_in_kernel(pid: i32) {
    let path = format!("/proc/{pid}/stat");
    let sleeps = || std::fs::read_to_string(&path).unwrap().rsplit_once(')').unwrap().1.trim_start().starts_with('S');
    let end = std::time::Instant::now() + Duration::from_secs(20);
    while !sleeps() {
        assert!(std::time::Instant::now() < end, "it does not wait");
        std::thread::yield_now();
    }
}

#[test]
fn a_thread_waits_where_the_spec_wants_it() {
    let directory = tempfile::tempdir().unwrap();
    let [one, two] = versions(directory.path(), &["-O2"]);
    let mut program = Program::spawn(std::process::Command::new(&one).arg("given"));
    assert_eq!(program.line(), "version 1 begins 2 given");
    let both = |wait: &str| {
        spec(&format!("{BOTH}thread = \"worker\"\n\n").replacen("\"main\"", &format!("\"main\"\nwaits-in = [\"{wait}\"]"), 1))
    };
    let message = refused(program.pid(), &two, &both("epoll_wait"));
    assert!(message.contains("is to wait in `epoll_wait`, and waits in `read`"), "{message}");
    moved(program.pid(), &two, &both("read"));
    let mut said: Vec<String> = (0..5).map(|_| program.line()).collect();
    said.sort();
    assert_eq!(said[0], "version 2 begins 2 given with an environment, generation 1 asked 0");
}

#[test]
fn wrong_specs_say_where_and_what() {
    let directory = tempfile::tempdir().unwrap();
    let [one, two] = versions(directory.path(), &["-O0"]);
    let [first, second, ..] = entered(directory.path(), &["-O0"]);
    let program = Program::spawn(std::process::Command::new(&one).arg("given"));
    let other = Program::start(&first);
    for (text, says) in [
        (
            "[[restart]]\nfunction = \"mian\"\n",
            "update.toml:2:13: function of the new program `mian` is not known; the nearest known name is `main`",
        ),
        (
            "[[restart]]\nfunction = \"main\"\nthread = \"wroker\"\n",
            "update.toml:3:11: function of the old program `wroker` is not known; the nearest known name is `worker`",
        ),
        (
            "[[restart]]\nfunction = \"main\"\nwaits-in = [\"epoll_wiat\"]\n",
            "update.toml:3:14: function of the C library that can be left while it waits `epoll_wiat` is not known; the nearest known name is `epoll_wait`",
        ),
        ("[[restart]]\nfunction = \"turn\"\n", "update.toml:2:13: `turn` has no partner in the old program"),
        (
            "[[restart]]\nfunction = \"turn\"\ninstead-of = \"worker\"\n",
            "update.toml:2:13: `turn` returns `int`, and who called the function in whose place it is entered expects `void *`",
        ),
        ("[[restart]]\nfunction = \"main\"\narguments = [1]\n", "update.toml:3:14: `main` takes 3 arguments, and 1 are given"),
        (
            "[[restart]]\nfunction = \"main\"\n[[restart]]\nfunction = \"main\"\n",
            "update.toml:3:1: an earlier [[restart]] enters `main` in its place already",
        ),
    ] {
        let message = refused(program.pid(), &two, &spec(text));
        assert!(message.contains(says), "{text}: {message}");
    }
    for (arguments, says) in [
        (
            "\"old.sede\", 0, 0, 0, 0, 0",
            "update.toml:3:15: variable of the old function `sede` is not known; the nearest known name is `seed`",
        ),
        ("1.5, 0, 0, 0, 0, 0", "type mismatch: `long int`, the type of `seed`, does not take what `1.5` is"),
        ("0, 0, 256, 0, 0, 0", "the value 256 is out of range: `unsigned char`, the type of `kind`, takes 0 to 255"),
        ("0, 0, 0, \"&peers\", 0, 0", "an address does not suit the parameter `count`"),
        ("0, \"&pears\", 0, 0, 0, 0", "variable of the new program `pears` is not known; the nearest known name is `peers`"),
    ] {
        let text = format!("[[restart]]\nfunction = \"turns\"\narguments = [{arguments}]\ninstead-of = \"session\"\n");
        let message = refused(other.pid(), &second, &spec(&text));
        assert!(message.contains(says), "{text}: {message}");
    }
}
