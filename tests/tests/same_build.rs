//! Every program, updated to a build that differs by its build-id only, notices nothing.

use dsu_tests::{flavours, for_each_program};

macro_rules! tests {
    ($($name:ident: ($($file:literal),+) $(. $method:ident ($($argument:expr),*))*;)*) => {
        $(#[test]
        fn $name() {
            flavours::same_build(stringify!($name));
        })*
    };
}
for_each_program!(tests);
