//! Every program, updated to a changed build while it waits, goes on right in the new one.

use dsu_tests::{flavours, for_each_program};

macro_rules! tests {
    ($($name:ident: ($($file:literal),+) $(. $method:ident ($($argument:expr),*))*;)*) => {
        $(#[test]
        fn $name() {
            flavours::changed(stringify!($name));
        })*
    };
}
for_each_program!(tests);
