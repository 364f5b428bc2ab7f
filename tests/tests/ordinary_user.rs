//! `dsu` run by a user without privilege on a process of its own.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::Command;

use dsu_tests::build::{self, Style, Version};
use dsu_tests::catalogue::{IDLE, Program, find};
use dsu_tests::dsu::{Run, code};
use dsu_tests::flavours::refused;
use dsu_tests::reach::{NOBODY, Reach};
use dsu_tests::target::{Event, Target};
use nix::unistd::Uid;

/// A program of an ordinary user, and what that user needs to move it.
struct User {
    reach: Reach,
    dsu: PathBuf,
    programs: [PathBuf; 2],
    target: Target,
}

impl User {
    /// Starts version one. `None`, with the reason printed, when this is not root, who alone can become a user.
    fn start(program: &Program) -> Option<Self> {
        if !Uid::effective().is_root() {
            println!("not run, it needs root to become another user");
            return None;
        }
        let reach = Reach::new();
        let programs = [(Version::One, "v1"), (Version::Two, "v2")]
            .map(|(version, name)| reach.copy(&build::program(program, version, Style::USUAL), name));
        let mut target = Target::start_as(program, &programs[0], Some(NOBODY));
        assert_eq!(target.event(), Event::Ready, "{}", target.log());
        Some(Self { dsu: reach.copy_dsu(), reach, programs, target })
    }

    fn run(&self, run: Run) -> Run {
        run.binary(&self.dsu).as_user(NOBODY)
    }

    /// Updates to version `number`.
    fn update(&self, number: usize) -> Run {
        self.run(Run::update(self.target.pid(), &self.programs[number - 1]))
    }

    /// Holds the version that the kernel says runs against `number`.
    fn assert_runs(&self, number: usize, what: &str) {
        let link = fs::read_link(format!("/proc/{}/exe", self.target.pid())).expect("the link to the program");
        assert_eq!(link, self.programs[number - 1], "{what}");
    }

    fn go_on(mut self, number: u32) {
        self.target.go(number);
        assert_eq!(self.target.event(), Event::Right, "{}", self.target.log());
        self.target.finish();
    }
}

#[test]
fn a_program_with_one_thread_is_moved_there_and_back() {
    let Some(user) = User::start(&find("function_pointers")) else { return };
    for number in [2, 1, 2, 1, 2] {
        user.update(number).run().assert_code(code::DONE, "update by an ordinary user");
        user.assert_runs(number, "after an update");
    }
    user.go_on(2);
}

#[test]
fn a_dsu_that_dies_leaves_a_program_that_its_user_can_recover() {
    let Some(user) = User::start(&find("globals_move")) else { return };
    let steps =
        ["planned:1", "executed:1", "exec:1", "exec:2", "exec:3", "exec-event:1", "exec-event:2", "map:1", "fill:1", "filled:1"];
    for step in steps {
        let outcome = user.update(2).fault(&format!("die:{step}")).run();
        assert_eq!(outcome.code, None, "{step}: {outcome:?}");
        user.run(Run::recover(user.target.pid())).run().assert_code(code::DONE, step);
        user.assert_runs(1, step);
    }
    // Rolled back by an exec of the old program, and killed in the middle of that.
    user.update(2).fault("give-back:1").run().assert_code(code::ROLLED_BACK, "a step that fails");
    user.assert_runs(1, "after the way back");
    for second in ["exec:5", "exec:6", "exec-event:3", "exec-event:4"] {
        let outcome = user.update(2).fault(&format!("give-back:1,die:{second}")).run();
        assert_eq!(outcome.code, None, "{second}: {outcome:?}");
        user.run(Run::recover(user.target.pid())).run().assert_code(code::DONE, second);
        user.assert_runs(1, second);
    }
    user.go_on(1);
}

#[test]
fn a_program_with_threads_takes_a_privilege_that_is_named() {
    let program = find("cond_wait");
    let Some(mut user) = User::start(&program) else { return };
    let run = user.update(2);
    let outcome = refused(&mut user.target, &program, run, &["9 threads", "setcap", "cap_checkpoint_restore"], "threads");
    outcome.assert_code(code::LACKING, "threads");
    let Ok(status) = Command::new("setcap").arg("cap_checkpoint_restore,cap_sys_ptrace+ep").arg(&user.dsu).status() else {
        println!("the rest is not run, there is no setcap");
        return user.go_on(1);
    };
    assert!(status.success(), "setcap");
    user.update(2).run().assert_code(code::DONE, "update by a dsu with capabilities");
    user.assert_runs(2, "after the update");
    user.go_on(2);
}

#[test]
fn a_program_whose_file_was_replaced_is_moved() {
    let Some(user) = User::start(&find("globals_move")) else { return };
    let [old, new] = &user.programs;
    fs::rename(new, old).expect("the new file takes the old one's place");
    user.run(Run::update(user.target.pid(), old)).run().assert_code(code::DONE, "update in place");
    user.assert_runs(1, "after the update");
    user.go_on(2);
}

#[test]
fn a_program_that_the_user_could_not_start_is_refused() {
    let Some(mut user) = User::start(&IDLE) else { return };
    for (mode, words) in [(0o644, "may not execute it"), (0o4755, "gives privileges"), (0o2755, "gives privileges")] {
        fs::set_permissions(&user.programs[1], fs::Permissions::from_mode(mode)).expect("chmod");
        let run = user.update(2);
        refused(&mut user.target, &IDLE, run, &[words], &format!("mode {mode:o}")).assert_code(code::BLOCKED, words);
    }
    user.go_on(1);
}

#[test]
fn memory_without_a_path_takes_a_privilege_that_is_named() {
    let program = find("memfd_mapped");
    let Some(mut user) = User::start(&program) else { return };
    let run = user.update(2);
    let outcome = refused(&mut user.target, &program, run, &["memfd", "cap_checkpoint_restore"], "a mapped memory file");
    outcome.assert_code(code::LACKING, "a mapped memory file");
    user.go_on(1);
}

#[test]
fn a_checkpoint_takes_no_privilege_and_the_doctor_says_what_does() {
    let Some(user) = User::start(&IDLE) else { return };
    let image = user.reach.path("images");
    fs::create_dir(&image).expect("a directory");
    fs::set_permissions(&image, fs::Permissions::from_mode(0o777)).expect("chmod");
    let image = image.join("image");
    let checkpoint = Run::new("checkpoint").pid(user.target.pid()).option("--output", &image);
    user.run(checkpoint).run().assert_code(code::DONE, "checkpoint");
    user.run(Run::new("verify").argument(&image)).run().assert_code(code::DONE, "verify");
    let doctor = user.run(Run::new("doctor")).run();
    doctor.assert_code(code::DONE, "doctor");
    for words in ["only programs with one thread can be moved", "execs its new program itself", "CAP_CHECKPOINT_RESTORE"] {
        assert!(doctor.text().contains(words), "{words:?} is not in {}", doctor.text());
    }
    user.go_on(1);
}
