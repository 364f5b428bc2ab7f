//! User, groups, capabilities. An exec sets the saved and file-system IDs to the effective ones and computes the permitted
//! capabilities anew (security/commoncap.c); it clears the bit that keeps capabilities over a change of user.

use dsu_formats::model::latest::{Capabilities, Credentials};

use super::error::{Obstacle, ResourceError};
use super::questions::{Answers, Questions, Ticket};
use super::status::Status;
use crate::tracee::batch::Batch;
use crate::tracee::error::TraceeError;
use crate::tracee::inject::Injector;

const PR_SET_KEEPCAPS: u64 = 8;
const PR_CAPBSET_DROP: u64 = 24;
const PR_GET_SECUREBITS: u64 = 27;
const PR_SET_SECUREBITS: u64 = 28;
const PR_SET_NO_NEW_PRIVS: u64 = 38;
const PR_CAP_AMBIENT: u64 = 47;
const PR_CAP_AMBIENT_RAISE: u64 = 2;
const SECBIT_NOROOT: u32 = 1;
const SECBIT_KEEP_CAPS: u32 = 1 << 4;
const CAP_SETGID: u64 = 1 << 6;
const CAP_SETUID: u64 = 1 << 7;
const CAP_SYS_ADMIN: u64 = 1 << 21;
const CAP_CHECKPOINT_RESTORE: u64 = 1 << 40;
const CAPABILITY_VERSION_3: u32 = 0x2008_0522;

/// The process's credentials, from the leader's `status` and one injected call.
pub fn capture(injector: &mut dyn Injector, status: &Status) -> Result<Credentials, ResourceError> {
    let leader = injector.threads()[0];
    let mut questions = Questions::new(injector);
    let asked = ask_securebits(&mut questions, leader);
    Ok(from_answers(&questions.put(injector)?, asked, status)?)
}

/// Adds the question to the leader, whose bits they are.
pub(crate) fn ask_securebits(questions: &mut Questions, leader: i32) -> Ticket {
    questions.ask(leader, "prctl(PR_GET_SECUREBITS)", libc::SYS_prctl, |_| [PR_GET_SECUREBITS, 0, 0, 0, 0])
}

/// What was asked for, and what the leader's status says.
pub(crate) fn from_answers(answers: &Answers, asked: Ticket, status: &Status) -> Result<Credentials, TraceeError> {
    let securebits = answers.value(asked)? as u32;
    Ok(Credentials {
        uids: status.uids,
        gids: status.gids,
        groups: status.groups.clone(),
        capabilities: status.capabilities,
        securebits,
        no_new_privs: status.no_new_privs,
        keep_capabilities: securebits & SECBIT_KEEP_CAPS != 0,
    })
}

/// What an exec of a file without capabilities leaves of the permitted set.
fn permitted_after_exec(saved: &Credentials) -> u64 {
    let sets = &saved.capabilities;
    let is_root = (saved.uids[0] == 0 || saved.uids[1] == 0) && saved.securebits & SECBIT_NOROOT == 0;
    if is_root { sets.inheritable | sets.bounding } else { sets.ambient }
}

/// Whether the process can still choose thread IDs and set the link to its executable after an exec of a file without
/// capabilities (`kernel/pid.c`, `alloc_pid`; `kernel/sys.c`, `prctl_set_mm_exe_file`).
pub fn can_restore_itself(saved: &Credentials) -> bool {
    has_restore_capability(permitted_after_exec(saved))
}

/// Whether one of these capabilities lets a process choose thread IDs and set that link.
pub fn has_restore_capability(capabilities: u64) -> bool {
    capabilities & (CAP_SYS_ADMIN | CAP_CHECKPOINT_RESTORE) != 0
}

/// What a file should give to such a process, so that it can be restored with all that it has: none if the file's gift is not
/// taken or does not help (`security/commoncap.c`, `cap_bprm_creds_from_file`).
pub fn from_file(saved: &Credentials) -> u64 {
    let wanted = CAP_CHECKPOINT_RESTORE | CAP_SETUID | CAP_SETGID | saved.capabilities.permitted;
    // A file that would give more than the bounding set allows could not be executed at all.
    let given = wanted & saved.capabilities.bounding;
    if saved.no_new_privs || !has_restore_capability(given) { 0 } else { given }
}

/// What of these credentials would be lost for good by an exec of a file that gives `given`.
pub fn blockers(saved: &Credentials, given: u64) -> Vec<Obstacle> {
    let mut obstacles = Vec::new();
    let sets = &saved.capabilities;
    let permitted = permitted_after_exec(saved) | given;
    let lost = sets.permitted & !permitted;
    if lost != 0 {
        obstacles.push(Obstacle::Attribute {
            attribute: "permitted capabilities",
            value: format!("{:#x}", sets.permitted),
            reason: format!("an exec takes {lost:#x} of them, and the process cannot take them back"),
        });
    }
    for (ids, attribute, capability) in
        [(saved.uids, "saved and file-system user", CAP_SETUID), (saved.gids, "saved and file-system group", CAP_SETGID)]
    {
        let may_set = permitted & capability != 0;
        let [real, effective, saved_id, file_system] = ids;
        let is_lost = |id| ![real, effective].contains(&id);
        if !may_set && (is_lost(saved_id) || is_lost(file_system)) {
            obstacles.push(Obstacle::Attribute {
                attribute,
                value: format!("{saved_id}, {file_system}"),
                reason: "an exec takes them, and the process has no right to set them".to_owned(),
            });
        }
    }
    obstacles
}

/// Gives thread `tid` of the vessel, whose status is `now`, what the exec took. No call for a thread whose credentials are right,
/// the usual case.
///
/// Threads have credentials of their own, so call it for each. Comes before everything that a change of credentials resets
/// (parent-death signal, dumpable) and after everything that needs the capabilities that the process had given up.
pub fn give_back(batch: &mut Batch<'_>, tid: i32, saved: &Credentials, now: &Status) -> Result<(), ResourceError> {
    if now.gids != saved.gids {
        set_ids(batch, tid, &saved.gids, [("setresgid", libc::SYS_setresgid), ("setfsgid", libc::SYS_setfsgid)])?;
    }
    let changes_user = now.uids != saved.uids;
    if changes_user {
        set_ids(batch, tid, &saved.uids, [("setresuid", libc::SYS_setresuid), ("setfsuid", libc::SYS_setfsuid)])?;
    }
    // A change of user may change the capabilities too, and takes ambient ones.
    if changes_user || now.capabilities != saved.capabilities {
        let kept = if changes_user { 0 } else { now.capabilities.ambient };
        set_capabilities(batch, tid, &saved.capabilities, kept)?;
    }
    if saved.keep_capabilities {
        batch.add(tid, "prctl(PR_SET_KEEPCAPS)", libc::SYS_prctl, [PR_SET_KEEPCAPS, 1, 0, 0, 0])?;
    }
    Ok(())
}

fn set_ids(
    batch: &mut Batch<'_>,
    tid: i32,
    ids: &[u32; 4],
    [all, file_system]: [(&'static str, i64); 2],
) -> Result<(), ResourceError> {
    let [real, effective, saved, file_system_id] = ids.map(u64::from);
    batch.add(tid, all.0, all.1, [real, effective, saved])?;
    if file_system_id != effective {
        batch.add(tid, file_system.0, file_system.1, [file_system_id])?;
    }
    Ok(())
}

/// Sets all sets but the bounding one; `kept` are ambient capabilities that are there already.
fn set_capabilities(batch: &mut Batch<'_>, tid: i32, sets: &Capabilities, kept: u64) -> Result<(), ResourceError> {
    // __user_cap_header_struct, then two __user_cap_data_struct: effective, permitted, inheritable, low halves first.
    let mut words = vec![CAPABILITY_VERSION_3, 0];
    for shift in [0, 32] {
        words.extend([sets.effective, sets.permitted, sets.inheritable].map(|set| (set >> shift) as u32));
    }
    batch.add_with(tid, "capset", libc::SYS_capset, |at| {
        (words.iter().flat_map(|word| word.to_le_bytes()).collect(), [at, at + 8])
    })?;
    for capability in (0..64).filter(|capability| (sets.ambient & !kept) >> capability & 1 == 1) {
        let arguments = [PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, capability, 0, 0];
        batch.add(tid, "prctl(PR_CAP_AMBIENT_RAISE)", libc::SYS_prctl, arguments)?;
    }
    Ok(())
}

/// Gives thread `tid` of a fresh process, whose status is `now`, these credentials: everything that an exec would have kept, then
/// the rest.
pub fn restore(batch: &mut Batch<'_>, tid: i32, saved: &Credentials, now: &Status) -> Result<(), ResourceError> {
    let excess = now.capabilities.bounding & !saved.capabilities.bounding;
    for capability in (0..64).filter(|capability| excess >> capability & 1 == 1) {
        batch.add(tid, "prctl(PR_CAPBSET_DROP)", libc::SYS_prctl, [PR_CAPBSET_DROP, capability, 0, 0, 0])?;
    }
    if now.groups != saved.groups {
        batch.add_with(tid, "setgroups", libc::SYS_setgroups, |at| {
            (saved.groups.iter().flat_map(|group| group.to_le_bytes()).collect(), [saved.groups.len() as u64, at])
        })?;
    }
    // Capabilities must survive the change of user, to be set right after it.
    let bits = [PR_SET_SECUREBITS, u64::from(saved.securebits | SECBIT_KEEP_CAPS), 0, 0, 0];
    batch.add(tid, "prctl(PR_SET_SECUREBITS)", libc::SYS_prctl, bits)?;
    give_back(batch, tid, &Credentials { keep_capabilities: false, ..saved.clone() }, now)?;
    if !saved.keep_capabilities {
        batch.add(tid, "prctl(PR_SET_KEEPCAPS)", libc::SYS_prctl, [PR_SET_KEEPCAPS, 0, 0, 0, 0])?;
    }
    if saved.no_new_privs && !now.no_new_privs {
        batch.add(tid, "prctl(PR_SET_NO_NEW_PRIVS)", libc::SYS_prctl, [PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0])?;
    }
    Ok(())
}

/// Compares the credentials of thread `tid` with what they should be.
pub fn verify(pid: i32, tid: i32, saved: &Credentials) -> Result<(), ResourceError> {
    let now = Status::read(pid, tid)?;
    let found = (now.uids, now.gids, &now.groups, now.capabilities, now.no_new_privs);
    let expected = (saved.uids, saved.gids, &saved.groups, saved.capabilities, saved.no_new_privs);
    if found == expected {
        return Ok(());
    }
    Err(ResourceError::NotGivenBack {
        object: format!("the credentials of thread {tid}"),
        expected: format!("{expected:x?}"),
        found: format!("{found:x?}"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: u64 = (1 << 41) - 1;

    fn root() -> Credentials {
        let capabilities = Capabilities { effective: ALL, permitted: ALL, bounding: ALL, ..Capabilities::default() };
        Credentials { capabilities, ..Credentials::default() }
    }

    #[test]
    fn root_loses_nothing() {
        assert_eq!(blockers(&root(), 0), []);
    }

    #[test]
    fn only_root_can_restore_itself() {
        assert!(can_restore_itself(&root()));
        let mut saved = Credentials { uids: [1000; 4], gids: [1000; 4], ..Credentials::default() };
        assert!(!can_restore_itself(&saved));
        saved.capabilities.ambient = CAP_CHECKPOINT_RESTORE;
        assert!(can_restore_itself(&saved));
    }

    #[test]
    fn capabilities_outside_the_bounding_set_are_lost() {
        let mut saved = root();
        saved.capabilities.bounding &= !CAP_SETUID;
        let text: Vec<_> = blockers(&saved, 0).iter().map(ToString::to_string).collect();
        assert!(text[0].contains("an exec takes 0x80"), "{text:?}");
    }

    #[test]
    fn a_plain_user_may_keep_its_own_ids_only() {
        let mut saved = Credentials { uids: [1000; 4], gids: [1000; 4], ..Credentials::default() };
        let about_ids = |saved: &Credentials| {
            let texts: Vec<_> = blockers(saved, 0).iter().map(ToString::to_string).collect();
            texts.iter().filter(|text| text.contains("no right to set them")).count()
        };
        assert_eq!(about_ids(&saved), 0);
        saved.uids[2] = 0;
        assert_eq!(about_ids(&saved), 1);
    }

    #[test]
    fn a_file_gives_back_what_the_process_had_within_its_bounding_set() {
        const NET_BIND_SERVICE: u64 = 1 << 10;
        let mut saved = Credentials { uids: [1000, 1000, 0, 1000], gids: [1000; 4], ..Credentials::default() };
        saved.capabilities.permitted = NET_BIND_SERVICE;
        assert_eq!(from_file(&saved), 0, "nothing is in the bounding set");
        saved.capabilities.bounding = ALL;
        assert_eq!(blockers(&saved, 0).len(), 2);
        assert_eq!(blockers(&saved, from_file(&saved)), []);
        saved.no_new_privs = true;
        assert_eq!(from_file(&saved), 0);
    }
}
