//! From TOML to [`Spec`]: every key is known or refused, every problem is reported, not the first alone.

mod calls;
mod continues;
mod memory;
mod reader;
mod restart;
mod tables;
#[cfg(test)]
mod tests;
mod values;

use toml::de::DeTable;

use super::MAX_BYTES;
use super::model::{Accept, Guard, Spec};
use super::names::{Subject, TypeName, VariableName};
use super::place::{At, Source, Span, SpecError};
use reader::{Reader, Value};

/// Tables that a spec may have.
const TABLES: [&str; 14] = [
    "old",
    "new",
    "pair",
    "fields",
    "globals",
    "enums",
    "memory",
    "allocators",
    "plugins",
    "keyed-by-address",
    "restart",
    "after-restore",
    "continue",
    "accept",
];

/// Reads a spec.
pub(super) fn read(source: Source) -> Result<Spec, SpecError> {
    let reader = Reader::new(&source);
    if source.text.len() as u64 > MAX_BYTES {
        reader.complain(Span::default(), format!("the file is too long: expected at most {MAX_BYTES} bytes"));
        return Err(SpecError(reader.problems()));
    }
    let text = source.text.clone();
    let (table, errors) = DeTable::parse_recoverable(&text);
    for error in &errors {
        reader.complain(Span::new(error.span().unwrap_or(0..0)), one_line(error.message()));
    }
    let mut spec = Spec::empty(source.clone());
    if errors.is_empty() {
        fill(&reader, table.get_ref(), &mut spec);
    }
    let problems = reader.problems();
    if problems.is_empty() { Ok(spec) } else { Err(SpecError(problems)) }
}

fn one_line(message: &str) -> String {
    message.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn fill(reader: &Reader<'_>, table: &DeTable<'_>, spec: &mut Spec) {
    for (key, value) in reader.known_entries(table, "table", &TABLES) {
        match key {
            "old" => spec.old = guard(reader, value, "[old]"),
            "new" => spec.new = guard(reader, value, "[new]"),
            "pair" => pairs(reader, value, spec),
            "fields" => spec.fields = reader.rules(value, "[fields]", Subject::parse, values::field),
            "globals" => spec.values = reader.rules(value, "[globals]", VariableName::parse, values::global),
            "enums" => spec.enums = reader.rules(value, "[enums]", TypeName::parse, values::enum_map),
            "memory" => spec.memory = reader.rules(value, "[memory]", Subject::parse, memory::meaning),
            "allocators" => spec.allocators = reader.rules(value, "[allocators]", TypeName::parse, tables::allocator),
            "plugins" => spec.plugins = reader.rules(value, "[plugins]", TypeName::parse, tables::plugin),
            "keyed-by-address" => {
                spec.keyed = reader.rules(value, "[keyed-by-address]", VariableName::parse, calls::call);
            }
            "restart" => spec.restarts = restart::restarts(reader, value),
            "after-restore" => calls::after_restore(reader, value, spec),
            "continue" => spec.continues = continues::continues(reader, value),
            _ => spec.accept = accept(reader, value),
        }
    }
}

fn guard(reader: &Reader<'_>, value: &Value<'_>, what: &str) -> Guard {
    let mut guard = Guard::default();
    for (key, value) in reader.known(value, what, &["program", "build-id"]) {
        match key {
            "program" => guard.program = reader.string(value, "the name of the program's file"),
            _ => guard.build_id = reader.string(value, "the build-id").and_then(|text| build_id(reader, text)),
        }
    }
    guard
}

fn build_id(reader: &Reader<'_>, text: At<String>) -> Option<At<String>> {
    let lower = text.value.to_ascii_lowercase();
    if lower.len() >= 8 && lower.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Some(At::new(lower, text.span));
    }
    let expected = "expected a build-id: eight hexadecimal digits or more (`readelf -n PROGRAM` shows them)";
    reader.complain(text.span, format!("{expected}, found `{}`", text.value));
    None
}

fn pairs(reader: &Reader<'_>, value: &Value<'_>, spec: &mut Spec) {
    for (key, value) in reader.known(value, "[pair]", &["functions", "globals", "types"]) {
        match key {
            "functions" => spec.functions = tables::pairings(reader, value, "[pair.functions]", VariableName::parse),
            "globals" => spec.globals = tables::pairings(reader, value, "[pair.globals]", VariableName::parse),
            _ => spec.types = tables::pairings(reader, value, "[pair.types]", TypeName::parse),
        }
    }
}

fn accept(reader: &Reader<'_>, value: &Value<'_>) -> Accept {
    let mut accept = Accept::default();
    let known = ["constructors", "unused-types", "may-lose", "cleared-blocks"];
    for (key, value) in reader.known(value, "[accept]", &known) {
        match key {
            "constructors" => accept.constructors = reader.names(value, VariableName::parse),
            "unused-types" => accept.unused_types = reader.names(value, TypeName::parse),
            "may-lose" => accept.may_lose = reader.names(value, Subject::parse),
            _ => accept.cleared_blocks = reader.boolean(value),
        }
    }
    accept
}
