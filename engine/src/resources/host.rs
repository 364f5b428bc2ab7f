//! What an image assumes of kernel and processor: the vdso that the process has called into, the extended state that its
//! registers need, the features that its C library chose routines by.

use dsu_formats::address::{PAGE_SIZE, RunRange};
use dsu_formats::model::latest::{Backing, Host, Layout, Mapping};

use super::error::{Obstacle, ResourceError};
use super::scratch::word;
use crate::tracee::error::TraceeError;
use crate::tracee::memory::RemoteMemory;

/// Offset in an XSAVE area where ptrace puts the enabled components, XCR0 (arch/x86/include/asm/user.h, `sw_reserved`).
const XCR0_OFFSET: usize = 464;

/// Describes this machine as process `memory` sees it; `xstate` is any thread's XSAVE area.
pub fn capture(memory: &RemoteMemory, layout: &Layout, mappings: &[Mapping], xstate: &[u8]) -> Result<Host, ResourceError> {
    let names = nix::sys::utsname::uname().map_err(|source| ResourceError::call("uname", "this machine", source))?;
    let vdso = mappings.iter().find(|mapping| mapping.backing == Backing::Vdso).map_or(RunRange::default(), |m| m.range);
    let mut bytes = vec![0; vdso.len().min(64 * PAGE_SIZE) as usize];
    memory.read(vdso.start, &mut bytes)?;
    let auxiliary = |kind| layout.auxv.iter().find(|entry| entry.0 == kind).map_or(0, |entry| entry.1);
    Ok(Host {
        hostname: names.nodename().to_string_lossy().into_owned(),
        kernel: names.release().to_string_lossy().into_owned(),
        vdso_crc: crc32fast::hash(&bytes),
        vdso_len: vdso.len(),
        xfeatures: word(xstate, XCR0_OFFSET),
        cpu: processor()?,
        hwcap: [auxiliary(libc::AT_HWCAP2), auxiliary(libc::AT_HWCAP)],
    })
}

/// Vendor and model of the first processor.
fn processor() -> Result<String, TraceeError> {
    let path = "/proc/cpuinfo";
    let text = std::fs::read_to_string(path).map_err(|source| TraceeError::Proc { path: path.to_owned(), source })?;
    let field = |name: &str| {
        let line = text.lines().find(|line| line.split(':').next().is_some_and(|key| key.trim() == name));
        line.and_then(|line| line.split_once(':')).map_or("", |(_, value)| value.trim())
    };
    Ok(format!("{} {}", field("vendor_id"), field("model name")))
}

/// What of `saved` does not hold on the machine that `here` describes.
pub fn blockers(saved: &Host, here: &Host) -> Vec<Obstacle> {
    let mut obstacles = Vec::new();
    let mut check = |holds: bool, what, expected: String, found: String| {
        if !holds {
            obstacles.push(Obstacle::Host { what, expected, found });
        }
    };
    let same_vdso = (saved.vdso_crc, saved.vdso_len) == (here.vdso_crc, here.vdso_len);
    let vdso = |host: &Host| format!("{} bytes, CRC {:08x} (kernel {})", host.vdso_len, host.vdso_crc, host.kernel);
    check(same_vdso, "the vdso", vdso(saved), vdso(here));
    let missing = saved.xfeatures & !here.xfeatures;
    check(missing == 0, "the extended processor state", format!("{:#x}", saved.xfeatures), format!("{:#x}", here.xfeatures));
    check(saved.cpu == here.cpu && saved.hwcap == here.hwcap, "the processor", saved.cpu.clone(), here.cpu.clone());
    obstacles
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resources::memory::{capture_mappings, read_layout};
    use crate::resources::testing::Target;

    #[test]
    fn two_processes_of_one_machine_agree_and_a_difference_is_named() {
        let capture_of = |target: &Target| {
            let memory = RemoteMemory::open(target.pid()).unwrap();
            let mappings = capture_mappings(target.pid(), &[]).unwrap().mappings;
            let layout = read_layout(target.pid()).unwrap();
            let mut xstate = vec![0; 512];
            xstate[XCR0_OFFSET] = 7;
            capture(&memory, &layout, &mappings, &xstate).unwrap()
        };
        let source = "int main(void) { say(\"x\"); wait_for_end(); }";
        let (mut first, mut second) = (Target::start(source), Target::start(source));
        first.line();
        second.line();
        let (first, second) = (capture_of(&first), capture_of(&second));
        assert_eq!(first, second);
        assert!(first.vdso_len >= PAGE_SIZE && first.xfeatures == 7 && first.hwcap[1] != 0);
        let other = Host { vdso_crc: first.vdso_crc ^ 1, xfeatures: 3, ..first.clone() };
        let texts: Vec<_> = blockers(&first, &other).iter().map(ToString::to_string).collect();
        assert!(texts[0].contains("the vdso was") && texts[1].contains("0x7"), "{texts:?}");
    }
}
