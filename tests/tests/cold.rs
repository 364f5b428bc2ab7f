//! Every program, written to a file, killed and restored, goes on right; or its kind is refused by name.

use dsu_tests::{flavours, for_each_program};

macro_rules! tests {
    ($($name:ident: ($($file:literal),+) $(. $method:ident ($($argument:expr),*))*;)*) => {
        $(#[test]
        fn $name() {
            flavours::cold(stringify!($name));
        })*
    };
}
for_each_program!(tests);
