//! The numbers of `struct mm_struct` that `/proc` shows and `prctl(PR_SET_MM_MAP)` sets.

use dsu_formats::address::RunAddress;
use dsu_formats::model::latest::Layout;

use super::super::error::ResourceError;
use super::super::proc;
use super::super::questions::{Questions, Ticket};
use crate::tracee::error::TraceeError;
use crate::tracee::inject::Injector;

/// Reads the layout of the process. One injected call (`brk`).
pub fn capture_layout(injector: &mut dyn Injector) -> Result<Layout, ResourceError> {
    let mut questions = Questions::new(injector);
    let asked = ask_break(&mut questions);
    let answers = questions.put(injector)?;
    Ok(Layout { brk: RunAddress(answers.value(asked)?), ..read_layout(injector.memory().pid())? })
}

/// Adds the question for the current break.
pub(crate) fn ask_break(questions: &mut Questions) -> Ticket {
    questions.ask_any("brk", libc::SYS_brk, |_| [0])
}

/// Everything but the current break, which `/proc` does not show.
pub(crate) fn read_layout(pid: i32) -> Result<Layout, TraceeError> {
    let path = format!("/proc/{pid}/stat");
    let text = proc::text(pid, "stat")?;
    // The second field, the name, may hold spaces and parentheses: count from its end.
    let (_, rest) = text.rsplit_once(')').ok_or_else(|| proc::unexpected(path.as_str(), "a name in parentheses", &text))?;
    let words: Vec<&str> = rest.split_whitespace().collect();
    let field = |number: usize| -> Result<RunAddress, TraceeError> {
        let word = words.get(number - 3).copied().unwrap_or("");
        Ok(RunAddress(proc::decimal(&path, "an address in each of fields 26 to 51", word)?))
    };
    Ok(Layout {
        start_code: field(26)?,
        end_code: field(27)?,
        start_stack: field(28)?,
        start_data: field(45)?,
        end_data: field(46)?,
        start_brk: field(47)?,
        brk: RunAddress::default(),
        arg_start: field(48)?,
        arg_end: field(49)?,
        env_start: field(50)?,
        env_end: field(51)?,
        auxv: read_auxv(pid)?,
        exe: proc::link(pid, "exe")?,
    })
}

fn read_auxv(pid: i32) -> Result<Vec<(u64, u64)>, TraceeError> {
    let bytes = proc::bytes(pid, "auxv")?;
    let words: Vec<u64> = bytes.as_chunks::<8>().0.iter().map(|word| u64::from_le_bytes(*word)).collect();
    let mut pairs = Vec::new();
    for pair in words.as_chunks::<2>().0 {
        pairs.push((pair[0], pair[1]));
        if pair[0] == libc::AT_NULL {
            return Ok(pairs);
        }
    }
    Err(proc::unexpected(format!("/proc/{pid}/auxv"), "an entry AT_NULL at the end", &format!("{} entries", pairs.len())))
}

/// Whether this engine may set the `/proc/PID/exe` link of a process that runs as `uid` in its own user namespace.
///
/// The kernel asks for CAP_CHECKPOINT_RESTORE or CAP_SYS_ADMIN of the *target* (kernel/sys.c, `prctl_set_mm_exe_file`).
pub fn is_layout_link_settable(capabilities_effective: u64) -> bool {
    const CAP_SYS_ADMIN: u64 = 1 << 21;
    const CAP_CHECKPOINT_RESTORE: u64 = 1 << 40;
    capabilities_effective & (CAP_SYS_ADMIN | CAP_CHECKPOINT_RESTORE) != 0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resources::testing::Target;

    #[test]
    fn layout_of_a_program_names_its_parts() {
        let mut target = Target::start(
            r#"
            extern char etext;
            int main(int n, char **v, char **e) {
                say("%p", v[0]);
                wait_for_end();
            }"#,
        );
        let argument = target.address();
        let layout = read_layout(target.pid()).unwrap();
        assert_eq!(layout.arg_start.0, argument);
        assert!(layout.arg_start < layout.arg_end && layout.arg_end <= layout.env_start);
        assert!(layout.start_code < layout.end_code && layout.end_code < layout.start_data);
        assert!(layout.auxv.iter().any(|(kind, value)| *kind == libc::AT_PAGESZ && *value == 4096));
        assert_eq!(layout.auxv.last().unwrap().0, libc::AT_NULL);
        assert_eq!(layout.exe, target.program().as_os_str().as_encoded_bytes());
    }
}
