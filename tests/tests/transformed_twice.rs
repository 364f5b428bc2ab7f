//! Every program goes on right from an image that was rewritten twice before anything was restored from it.

use dsu_tests::{flavours, for_each_program};

macro_rules! tests {
    ($($name:ident: ($($file:literal),+) $(. $method:ident ($($argument:expr),*))*;)*) => {
        $(#[test]
        fn $name() {
            flavours::transformed_twice(stringify!($name));
        })*
    };
}
for_each_program!(tests);
