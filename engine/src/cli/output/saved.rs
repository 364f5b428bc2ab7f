//! The saved types of an image as JSON: paths and names as text, other bytes in hexadecimal, contents by length and checksum.
//!
//! Contents of pipes, memory files and sockets are secrets of the process and may be huge, so they are not printed.

use dsu_formats::model::latest::{Description, Kind, Snapshot, Socket};
use serde::Serialize;
use serde_json::{Value, json};

use super::json;

/// Fields whose bytes are text as a rule.
const TEXTS: [&str; 5] = ["path", "name", "cwd", "root", "exe"];
/// Fields whose bytes are printed in hexadecimal.
const BYTES: [&str; 8] = ["build_id", "old_build_id", "new_build_id", "xstate", "affinity", "siginfo", "local", "peer"];

/// Everything but pages.
pub fn snapshot(snapshot: &Snapshot) -> Value {
    json!({
        "manifest": value(&snapshot.manifest),
        "processes": value(&snapshot.tree.processes),
        "address_spaces": value(&snapshot.address_spaces),
        "modules": value(&snapshot.modules),
        // One by one: as numbers, the extended states of many threads would take much memory at once.
        "threads": snapshot.threads.iter().map(value).collect::<Vec<_>>(),
        "signals": value(&snapshot.signals),
        "timers": value(&snapshot.timers),
        "descriptors": {
            "tables": value(&snapshot.descriptors.tables),
            "descriptions": snapshot.descriptors.descriptions.iter().map(description).collect::<Vec<_>>(),
        },
        "credentials": value(&snapshot.credentials),
        "limits": value(&snapshot.limits),
        "generations": value(&snapshot.generations),
    })
}

/// A saved value, bytes made readable.
pub fn value(saved: impl Serialize) -> Value {
    let mut value = serde_json::to_value(saved).unwrap_or_default();
    make_readable(&mut value);
    value
}

fn make_readable(value: &mut Value) {
    match value {
        Value::Array(items) => items.iter_mut().for_each(make_readable),
        Value::Object(fields) => {
            for (name, value) in fields.iter_mut() {
                match (name.as_str(), as_bytes(value)) {
                    (name, Some(bytes)) if TEXTS.contains(&name) => *value = json::text(&bytes).into(),
                    (name, Some(bytes)) if BYTES.contains(&name) => *value = json::hex(&bytes).into(),
                    ("registers", _) => make_hexadecimal(value),
                    _ => make_readable(value),
                }
            }
        }
        _ => {}
    }
}

fn as_bytes(value: &Value) -> Option<Vec<u8>> {
    value.as_array()?.iter().map(|item| item.as_u64().and_then(|number| u8::try_from(number).ok())).collect()
}

/// Registers need all 64 bits, which many readers of JSON numbers do not have.
fn make_hexadecimal(registers: &mut Value) {
    for value in registers.as_object_mut().into_iter().flat_map(|fields| fields.values_mut()) {
        if let Some(number) = value.as_u64() {
            *value = format!("{number:#x}").into();
        }
    }
}

fn description(saved: &Description) -> Value {
    let (kind, contents) = without_contents(&saved.kind);
    let mut kind = value(kind);
    for fields in kind.as_object_mut().into_iter().flat_map(|kinds| kinds.values_mut()) {
        for (name, summary) in &contents {
            json::set(fields, name, summary.clone());
        }
        make_options_readable(fields);
    }
    json!({
        "target": json::text(&saved.target),
        "flags": saved.flags,
        "position": saved.position,
        "owner": saved.owner,
        "signal": saved.signal,
        "locks": value(&saved.locks),
        "kind": kind,
    })
}

/// Socket options are triples of level, name and bytes.
fn make_options_readable(fields: &mut Value) {
    for option in fields.get_mut("options").and_then(Value::as_array_mut).into_iter().flatten() {
        if let Some(bytes) = option.get_mut(2)
            && let Some(raw) = as_bytes(bytes)
        {
            *bytes = json::hex(&raw).into();
        }
    }
}

/// A copy without the bytes inside, and a summary of these by field.
fn without_contents(kind: &Kind) -> (Kind, Vec<(&'static str, Value)>) {
    let none = Vec::new;
    match kind {
        Kind::Pipe { inode, end, capacity, contents, internal } => (
            Kind::Pipe { inode: *inode, end: *end, capacity: *capacity, contents: none(), internal: *internal },
            vec![("contents", summary(contents))],
        ),
        Kind::Fifo { file, end, capacity, contents } => (
            Kind::Fifo { file: file.clone(), end: *end, capacity: *capacity, contents: none() },
            vec![("contents", summary(contents))],
        ),
        Kind::MemFd { name, inode, seals, mode, size, contents } => (
            Kind::MemFd { name: name.clone(), inode: *inode, seals: *seals, mode: *mode, size: *size, contents: none() },
            vec![("contents", summary(contents))],
        ),
        Kind::Socket(socket) => {
            let queue = socket.receive_queue.iter().map(|message| summary(message)).collect();
            let bare = Socket { receive_queue: Vec::new(), ..socket.clone() };
            (Kind::Socket(bare), vec![("receive_queue", queue)])
        }
        other => (other.clone(), Vec::new()),
    }
}

fn summary(contents: &[u8]) -> Value {
    json!({ "bytes": contents.len(), "crc32": format!("{:08x}", crc32fast::hash(contents)) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_become_text_or_hexadecimal_and_numbers_stay() {
        let mut value = json!({
            "path": [47, 116, 109, 112], "build_id": [1, 255], "groups": [1, 2],
            "nested": [{ "name": [255], "registers": { "rip": u64::MAX } }],
        });
        make_readable(&mut value);
        let expected = json!({
            "path": "/tmp", "build_id": "01ff", "groups": [1, 2],
            "nested": [{ "name": "\\xff", "registers": { "rip": "0xffffffffffffffff" } }],
        });
        assert_eq!(value, expected);
    }

    #[test]
    fn contents_are_summarised() {
        let secret = b"password".to_vec();
        let kind = Kind::MemFd { name: b"m".to_vec(), inode: 1, seals: 0, mode: 0o600, size: 8, contents: secret };
        let saved = Description { target: Vec::new(), flags: 2, position: 0, owner: (0, 0), signal: 0, locks: Vec::new(), kind };
        let value = description(&saved);
        let contents = &value["kind"]["MemFd"]["contents"];
        assert_eq!(contents["bytes"], 8);
        assert_eq!(contents["crc32"], format!("{:08x}", crc32fast::hash(b"password")));
        assert_eq!(value["kind"]["MemFd"]["name"], "m");
    }
}
