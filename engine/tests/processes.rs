//! One process of several that run the same program goes on in the new build; its parent and its siblings stay what they are.

mod common;
#[path = "common/moving.rs"]
mod moving;

use common::Program;
use moving::{moved, version};

#[test]
fn one_worker_of_two_goes_on_in_the_new_build() {
    let directory = tempfile::tempdir().unwrap();
    let versions = [1, 2].map(|number| version("workers", directory.path(), number, &[]));
    let mut program = Program::start(&versions[0]);
    let workers: Vec<i32> = program.line().split(' ').map(|pid| pid.parse().unwrap()).collect();
    assert_eq!(program.ask("0 a"), "worker 0 version 1 served 1");
    assert_eq!(program.ask("1 a"), "worker 1 version 1 served 1");
    moved(workers[0], &versions[1], None);
    assert_eq!(program.ask("0 b"), "worker 0 version 2 served 102");
    assert_eq!(program.ask("1 b"), "worker 1 version 1 served 2");
    let runs = |pid: i32| std::fs::read_link(format!("/proc/{pid}/exe")).unwrap();
    assert_eq!([program.pid(), workers[0], workers[1]].map(runs), [0, 1, 0].map(|version| versions[version].clone()));
    // The parent still waits for the same children.
    assert_eq!(program.ask("end"), "worker 0 ended with 7");
    assert_eq!(program.line(), "worker 1 ended with 8");
}
