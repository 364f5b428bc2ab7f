//! Small helps for building JSON.

use std::path::Path;

use serde_json::Value;

/// Sets a member of an object.
pub fn set(object: &mut Value, name: &str, value: Value) {
    if let Value::Object(fields) = object {
        fields.insert(name.to_owned(), value);
    }
}

/// A value on a line of its own.
pub fn line(value: Value) -> String {
    format!("{value}\n")
}

/// A build-id as people write it: in hexadecimal; null when there is none.
pub fn build_id(bytes: &[u8]) -> Value {
    if bytes.is_empty() { Value::Null } else { Value::String(hex(bytes)) }
}

/// Bytes in hexadecimal.
pub fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// Bytes that are text as a rule (a path, a name); what is no UTF-8 is escaped.
pub fn text(bytes: &[u8]) -> String {
    match std::str::from_utf8(bytes) {
        Ok(text) => text.to_owned(),
        Err(_) => bytes.escape_ascii().to_string(),
    }
}

/// A path.
pub fn path(path: &Path) -> Value {
    use std::os::unix::ffi::OsStrExt;
    Value::String(text(path.as_os_str().as_bytes()))
}
