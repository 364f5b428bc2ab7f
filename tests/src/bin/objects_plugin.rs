//! A plugin that makes what `examples/objects.toml` says of `examples/objects.c`: what a plugin costs beside built-in rewriting.

use std::process::ExitCode;

use dsu_formats::plugin::sdk::{self, NewObject, Object, Plugin, Process, Refusal};

struct Objects;

impl Plugin for Objects {
    fn rewrites(&self) -> Vec<(&'static str, &'static str)> {
        vec![("object", "object")]
    }

    fn rewrite(&mut self, old: &Object, new: &mut NewObject<'_>, _: &mut Process<'_>) -> Result<(), Refusal> {
        new.carry_all(old)?;
        new.set("twice", old.get("value")? * 2)
    }
}

fn main() -> ExitCode {
    sdk::run("objects-plugin", Objects)
}
