//! Small C programs, compiled at test time, and what their code is found to do.

mod graphs;

use super::*;
use crate::program::address::LinkAddress;
use crate::program::build::Build;
use crate::program::code::{CodeImage, FunctionId};
use crate::program::testing::Compiled;
use crate::program::unwind::UnwindIndex;

/// Both compilers at all levels, with and without frame pointers.
pub(super) fn everywhere() -> Vec<(&'static str, Vec<&'static str>)> {
    let mut all = Vec::new();
    for compiler in ["gcc", "clang"] {
        for level in ["-O0", "-O1", "-O2", "-O3"] {
            for frame in ["-fomit-frame-pointer", "-fno-omit-frame-pointer"] {
                all.push((compiler, vec!["-g", level, frame]));
            }
        }
    }
    all
}

/// Runs `check` for each function of the program, as (name, number).
pub(super) fn functions(build: &Build, check: impl Fn(&CodeImage<'_>, &UnwindIndex, &str, FunctionId)) {
    let image = CodeImage::new(&build.elf, &build.debug);
    let unwind = UnwindIndex::new(&build.elf);
    for (id, function) in image.inventory().iter() {
        check(&image, &unwind, &function.full_name(), id);
    }
}

/// The graph of the function called `name`.
pub(super) fn graph(build: &Build, name: &str) -> Graph {
    let image = CodeImage::new(&build.elf, &build.debug);
    let unwind = UnwindIndex::new(&build.elf);
    let found = image.inventory().iter().find(|(_, function)| function.name == name);
    Graph::new(&image, &unwind, found.expect("the function").0).expect("its code is followed")
}

/// A program compiled with one set of flags.
pub(super) fn compile(source: &str, compiler: &str, flags: &[&str]) -> Build {
    Compiled::with(compiler, &[("program", source)], flags).build()
}

/// A place for messages.
pub(super) fn line(build: &Build, at: LinkAddress) -> String {
    build.place(at)
}
