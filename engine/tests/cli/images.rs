//! Images: what is in them, what is wrong with them, and what cannot be read.

use std::fs;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use crate::run::{assert_fails, dsu};

const GOLDEN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../formats/tests/golden/v1.dsu");
const PARENT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../formats/tests/golden/v1-parent.dsu");
const WORK: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../formats/tests/golden/v1-work.dsu");
/// A regular file; no image is right, so nobody looks into it.
const PROGRAM: &str = env!("CARGO_BIN_EXE_dsu");
const HEADER: usize = 4096;

/// A changed copy of the golden image.
fn changed(directory: &TempDir, name: &str, change: impl FnOnce(&mut Vec<u8>)) -> PathBuf {
    let mut bytes = fs::read(GOLDEN).unwrap();
    change(&mut bytes);
    let path = directory.path().join(name);
    fs::write(&path, bytes).unwrap();
    path
}

/// Every command that reads an image refuses it alike.
fn assert_unreadable(path: &Path, name: &str, facts: &[&str]) {
    let path = path.to_str().unwrap();
    let mut facts = facts.to_vec();
    facts.push(path);
    for command in ["inspect", "verify", "restore"] {
        assert_fails(&[command, path], 1, name, &facts);
    }
    let directory = tempfile::tempdir().unwrap();
    let output = directory.path().join("output");
    assert_fails(&["transform", path, "--program", PROGRAM, "-o", output.to_str().unwrap()], 1, name, &facts);
    assert!(!output.exists());
    assert_fails(&["plan", "--image", path, "--program", PROGRAM], 1, name, &facts);
}

#[test]
fn files_that_are_no_image() {
    let directory = tempfile::tempdir().unwrap();
    let text = directory.path().join("text");
    fs::write(&text, "hello, this is not an image\n").unwrap();
    assert_unreadable(&text, "not-an-image", &["not a dsu image"]);
    assert_unreadable(Path::new("/nonexistent/image.dsu"), "no-such-file", &["No such file"]);
    assert_unreadable(directory.path(), "wrong-path", &["regular file"]);
}

#[test]
fn a_truncated_image() {
    let directory = tempfile::tempdir().unwrap();
    let whole = fs::metadata(GOLDEN).unwrap().len().to_string();
    let cut = changed(&directory, "cut", |bytes| bytes.truncate(9000));
    assert_unreadable(&cut, "truncated-image", &["truncated", &whole, "9000"]);
    let empty = changed(&directory, "short", |bytes| bytes.truncate(100));
    assert_unreadable(&empty, "truncated-image", &["truncated", "100"]);
}

#[test]
fn a_longer_image() {
    let directory = tempfile::tempdir().unwrap();
    let longer = changed(&directory, "longer", |bytes| bytes.push(0));
    assert_unreadable(&longer, "trailing-bytes", &["trailing bytes"]);
}

#[test]
fn an_image_of_a_newer_format_names_both_versions() {
    let directory = tempfile::tempdir().unwrap();
    let newer = changed(&directory, "newer", |bytes| {
        bytes[8..12].copy_from_slice(&9u32.to_le_bytes());
        bytes[12..16].copy_from_slice(&7u32.to_le_bytes());
        let checksum = crc32fast::hash(&bytes[..HEADER - 4]);
        bytes[HEADER - 4..HEADER].copy_from_slice(&checksum.to_le_bytes());
    });
    assert_unreadable(&newer, "newer-image", &["version 9", "version 7", "version 1"]);
}

#[test]
fn a_corrupt_image_names_the_part() {
    let directory = tempfile::tempdir().unwrap();
    let manifest = changed(&directory, "manifest", |bytes| bytes[20_500] ^= 1);
    assert_unreadable(&manifest, "corrupt-image", &["section manifest", "checksum"]);
}

#[test]
fn damaged_pages_are_findings_and_all_are_listed() {
    let directory = tempfile::tempdir().unwrap();
    let pages = changed(&directory, "pages", |bytes| bytes[HEADER + 17] ^= 1);
    let words = ["verify", pages.to_str().unwrap()];
    let human = dsu(&words);
    assert_eq!(human.code, Some(1), "{}", human.stderr);
    assert!(human.stdout.contains("page-store") && human.stdout.contains("hint: "), "{}", human.stdout);
    let value = dsu(&[words[0], words[1], "--json"]).json();
    assert_eq!(value["result"], "wrong");
    assert!(!value["findings"].as_array().unwrap().is_empty(), "{value}");
}

#[test]
fn a_right_image_is_verified_alone_and_with_its_parent() {
    let alone = dsu(&["verify", GOLDEN, "--json"]).json();
    assert_eq!((&alone["result"], &alone["exit"]), (&"verified".into(), &0.into()));
    assert!(alone["parent_not_checked"].is_string(), "{alone}");
    let both = dsu(&["verify", GOLDEN, "--parent", PARENT, "--json"]).json();
    assert!(both["parent_not_checked"].is_null(), "{both}");
    let wrong = dsu(&["verify", GOLDEN, "--parent", GOLDEN]);
    assert_eq!(wrong.code, Some(1), "{}", wrong.stdout);
}

#[test]
fn inspect_shows_every_part() {
    let human = dsu(&["inspect", GOLDEN]);
    assert_eq!(human.code, Some(0), "{}", human.stderr);
    for fact in [
        "version 1",
        "page-table",
        "/usr/bin/kvd (deleted)",
        "2026-01-01 00:00:00 UTC",
        "process 4711",
        "SIGTERM at 0x",
        "kvd-worker",
        "[vdso]",
        "127.0.0.1:8080",
        "epoll of 9, 700",
        "posix timer",
        "nofile 7168",
        "pages stored",
        "literals of generation 0",
    ] {
        assert!(human.stdout.contains(fact), "`{fact}` is not in: {}", human.stdout);
    }
    assert!(!human.stdout.contains("r15"));
    let registers = dsu(&["inspect", "--registers", GOLDEN]).stdout;
    assert!(registers.contains("r15") && registers.contains("orig_rax"), "{registers}");
}

#[test]
fn inspect_gives_programs_everything_but_contents() {
    let value = dsu(&["inspect", "--json", GOLDEN]).json();
    assert_eq!(value["result"], "inspected");
    assert_eq!(value["manifest"]["program"]["path"], "/usr/bin/kvd");
    assert_eq!(value["manifest"]["program"]["build_id"], "ab".repeat(20));
    assert_eq!(value["header"]["format_version"], 1);
    assert_eq!(value["pages"]["stored"], 4);
    assert_eq!(value["threads"].as_array().unwrap().len(), 3);
    assert!(value["threads"][0]["registers"]["rip"].as_str().unwrap().starts_with("0x5555"), "{value}");
    assert!(value["threads"][0]["xstate"].is_string());
    for part in
        ["processes", "address_spaces", "modules", "signals", "timers", "credentials", "limits", "generations", "sections"]
    {
        assert!(value[part].is_array(), "{part}");
    }
    let contents = &value["descriptors"]["descriptions"][6]["kind"]["Pipe"]["contents"];
    assert_eq!(contents["bytes"], 11, "{contents}");
}

#[test]
fn inspect_shows_what_is_left_to_the_restore() {
    let human = dsu(&["inspect", WORK]).stdout;
    for fact in [
        "plan report",
        "left to the restore of process 4711",
        "0x555555555000 for 2 slots",
        "2 blocks, 32 bytes, by 0x",
        "1 block by 0x555555555400, the old ones go by 0x555555555500",
        "rehash(&table, -1) at 0x555555555300",
    ] {
        assert!(human.contains(fact), "`{fact}` is not in: {human}");
    }
    let value = dsu(&["inspect", "--json", WORK]).json();
    assert_eq!(value["plan_report"]["words_rewritten"], 42);
    let work = &value["vessel_work"][0];
    assert_eq!(work["resolvers"].as_array().unwrap().len(), 2);
    // What the blocks hold is the process's own affair.
    assert_eq!((&work["allocations"]["blocks"], &work["allocations"]["bytes"]), (&2.into(), &32.into()));
    let captured = dsu(&["inspect", "--json", GOLDEN]).json();
    assert_eq!(captured["vessel_work"], serde_json::json!([]));
    assert_eq!(captured["plan_report"], "words rewritten: 42\n");
}

#[test]
fn an_image_of_several_processes_is_not_rewritten() {
    let directory = tempfile::tempdir().unwrap();
    let output = directory.path().join("output");
    let words = ["transform", WORK, "--program", PROGRAM, "-o", output.to_str().unwrap()];
    assert_fails(&words, 1, "unsound-image", &["more than one process"]);
    assert!(!output.exists());
}
