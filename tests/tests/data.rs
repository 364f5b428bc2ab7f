//! Data that changes its shape: every program of that kind, there, back, and there and back, with its spec; and what the specs and the
//! drafts for them say without a process.

use dsu_tests::build::{self, Style, Version};
use dsu_tests::catalogue::{Expected, find};
use dsu_tests::dsu::{Run, code};
use dsu_tests::{flavours, for_each_data_program};
use tempfile::TempDir;

macro_rules! tests {
    ($($name:ident: ($($file:literal),+) $(. $method:ident ($($argument:expr),*))*;)*) => {
        mod plain {
            $(#[test]
            fn $name() {
                super::flavours::plain(stringify!($name));
            })*
        }
        mod changed {
            $(#[test]
            fn $name() {
                super::flavours::one_way(stringify!($name), super::Version::One);
            })*
        }
        mod back {
            $(#[test]
            fn $name() {
                super::flavours::one_way(stringify!($name), super::Version::Two);
            })*
        }
        mod there_and_back {
            $(#[test]
            fn $name() {
                super::flavours::there_and_back(stringify!($name));
            })*
        }
        mod specs {
            $(#[test]
            fn $name() {
                super::fits_and_drafts(stringify!($name));
            })*
        }
    };
}
for_each_data_program!(tests);

/// The specs of a program fit its builds, and `dsu diff` drafts one that can be read, in both directions.
fn fits_and_drafts(name: &str) {
    let program = find(name);
    for style in Style::OPPOSITE {
        for (from, to, expected) in [(Version::One, Version::Two, program.update), (Version::Two, Version::One, program.back)] {
            let [old, new] = [from, to].map(|version| build::program(&program, version, style));
            let what = format!("{name}, {from:?} to {to:?}, {style:?}");
            let diff = || Run::new("diff").argument(&old).argument(&new);
            if let Some(spec) = build::spec(&program, to).filter(|_| expected == Expected::Done) {
                diff().option("--spec", &spec).run().assert_code(code::DONE, &what);
            }
            let directory = TempDir::new().expect("a temporary directory");
            let draft = directory.path().join("draft.toml");
            diff().option("--output", &draft).run().assert_code(code::DONE, &format!("{what}, draft"));
            diff().option("--spec", &draft).run().assert_code(code::DONE, &format!("{what}, the draft as a spec"));
        }
    }
}
