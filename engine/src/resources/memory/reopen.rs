//! The files below mappings, found again for a cold restore: modules by build-id, data by identity and size.

use std::ffi::OsString;
use std::fs::File;
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

use dsu_formats::model::latest::{Backing, Mapping, Sharing};
use object::Object;

use super::super::error::Obstacle;
use super::maps::device;

/// Opens the file of a mapping again, if it still is the file of the capture. `root` is the saved process's root directory.
///
/// `Ok(None)` for a mapping that needs no file from a file system.
pub fn reopen_mapped(mapping: &Mapping, root: &[u8]) -> Result<Option<File>, Obstacle> {
    let Backing::File { path, device: saved_device, inode, deleted, size, build_id, .. } = &mapping.backing else {
        return Ok(None);
    };
    if path.starts_with(b"/memfd:") {
        return Ok(None);
    }
    let refuse =
        |reason: String| Obstacle::Mapping { range: mapping.range, what: String::from_utf8_lossy(path).into_owned(), reason };
    if *deleted {
        return Err(refuse("the file was deleted and its bytes are in no file system".to_owned()));
    }
    let mut full = if root == b"/" { Vec::new() } else { root.to_vec() };
    full.extend_from_slice(path);
    let write = mapping.sharing == Sharing::Shared && mapping.protection.write;
    let opened = File::options().read(true).write(write).open(PathBuf::from(OsString::from_vec(full)));
    let file = opened.map_err(|error| refuse(format!("it cannot be opened: {error}")))?;
    let metadata = file.metadata().map_err(|error| refuse(format!("it cannot be looked at: {error}")))?;
    if let Some(expected) = build_id {
        let found = build_id_of(&file);
        if found.as_ref() != Some(expected) {
            let found = found.map_or("none".to_owned(), |found| hexadecimal(&found));
            return Err(refuse(format!("its build-id was {} at the capture and is {found} now", hexadecimal(expected))));
        }
        return Ok(Some(file));
    }
    if (metadata.ino(), device(&metadata)) != (*inode, *saved_device) {
        return Err(refuse(format!("it is another file now (inode {}, was {inode})", metadata.ino())));
    }
    if metadata.len() != *size {
        return Err(refuse(format!("it had {size} bytes at the capture and has {} now", metadata.len())));
    }
    Ok(Some(file))
}

/// The build-id of an ELF file.
pub fn build_id_of(file: &File) -> Option<Vec<u8>> {
    let cache = object::ReadCache::new(file);
    let file = object::File::parse(&cache).ok()?;
    file.build_id().ok().flatten().map(<[u8]>::to_vec)
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::super::maps::capture_mappings;
    use super::*;
    use crate::resources::modules;
    use crate::resources::testing::Target;
    use crate::tracee::memory::RemoteMemory;

    #[test]
    fn modules_are_found_again_and_a_replaced_one_is_refused() {
        let mut target = Target::start("int main(void) { say(\"x\"); wait_for_end(); }");
        target.line();
        let memory = RemoteMemory::open(target.pid()).unwrap();
        let mut mappings = capture_mappings(target.pid(), &[]).unwrap().mappings;
        let layout = super::super::read_layout(target.pid()).unwrap();
        let found = modules::capture_modules(&memory, &layout, &mappings, 0).unwrap();
        modules::fill_build_ids(&memory, &found, &mut mappings);
        assert!(mappings.iter().all(|mapping| reopen_mapped(mapping, b"/").is_ok()));
        let files = mappings.iter().filter(|mapping| reopen_mapped(mapping, b"/").unwrap().is_some());
        assert!(files.count() > 8);
        // The same bytes under another inode are the same module.
        let program = target.program().to_owned();
        let moved = program.with_extension("moved");
        std::fs::copy(&program, &moved).unwrap();
        std::fs::rename(&moved, &program).unwrap();
        assert!(mappings.iter().all(|mapping| reopen_mapped(mapping, b"/").is_ok()));
        std::fs::remove_file(&program).unwrap();
        std::fs::copy("/bin/true", &program).unwrap();
        let refused: Vec<_> = mappings.iter().filter_map(|mapping| reopen_mapped(mapping, b"/").err()).collect();
        assert!(
            refused.len() >= 4 && refused.iter().all(|obstacle| obstacle.to_string().contains("its build-id was")),
            "{refused:?}"
        );
    }
}
