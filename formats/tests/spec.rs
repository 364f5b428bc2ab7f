//! The reference page, every example of it; and texts that are no spec.

#[path = "../fuzz/src/spec.rs"]
mod entry;

use std::path::Path;

use dsu_formats::spec::Spec;
use proptest::prelude::*;

const PAGE: &str = include_str!("../../examples/UPDATE_TOML.md");

/// The examples of the page, with the heading above each.
fn examples() -> Vec<(String, String)> {
    let (mut examples, mut heading, mut current) = (Vec::new(), String::new(), None::<String>);
    for line in PAGE.lines() {
        match (&mut current, line) {
            (None, "```toml") => current = Some(String::new()),
            (Some(text), "```") => {
                examples.push((heading.clone(), std::mem::take(text)));
                current = None;
            }
            (Some(text), line) => text.push_str(&format!("{line}\n")),
            (None, line) if line.starts_with('#') => heading = line.to_owned(),
            _ => {}
        }
    }
    examples
}

#[test]
fn every_example_of_the_reference_is_a_spec() {
    let examples = examples();
    assert!(examples.len() >= 20, "{}", examples.len());
    for (heading, text) in examples {
        if let Err(error) = Spec::parse(Path::new("example"), &text) {
            panic!("{heading}\n{text}\n{error}");
        }
    }
}

#[test]
fn the_reference_has_an_example_for_every_table() {
    let all: String = examples().into_iter().map(|(_, text)| text).collect();
    let tables = [
        "[old]",
        "[new]",
        "[pair.functions]",
        "[pair.globals]",
        "[pair.types]",
        "[fields]",
        "[globals]",
        "[enums]",
        "[memory]",
        "[allocators]",
        "[plugins]",
        "[keyed-by-address]",
        "[after-restore]",
        "[accept]",
    ];
    for table in tables {
        assert!(all.contains(table), "{table}");
    }
}

/// Words of which specs and near-specs are made.
fn words() -> impl Strategy<Value = String> {
    let word = prop::sample::select(vec![
        "[fields]\n",
        "[pair.types]\n",
        "[memory]\n",
        "[enums]\n",
        "[after-restore]\n",
        "[accept]\n",
        "\"struct a.b\"",
        "x",
        " = ",
        "\"old.a + 1\"",
        "{ ",
        " }",
        ", ",
        "by",
        "map",
        "of",
        "types",
        "members",
        "else",
        "call = [",
        "]",
        "\"f(&x, 1)\"",
        "\n",
        "\"\"\"",
        "'",
        "\"",
        "\\",
        "0x",
        "99999999999999999999999999999999999999999",
        "é",
        "\u{0}",
        "true",
        "1979-05-27",
        "-1",
        ".",
        "\"1 + (2 * old.x[3]) ? 4 : 5\"",
        "\"((((((\"",
        "health",
        "run",
        "within",
        "\"5s\"",
        "@12",
        "::",
        "[new]",
    ]);
    prop::collection::vec(word, 0..40).prop_map(|words| words.concat())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4000, ..ProptestConfig::default() })]

    #[test]
    fn no_text_panics(text in any::<String>()) {
        entry::exercise(&text);
    }

    #[test]
    fn no_text_of_known_words_panics(text in words()) {
        entry::exercise(&text);
    }

    #[test]
    fn no_expression_panics(text in r#"[-+*/%&|^~!?:().,\[\]<>='"0-9a-z_ ]{0,60}"#) {
        entry::exercise(&format!("fields.\"struct a.b\" = '''{text}'''\n[after-restore]\ncall = ['''f({text})''']"));
    }

    #[test]
    fn no_damage_to_an_example_panics(which in any::<prop::sample::Index>(), at in any::<prop::sample::Index>(), with in any::<char>()) {
        let examples = examples();
        let (_, text) = which.get(&examples);
        let mut characters: Vec<char> = text.chars().collect();
        let at = at.index(characters.len());
        characters[at] = with;
        entry::exercise(&characters.into_iter().collect::<String>());
    }
}
