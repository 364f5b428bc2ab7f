//! Fifty updates in a row leave no more mappings, descriptors, threads or memory than two.

use dsu_tests::flavours;

macro_rules! tests {
    ($($name:ident),* $(,)?) => {
        $(#[test]
        fn $name() {
            flavours::fifty(stringify!($name));
        })*
    };
}
tests!(
    globals_move,
    function_pointers,
    retained_literals,
    cond_wait,
    thread_local,
    posix_timers,
    epoll_data,
    tcp_established,
    dlopen_lazy,
    copy_relocation,
    memory_locked,
    itimer_running,
    other_user,
    service_user,
);

#[test]
fn at_a_fixed_address() {
    for name in ["globals_move", "function_pointers", "retained_literals", "cond_wait", "thread_local", "copy_relocation"] {
        flavours::fifty_fixed(name);
    }
}
