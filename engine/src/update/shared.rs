//! Words of the program's in memory that it shares: they are rewritten where no other process maps that memory.

use dsu_formats::address::RunAddress;
use dsu_formats::model::latest::Snapshot;

use crate::plan::rewrite::{Patch, SharedWord};
use crate::resources::Obstacle;
use crate::resources::memory::{MappedFile, read_mapping_lines};

/// The words as they are to be.
pub(super) fn new_words(words: &[SharedWord]) -> impl Iterator<Item = Patch> {
    words.iter().map(|word| Patch { address: word.address, word: word.new })
}

/// The words as they were.
pub(super) fn old_words(words: &[SharedWord]) -> impl Iterator<Item = Patch> {
    words.iter().map(|word| Patch { address: word.address, word: word.old })
}

/// Memory with such words that another process maps: it would see addresses of a program that it does not run.
///
/// Reads `/proc` of every process, so only when there are such words.
pub(super) fn obstacles(pid: i32, snapshot: &Snapshot, words: &[SharedWord]) -> Vec<Obstacle> {
    if words.is_empty() {
        return Vec::new();
    }
    let Ok(own) = read_mapping_lines(pid) else { return Vec::new() };
    let holding: Vec<&MappedFile> =
        own.iter().filter(|line| words.iter().any(|word| line.range.contains(RunAddress(word.address.0)))).collect();
    let threads: Vec<i32> = snapshot.threads.iter().map(|thread| thread.tid).collect();
    let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let others = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    let mut obstacles = Vec::new();
    for other in others.filter(|other| *other != pid && !threads.contains(other)) {
        // A process that has ended meanwhile maps nothing.
        let lines = read_mapping_lines(other).unwrap_or_default();
        let shared = holding.iter().filter(|mine| lines.iter().any(|line| is_same(line, mine)));
        obstacles.extend(shared.map(|mine| Obstacle::Mapping {
            range: mine.range,
            what: String::from_utf8_lossy(&mine.path).into_owned(),
            reason: format!("it holds addresses of the program, and process {other} maps it too"),
        }));
    }
    obstacles
}

fn is_same(line: &MappedFile, mine: &MappedFile) -> bool {
    line.inode != 0 && (line.device, line.inode) == (mine.device, mine.inode)
}
