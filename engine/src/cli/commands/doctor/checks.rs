//! All checks, in the order in which they are printed.

use std::path::PathBuf;

use super::{Check, kernel, user};

/// Makes every check.
pub(super) fn all(debug_directories: &[PathBuf]) -> Vec<Check> {
    let mut checks = vec![kernel::version(), user::capabilities(), user::ptrace_scope()];
    checks.extend(kernel::tracing());
    checks.extend([
        kernel::thread_ids(),
        kernel::memory_layout(),
        kernel::executable_link(),
        kernel::mapped_files(),
        kernel::memory_files(),
        kernel::page_scan(),
        kernel::timer_ids(),
        kernel::user_faults(),
        user::locks(),
        user::debug_information(debug_directories),
        user::system_log(),
    ]);
    checks
}
