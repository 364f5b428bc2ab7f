//! Every program, updated to a changed build and back during one wait, goes on right.

use dsu_tests::{flavours, for_each_program};

macro_rules! tests {
    ($($name:ident: ($($file:literal),+) $(. $method:ident ($($argument:expr),*))*;)*) => {
        $(#[test]
        fn $name() {
            flavours::there_and_back(stringify!($name));
        })*
    };
}
for_each_program!(tests);
