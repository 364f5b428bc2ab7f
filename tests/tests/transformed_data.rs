//! Every program whose data changes its shape goes on right from an image that was rewritten for a changed build, with its spec.

use dsu_tests::{flavours, for_each_data_program};

macro_rules! tests {
    ($($name:ident: ($($file:literal),+) $(. $method:ident ($($argument:expr),*))*;)*) => {
        $(#[test]
        fn $name() {
            flavours::transformed(stringify!($name));
        })*
    };
}
for_each_data_program!(tests);
