//! Every program, built at a fixed address, is right after each update or refused; see the catalogue for which.

use dsu_tests::{flavours, for_each_program};

macro_rules! tests {
    ($($name:ident: ($($file:literal),+) $(. $method:ident ($($argument:expr),*))*;)*) => {
        $(#[test]
        fn $name() {
            flavours::fixed(stringify!($name));
        })*
    };
}
for_each_program!(tests);
