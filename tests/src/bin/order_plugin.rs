//! A plugin for the test of plugins: each object says what the plugin does with it, from honest work to all that it must not do.

use std::fs::File;
use std::io::Write;
use std::net::TcpListener;
use std::process::{Command, ExitCode};

use dsu_formats::plugin::frame;
use dsu_formats::plugin::message::{FromPlugin, Rewritten};
use dsu_formats::plugin::sdk::{self, NewObject, Object, Plugin, Process, Refusal};

struct Order;

impl Plugin for Order {
    fn rewrites(&self) -> Vec<(&'static str, &'static str)> {
        vec![("order", "order")]
    }

    fn rewrite(&mut self, old: &Object, new: &mut NewObject<'_>, process: &mut Process<'_>) -> Result<(), Refusal> {
        new.carry_all(old)?;
        match old.get("what")? {
            0 => new.set("extra", old.get("what")? + 7),
            1 => look_at_next(old, new, process),
            2 => make_blocks(old, new, process),
            3 => Err(Refusal::new("this one never")),
            4 => std::process::abort(),
            5 => loop {
                std::hint::spin_loop();
            },
            6 => std::process::exit(0),
            7 => prove_shut_in(),
            8 => {
                let hog = vec![1u8; 1 << 30];
                new.set("extra", hog.len() as i64)
            }
            9 => {
                let _ = std::io::stdout().write_all(&[0xff; 64]);
                Ok(())
            }
            10 => {
                let lie = Rewritten { bytes: vec![0; 5], blocks: Vec::new() };
                let _ = frame::send(&mut std::io::stdout(), &FromPlugin::Rewritten(lie));
                Ok(())
            }
            _ => {
                let mut block = process.allocate(24);
                block.set_pointer(8, old.address())?;
                // A pointer past the end of its block, behind the SDK's back.
                let lie = dsu_formats::plugin::message::NewBlock { bytes: vec![0; 8], pointers: vec![8] };
                let lie = Rewritten { bytes: vec![0; new.layout().size as usize], blocks: vec![lie] };
                let _ = frame::send(&mut std::io::stdout(), &FromPlugin::Rewritten(lie));
                Ok(())
            }
        }
    }
}

fn look_at_next(old: &Object, new: &mut NewObject<'_>, process: &mut Process<'_>) -> Result<(), Refusal> {
    let next = process.object("order", old.pointer("next")?)?;
    new.set_bytes("note", next.bytes("note")?)
}

fn make_blocks(old: &Object, new: &mut NewObject<'_>, process: &mut Process<'_>) -> Result<(), Refusal> {
    let first = process.allocate(20).address();
    let mut second = process.allocate(16);
    second.set_pointer(8, old.address())?;
    second.set_pointer(0, first)?;
    new.set("next", second.address() as i64)
}

/// Refuses with the name of the first thing that could be done and must not.
fn prove_shut_in() -> Result<(), Refusal> {
    let escaped = |what: &str| Err(Refusal::new(format!("could {what}")));
    if File::open("/etc/passwd").is_ok() {
        return escaped("read a file");
    }
    if File::create("/tmp/dsu-plugin-was-here").is_ok() {
        return escaped("make a file");
    }
    if TcpListener::bind("127.0.0.1:0").is_ok() {
        return escaped("open a socket");
    }
    if Command::new("/bin/true").spawn().is_ok() {
        return escaped("start a program");
    }
    if std::thread::Builder::new().spawn(|| ()).is_ok() {
        return escaped("start a thread");
    }
    match std::fs::read_dir("/proc/self/fd") {
        Ok(_) => escaped("look at its descriptors"),
        Err(_) => Ok(()),
    }
}

fn main() -> ExitCode {
    sdk::run("order-plugin", Order)
}
