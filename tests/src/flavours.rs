//! The flavours: what is done to a program while it waits, and what must come of it.

use std::path::Path;

use nix::unistd::Uid;

use crate::build::{self, Style, Version};
use crate::catalogue::{Expected, Program, find};
use crate::dsu::{Outcome, Run, code};
use crate::observe::{Growth, Registers, Snapshot};
use crate::target::{Event, Target};

/// Whether all combinations are asked for (`DSU_TESTS_FULL=1`) and not only the sensible selection.
pub fn full_matrix() -> bool {
    std::env::var_os("DSU_TESTS_FULL").is_some_and(|value| value != "0")
}

/// The styles in which a program is updated: all four for a core set of mechanisms, or when everything is asked for.
fn update_styles(program: &Program) -> &'static [Style] {
    const CORE: [&str; 10] = [
        "globals_move",
        "function_pointers",
        "const_tables",
        "retained_literals",
        "longjmp_old",
        "cond_wait",
        "thread_local",
        "dlopen_lazy",
        "copy_relocation",
        "exit_handlers",
    ];
    if full_matrix() || CORE.contains(&program.name) { &Style::ALL } else { &[Style::USUAL] }
}

/// Runs the test for the program `name` unless it needs what this user is not; then the reason is printed.
fn if_permitted(name: &str, test: impl Fn(&Program)) {
    let program = find(name);
    if program.root && !Uid::effective().is_root() {
        println!("{name}: not run, it needs root");
        return;
    }
    test(&program);
}

/// Drives a program from its start to its end; at each wait `act` does its work and returns the version that must run then.
fn drive(program: &Program, start: Version, style: Style, mut act: impl FnMut(&mut Target) -> u32) {
    let mut target = Target::start(program, &build::program(program, start, style));
    loop {
        match target.event() {
            Event::Ready => {
                let number = act(&mut target);
                target.go(number);
            }
            Event::Right => return target.finish(),
            Event::Skipped(reason) => return println!("{}: not run, {reason}", program.name),
            Event::Wrong(line) => panic!("{} ({style:?}): {line}", program.name),
            Event::Ended(how) => panic!("{} ({style:?}): ended, {how}; {}", program.name, target.log()),
        }
    }
}

/// Without `dsu`: the program itself must be right, in both versions.
pub fn plain(name: &str) {
    if_permitted(name, |program| {
        let styles = if full_matrix() { &Style::ALL[..] } else { &Style::OPPOSITE[..] };
        for &style in styles {
            for version in [Version::One, Version::Two] {
                drive(program, version, style, |_| version.number());
            }
        }
    });
}

/// Updated to a build that differs by its build-id and file only.
pub fn same_build(name: &str) {
    if_permitted(name, |program| {
        for &style in update_styles(program) {
            drive(program, Version::One, style, |target| update(target, program, style, Version::One, Version::OneAgain));
        }
    });
}

/// Updated to the other version at each wait, from version one to two first.
pub fn changed(name: &str) {
    if_permitted(name, |program| {
        for &style in update_styles(program) {
            let mut running = Version::One;
            drive(program, running, style, |target| {
                running = flip(target, program, style, running);
                running.number()
            });
        }
    });
}

/// Updated to version two and back to version one during each wait.
pub fn there_and_back(name: &str) {
    if_permitted(name, |program| {
        let mut running = Version::One;
        drive(program, running, Style::USUAL, |target| {
            running = flip(target, program, Style::USUAL, running);
            running = flip(target, program, Style::USUAL, running);
            running.number()
        });
    });
}

/// Built at a fixed address, updated to the other version at each wait, from version one to two first.
pub fn fixed(name: &str) {
    if_permitted(name, |program| {
        if program.is_independent {
            return println!("{name}: not run, it is about position-independent programs");
        }
        let styles = if full_matrix() { &Style::FIXED[..] } else { &Style::FIXED[..1] };
        for &style in styles {
            let mut running = Version::One;
            drive(program, running, style, |target| {
                running = flip(target, program, style, running);
                running.number()
            });
        }
    });
}

/// Updated to version two with a fault at `step`, at its passage `passage`: the program goes on right, as old or as new, after
/// `dsu recover` where it was parked. Whether the fault struck is returned.
pub fn with_fault(name: &str, step: &str, passage: u32, effect: Effect) -> bool {
    let program = find(name);
    if program.root && !Uid::effective().is_root() {
        println!("{name}: not run, it needs root");
        return true;
    }
    let [old, new] = [Version::One, Version::Two].map(|version| build::program(&program, version, Style::USUAL));
    let fault = format!("{}{step}:{passage}", if effect == Effect::Die { "die:" } else { "" });
    let what = format!("{name}, fault {fault}");
    let mut struck = None;
    let mut target = Target::start(&program, &old);
    loop {
        match target.event() {
            Event::Ready if struck.is_none() => {
                let outcome = Run::update(target.pid(), &new).options(program.options).fault(&fault).run();
                struck = Some(outcome.code != Some(code::DONE));
                let runs = settle(&target, &old, &new, &outcome, &what);
                target.go(runs.number());
            }
            Event::Ready => target.go(running(&target, &old, &new, &what).number()),
            Event::Right => {
                target.finish();
                return struck.unwrap_or(false);
            }
            other => panic!("{what}: {other:?}; {}", target.log()),
        }
    }
}

/// What a fault does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// The step fails.
    Fail,
    /// The engine dies at the step, as by SIGKILL.
    Die,
}

/// Recovers a parked program, and holds the version that runs against what `dsu` said of it.
fn settle(target: &Target, old: &Path, new: &Path, outcome: &Outcome, what: &str) -> Version {
    assert!(target.is_alive(), "{what}: the program is dead; dsu said:\n{}", outcome.text());
    if outcome.code == Some(code::PARKED) || outcome.code.is_none() {
        let recovered = Run::recover(target.pid()).run();
        recovered.assert_code(code::DONE, &format!("{what}: recover"));
    }
    let runs = running(target, old, new, what);
    let expected = match outcome.code {
        Some(code::DONE | code::LATER_STEP) => Some(Version::Two),
        Some(code::FAILED | code::BLOCKED | code::ROLLED_BACK | code::LACKING) => Some(Version::One),
        Some(code::PARKED) | None => None,
        Some(other) => panic!("{what}: exit code {other}:\n{}", outcome.text()),
    };
    assert!(expected.is_none_or(|expected| expected == runs), "{what}: {runs:?} runs; dsu said:\n{}", outcome.text());
    runs
}

/// Which of two builds the kernel says the process runs.
fn running(target: &Target, old: &Path, new: &Path, what: &str) -> Version {
    match std::fs::read_link(format!("/proc/{}/exe", target.pid())) {
        Ok(path) if path == old => Version::One,
        Ok(path) if path == new => Version::Two,
        other => panic!("{what}: the running executable is {other:?}; {}", target.log()),
    }
}

/// Updated once from version `from` to the other one, in the styles that differ most.
pub fn one_way(name: &str, from: Version) {
    if_permitted(name, |program| {
        for style in Style::OPPOSITE {
            drive(program, from, style, |target| update(target, program, style, from, other(from)));
        }
    });
}

/// Updated fifty times during the first wait and once at each wait that follows; it may not grow.
pub fn fifty(name: &str) {
    fifty_of(name, Style::USUAL);
}

/// The same at a fixed address.
pub fn fifty_fixed(name: &str) {
    fifty_of(name, Style::FIXED[0]);
}

fn fifty_of(name: &str, style: Style) {
    if_permitted(name, |program| {
        let mut running = Version::One;
        let mut waits = 0;
        drive(program, running, style, |target| {
            waits += 1;
            let mut after_two = None;
            for done in 1..=if waits == 1 { 50 } else { 1 } {
                running = flip(target, program, style, running);
                if done == 2 {
                    after_two = Some(Growth::measure(target.pid()));
                }
            }
            if let Some(after_two) = after_two {
                Growth::measure(target.pid()).assert_no_more_than(&after_two, program.name);
            }
            running.number()
        });
    });
}

/// Written to an image, killed, and restored from the image, at each wait.
pub fn cold(name: &str) {
    if_permitted(name, |program| {
        drive(program, Version::One, Style::USUAL, |target| {
            checkpoint_and_restore(target, program);
            1
        });
    });
}

/// Written to an image and killed; the image is rewritten for the other version, and that is restored, at each wait.
pub fn transformed(name: &str) {
    if_permitted(name, |program| {
        let mut running = Version::One;
        drive(program, running, Style::USUAL, |target| {
            running = through_images(target, program, running, &[other(running)]);
            running.number()
        });
    });
}

/// As [`transformed`], with an image rewritten for version two and that one for version one, before anything is restored.
pub fn transformed_twice(name: &str) {
    if_permitted(name, |program| {
        let mut running = Version::One;
        drive(program, running, Style::USUAL, |target| {
            running = through_images(target, program, running, &[Version::Two, Version::OneAgain]);
            running.number()
        });
    });
}

/// Programs that measure how long they stood still: in images they do for as long as the machine takes to plan twice.
const MEASURING: [&str; 1] = ["block_nanosleep"];

/// Programs with threads that allocate all the time.
const ALLOCATING: [&str; 1] = ["data_busy_allocator"];

/// Checkpoints and kills `target`, rewrites its image for each of `versions` in turn, and restores the last one that could be
/// written; returns the version that runs then.
fn through_images(target: &mut Target, program: &Program, from: Version, versions: &[Version]) -> Version {
    if MEASURING.contains(&program.name) {
        println!("{}: not run, it measures how long it stood still", program.name);
        return from;
    }
    let mut image = target.path("image");
    let what = format!("{}, {from:?} to {versions:?} by images", program.name);
    let checkpoint = Run::checkpoint_and_kill(target.pid(), &image).options(program.options);
    if let Expected::Refused(words) = program.cold {
        refused(target, program, checkpoint, words, &what);
        return from;
    }
    let outcome = checkpoint.run();
    if program.cold == Expected::DoneOrRefused && outcome.code == Some(code::BLOCKED) {
        return from;
    }
    outcome.assert_code(code::DONE, &what);
    assert_eq!(target.await_end(), "killed by SIGKILL", "{what}: end after the checkpoint");
    let mut runs = from;
    for (number, &to) in versions.iter().enumerate() {
        let output = target.path(&format!("image{}", number + 2));
        if !rewrite(program, (&image, runs), (&output, to), &what) {
            break;
        }
        Run::new("verify").argument(&output).run().assert_code(code::DONE, &what);
        (image, runs) = (output, to);
    }
    let outcome = Run::restore(&image).run();
    outcome.assert_code(code::DONE, &what);
    assert!(target.is_alive(), "{what}: alive after the restore");
    assert_runs(target, &build::program(program, runs, Style::USUAL), &what, &outcome);
    runs
}

/// Rewrites an image and holds the outcome against what is expected; `false` when that was refused and nothing was written.
fn rewrite(program: &Program, (image, from): (&Path, Version), (output, to): (&Path, Version), what: &str) -> bool {
    let expected = match (from, to) {
        // What an exec would take does not matter to an image.
        _ if program.cold == Expected::DoneOrRefused => Expected::DoneOrRefused,
        (_, Version::Two) => program.update,
        (_, Version::One | Version::OneAgain) => program.back,
    };
    let new = build::program(program, to, Style::USUAL);
    let spec = build::spec(program, to);
    let answered = |run: Run| spec.iter().fold(run, |run, spec| run.option("--spec", spec)).run();
    let plan = answered(Run::new("plan").option("--image", image).option("--program", &new));
    let outcome = answered(Run::transform(image, &new, output));
    assert_eq!(plan.code, outcome.code, "{what}: plan and transform differ:\n{}{}", plan.text(), outcome.text());
    if outcome.code == Some(code::DONE) {
        assert!(!matches!(expected, Expected::Refused(_)), "{what}: a refusal was expected:\n{}", outcome.text());
        return true;
    }
    let was_rewritten = !image.ends_with("image");
    if was_rewritten && outcome.text().contains("is finished only by its restore") {
        outcome.assert_code(code::FAILED, what);
        assert!(!output.exists(), "{what}: an image was written all the same");
        return false;
    }
    // An image stands still: a thread that was inside malloc is there for ever.
    let is_busy = ALLOCATING.contains(&program.name) && outcome.text().contains("inside malloc");
    assert!(is_busy || expected != Expected::Done, "{what}:\n{}", outcome.text());
    outcome.assert_code(code::BLOCKED, what);
    if let Expected::Refused(words) = expected {
        for word in words {
            assert!(outcome.text().contains(word), "{what}: the refusal does not say {word:?}:\n{}", outcome.text());
        }
    }
    assert!(!output.exists(), "{what}: an image was written all the same");
    false
}

/// The other one of versions one and two.
fn other(version: Version) -> Version {
    if version.number() == 1 { Version::Two } else { Version::One }
}

/// Updates to the other version, and returns the version that runs then.
fn flip(target: &mut Target, program: &Program, style: Style, running: Version) -> Version {
    let next = other(running);
    if update(target, program, style, running, next) == next.number() { next } else { running }
}

/// Updates `target` from `from` to `to`, holds the outcome against what is expected, and returns the number that runs then.
fn update(target: &mut Target, program: &Program, style: Style, from: Version, to: Version) -> u32 {
    let expected = match (from, to) {
        (_, Version::OneAgain) => program.same,
        (_, Version::Two) => program.update,
        (_, Version::One) => program.back,
    };
    // What is refused is refused at a fixed address, too.
    let expected = match (program.fixed, expected) {
        (fixed, Expected::Done) if style.fixed => fixed,
        (Expected::DoneOrRefused, _) if style.fixed => Expected::DoneOrRefused,
        (_, expected) => expected,
    };
    let [old, new] = [from, to].map(|version| build::program(program, version, style));
    let what = format!("{}, {from:?} to {to:?}, {style:?}", program.name);
    let mut run = Run::update(target.pid(), &new).options(program.options);
    if let Some(spec) = build::spec(program, to) {
        run = run.option("--spec", &spec);
    }
    if let Expected::Refused(words) = expected {
        refused(target, program, run.option("--wait", Path::new("100ms")), words, &what);
        return from.number();
    }
    let outcome = run.run();
    let done = outcome.code == Some(code::DONE);
    if expected == Expected::Done || done {
        outcome.assert_code(code::DONE, &what);
    } else {
        outcome.assert_code(code::BLOCKED, &what);
    }
    assert_runs(target, if done { &new } else { &old }, &what, &outcome);
    if done { to.number() } else { from.number() }
}

/// Runs `run`, which must be refused for a reason that has all of `words`, and leave `target` exactly as it was.
pub fn refused(target: &mut Target, program: &Program, run: Run, words: &[&str], what: &str) -> Outcome {
    let registers = if program.unstoppable { Registers::Skip } else { Registers::Read };
    let before = Snapshot::take(target.pid(), registers);
    let outcome = run.run();
    let nothing_changed = [code::FAILED, code::BLOCKED, code::LACKING].map(Some);
    assert!(nothing_changed.contains(&outcome.code), "{what}: refusal expected, found {:?}:\n{}", outcome.code, outcome.text());
    for word in words {
        assert!(outcome.text().contains(word), "{what}: the refusal does not say {word:?}:\n{}", outcome.text());
    }
    Snapshot::take(target.pid(), registers).assert_same_as(&before, what);
    outcome
}

/// The executable that the kernel names must be the one that is expected to run.
fn assert_runs(target: &Target, executable: &Path, what: &str, outcome: &Outcome) {
    let link = std::fs::read_link(format!("/proc/{}/exe", target.pid()));
    assert!(
        link.as_ref().is_ok_and(|path| path == executable),
        "{what}: the running executable is {link:?}, expected {}; {}; dsu said:\n{}",
        executable.display(),
        target.log(),
        outcome.text()
    );
}

fn checkpoint_and_restore(target: &mut Target, program: &Program) {
    let image = target.path("image");
    let what = format!("{}, cold", program.name);
    let run = Run::checkpoint_and_kill(target.pid(), &image).options(program.options);
    match program.cold {
        Expected::Refused(words) => {
            refused(target, program, run, words, &what);
        }
        Expected::Done | Expected::DoneOrRefused => {
            let outcome = run.run();
            if program.cold == Expected::DoneOrRefused && outcome.code == Some(code::BLOCKED) {
                return;
            }
            outcome.assert_code(code::DONE, &what);
            assert_eq!(target.await_end(), "killed by SIGKILL", "{what}: end after the checkpoint");
            Run::new("verify").argument(&image).run().assert_code(code::DONE, &what);
            Run::restore(&image).run().assert_code(code::DONE, &what);
            assert!(target.is_alive(), "{what}: alive after the restore");
        }
    }
}
