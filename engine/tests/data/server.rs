//! A real server: kvd with keys and open connections. No block of it may be told that is none.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::Command;

use dsu_engine::plan::heap::{HeapView, MallocFamily};
use dsu_engine::plan::walk::{Structural, walk};

use crate::scene::{Program, Scene};
use crate::walk::STRUCT;

const KEYS: usize = 2000;

fn connect(line: &str) -> (TcpStream, BufReader<TcpStream>) {
    let port: u16 = line.rsplit(':').next().unwrap().parse().unwrap();
    let stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    let reader = BufReader::new(stream.try_clone().unwrap());
    (stream, reader)
}

fn ask((stream, reader): &mut (TcpStream, BufReader<TcpStream>), line: &str) -> String {
    stream.write_all(line.as_bytes()).unwrap();
    let mut answer = String::new();
    reader.read_line(&mut answer).unwrap();
    answer
}

fn is_in_malloc(scene: &Scene) -> bool {
    let loaded = scene.loaded();
    let libc = loaded.iter().position(|library| library.path.ends_with(b"libc.so.6")).unwrap();
    let family = MallocFamily::new(&loaded[libc], libc + 1);
    scene.unwind().iter().any(|(_, frames)| family.is_active(frames))
}

#[test]
fn every_entry_of_a_key_value_server_is_found_and_nothing_else_is_told() {
    let directory = tempfile::tempdir().unwrap();
    let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/kvd");
    let made = Command::new("make").arg("-s").arg("-C").arg(&sources).arg("v1").env("OUT", directory.path()).status();
    assert!(made.unwrap().success());
    let binary = directory.path().join("kvd-v1");
    let log = directory.path().join("log");
    let program = Program::serving(&binary, &["0", "3", log.to_str().unwrap()]);
    let mut clients: Vec<_> = (0..5).map(|_| connect(&program.said[0])).collect();
    for number in 0..KEYS {
        let client = &mut clients[number % 5];
        assert_eq!(ask(client, &format!("SET key{number} value{}\n", "x".repeat(number % 90))), "+OK\n");
    }
    for number in (0..KEYS).step_by(4) {
        assert_eq!(ask(&mut clients[number % 5], &format!("DEL key{number}\n")), ":1\n");
    }
    let mut scene = Scene::of(&binary, program);
    // A worker that has answered may still be tidying up.
    while !matches!(scene.heap(), HeapView::Readable(_)) || is_in_malloc(&scene) {
        scene = Scene::of(&binary, scene.let_go());
    }
    let (heap, memory, unwound) = (scene.heap(), scene.memory(), scene.unwind());
    let stacks = scene.stacks(&unwound);
    let types = &scene.build.debug.types;
    let entry = types.definitions(STRUCT, "entry")[0];
    let interest = Structural::new(types, [entry]);
    let mut seen = scene.walk(&memory, &heap, &interest);
    seen.stacks = &stacks;
    let walked = walk(&seen);
    assert_eq!(walked.problems, []);
    assert_eq!(walked.found.iter().filter(|found| found.kind == entry && found.whole).count(), KEYS - KEYS / 4);
}
