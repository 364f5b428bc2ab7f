//! Without `dsu`: a test of the tests. Both versions of every program find themselves right.

use dsu_tests::{flavours, for_each_program};

macro_rules! tests {
    ($($name:ident: ($($file:literal),+) $(. $method:ident ($($argument:expr),*))*;)*) => {
        $(#[test]
        fn $name() {
            flavours::plain(stringify!($name));
        })*
    };
}
for_each_program!(tests);
