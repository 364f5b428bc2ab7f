//! Every program, written to a file and killed, goes on right from an image that was rewritten for a changed build.

use dsu_tests::{flavours, for_each_program};

macro_rules! tests {
    ($($name:ident: ($($file:literal),+) $(. $method:ident ($($argument:expr),*))*;)*) => {
        $(#[test]
        fn $name() {
            flavours::transformed(stringify!($name));
        })*
    };
}
for_each_program!(tests);
