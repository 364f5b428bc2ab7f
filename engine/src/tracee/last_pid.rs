//! Keeps the kernel's PID counter from handing out the IDs of threads that are about to be made anew.

use super::error::TraceeError;

const PATH: &str = "/proc/sys/kernel/ns_last_pid";
/// How many new tasks the machine may start between the exec and the making of the last thread.
const AHEAD: i32 = 2000;

/// Moves the counter past every one of `tids` that it would soon come to (`kernel/pid_namespace.c`). Without the privilege
/// for it nothing happens: the chance is small, and a taken ID is noticed.
pub fn move_past(tids: impl Iterator<Item = i32>) -> Result<(), TraceeError> {
    let failed = |source| TraceeError::Proc { path: PATH.to_owned(), source };
    let text = std::fs::read_to_string(PATH).map_err(failed)?;
    let Ok(last) = text.trim().parse::<i32>() else { return Ok(()) };
    let Some(highest) = highest_ahead(last, tids) else { return Ok(()) };
    match std::fs::write(PATH, highest.to_string()) {
        Err(error) if error.kind() != std::io::ErrorKind::PermissionDenied => Err(failed(error)),
        _ => Ok(()),
    }
}

fn highest_ahead(last: i32, tids: impl Iterator<Item = i32>) -> Option<i32> {
    tids.filter(|tid| *tid > last && *tid - last < AHEAD).max()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_ids_shortly_ahead_of_the_counter_move_it() {
        assert_eq!(highest_ahead(1000, [900, 1000].into_iter()), None);
        assert_eq!(highest_ahead(1000, [900, 1005, 1900, 9000].into_iter()), Some(1900));
    }
}
