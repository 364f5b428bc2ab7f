//! Pairs of small programs: a variable's initial bytes in the old one, rewritten, have to be its initial bytes in the new one. So the
//! compiler itself says what is right.

mod boundaries;
mod changes;
mod kinds;
mod layouts;
mod properties;
mod questions;
mod rules;

use std::sync::Arc;

use dsu_formats::address::{RunAddress, RunRange};

use super::change::TypeChanges;
use super::compile::{Compiled, Compiler, FreshValues, NoProofs};
use super::question::{Question, Unknown};
use super::recipe::{Context, Recipe, RecipeError};
use super::rules::{FieldRule, FieldSource, Place, Rules};
use super::value::Value;
use crate::plan::source::{MemorySource, SourceError};
use crate::program::build::Build;
use crate::program::dwarf::{Storage, Variable};
use crate::program::testing::Compiled as File;
use crate::program::types::{TypeId, TypeTable};

/// Two builds of one program.
pub(crate) struct Builds {
    pub(crate) old: Build,
    pub(crate) new: Build,
    _files: [File; 2],
}

/// A test's view of one build, to write rules by names.
#[derive(Clone, Copy)]
pub(crate) struct Names<'b>(pub(super) &'b Build);

impl Names<'_> {
    /// The type behind a typedef, a structure's, a union's or an enumeration's name.
    pub(crate) fn kind(self, name: &str) -> TypeId {
        let types = &self.0.debug.types;
        let found =
            (0u32..).map(TypeId).zip(&types.types).find(|(id, entry)| entry.name == name && types.size_of(Some(*id)).is_some());
        types.normal(found.map(|(id, _)| id)).unwrap_or_else(|| panic!("no type {name}"))
    }

    /// `member.member` of a type.
    pub(crate) fn path(self, kind: &str, names: &str) -> Vec<u32> {
        let types = &self.0.debug.types;
        let mut at = Some(self.kind(kind));
        let mut path = Vec::new();
        for name in names.split('.') {
            for position in types.member_path(at, name).unwrap_or_else(|| panic!("no member {name}")) {
                let members = types.normal(at).and_then(|id| types.get(id).shape.members()).expect("members");
                at = members[position as usize].kind;
                path.push(position);
            }
        }
        path
    }

    pub(crate) fn place(self, kind: &str, names: &str) -> Place {
        Place::member(self.kind(kind), &self.path(kind, names))
    }

    pub(crate) fn variable(self, name: &str) -> (u32, &'static str, Variable) {
        let all = &self.0.debug.variables;
        let position = all.iter().position(|variable| variable.name == name).unwrap_or_else(|| panic!("no variable {name}"));
        (position as u32, "", all[position].clone())
    }

    /// The initial bytes of a variable.
    pub(crate) fn bytes(self, name: &str) -> Vec<u8> {
        let (_, _, variable) = self.variable(name);
        let Storage::Static(address) = variable.storage else { panic!("{name} has no place") };
        let size = self.0.debug.types.size_of(variable.kind).expect("a size");
        // A flexible array's elements follow the type's size: the symbol knows.
        let symbol = self.0.elf.symbols_named(name).next().map_or(size, |symbol| symbol.size.max(size));
        self.0.elf.file_bytes(address, symbol).unwrap_or_else(|| panic!("{name} has no initial value")).to_vec()
    }
}

/// Compiles both sources for one version of DWARF.
pub(crate) fn builds(old: &str, new: &str, dwarf: &str) -> Builds {
    let files = [old, new].map(|source| {
        let source = format!("#include <stdbool.h>\n#include <stddef.h>\n{source}\nint main(void) {{ return 0; }}\n");
        File::new("data", &source, &["-O2", "-g", dwarf, "-w", "-no-pie", "-fno-pie"])
    });
    let [old, new] = [files[0].build(), files[1].build()];
    Builds { old, new, _files: files }
}

/// The process of a test: nothing can be read.
#[derive(Debug)]
pub(crate) struct NoMemory;

impl MemorySource for NoMemory {
    fn own_pages(&self) -> &[RunRange] {
        &[]
    }

    fn read(&self, address: RunAddress, buffer: &mut [u8]) -> Result<(), SourceError> {
        Err(SourceError { address, length: buffer.len(), source: "no memory".into() })
    }
}

pub(crate) fn context(types: &TypeTable) -> Context<'_> {
    Context { types, memory: &NoMemory, address: RunAddress(0x1000), new_bias: 0, initial: None }
}

impl Builds {
    /// The recipe for the type of the variable `v`.
    pub(crate) fn recipe(&self, rules: &Rules) -> Compiled {
        self.recipe_with(rules, &NoProofs)
    }

    pub(crate) fn recipe_with(&self, rules: &Rules, fresh: &dyn FreshValues) -> Compiled {
        let types = (&self.old.debug.types, &self.new.debug.types);
        let kinds = self.kinds();
        let changes = TypeChanges::new(types.0, types.1, rules, &[kinds]);
        let mut compiler = Compiler::new(types, rules, &changes, fresh);
        compiler.pair(kinds.0.expect("a type"), kinds.1.expect("a type"))
    }

    pub(crate) fn kinds(&self) -> (Option<TypeId>, Option<TypeId>) {
        (Names(&self.old).variable("v").2.kind, Names(&self.new).variable("v").2.kind)
    }

    pub(crate) fn changes(&self, rules: &Rules) -> TypeChanges {
        TypeChanges::new(&self.old.debug.types, &self.new.debug.types, rules, &[self.kinds()])
    }

    pub(crate) fn rewrite(&self, recipe: &Recipe) -> Result<Vec<u8>, RecipeError> {
        let context = context(&self.old.debug.types);
        let old = Names(&self.old).bytes("v");
        // Whatever was in the new place must not show through.
        let mut new = vec![0xa5; recipe.new_size_of(&old, &context)?];
        recipe.apply(&old, &mut new, &context)?;
        Ok(new)
    }
}

/// The old `v` becomes the new one, under both versions of DWARF.
pub(crate) fn becomes_with(old: &str, new: &str, rules: impl Fn(Names<'_>, Names<'_>) -> Rules) -> Arc<Recipe> {
    let mut last = None;
    for dwarf in ["-gdwarf-4", "-gdwarf-5"] {
        let builds = builds(old, new, dwarf);
        let rules = rules(Names(&builds.old), Names(&builds.new));
        let recipe = builds.recipe(&rules).unwrap_or_else(|questions| panic!("{questions:#?}"));
        let made = builds.rewrite(&recipe).unwrap_or_else(|error| panic!("{error}: {:?}", error.problem));
        assert_eq!(made, Names(&builds.new).bytes("v"), "{dwarf}: {recipe:#?}");
        last = Some(recipe);
    }
    last.expect("two versions")
}

pub(crate) fn becomes(old: &str, new: &str) -> Arc<Recipe> {
    becomes_with(old, new, |_, _| Rules::default())
}

/// What is asked about `v`: kind and field.
pub(crate) fn asked_with(old: &str, new: &str, rules: impl Fn(Names<'_>, Names<'_>) -> Rules) -> Vec<Question> {
    let builds = builds(old, new, "-gdwarf-5");
    let rules = rules(Names(&builds.old), Names(&builds.new));
    match builds.recipe(&rules) {
        Ok(recipe) => panic!("nothing is asked: {recipe:#?}"),
        Err(questions) => questions.to_vec(),
    }
}

pub(crate) fn asked(old: &str, new: &str) -> Vec<(Unknown, String)> {
    let questions = asked_with(old, new, |_, _| Rules::default());
    questions.into_iter().map(|question| (question.what, format!("{}.{}", question.owner, question.field))).collect()
}

/// Why `v` cannot be rewritten.
pub(crate) fn fails_with(old: &str, new: &str, rules: impl Fn(Names<'_>, Names<'_>) -> Rules) -> String {
    let builds = builds(old, new, "-gdwarf-5");
    let rules = rules(Names(&builds.old), Names(&builds.new));
    let recipe = builds.recipe(&rules).unwrap_or_else(|questions| panic!("{questions:#?}"));
    builds.rewrite(&recipe).map(|bytes| panic!("made {bytes:?}")).unwrap_or_else(|error| error.to_string())
}

pub(crate) fn fails(old: &str, new: &str) -> String {
    fails_with(old, new, |_, _| Rules::default())
}

pub(crate) fn rule(source: FieldSource) -> FieldRule {
    FieldRule { source, origin: "update.toml:1:1".into() }
}

pub(crate) fn constant(value: i128) -> FieldRule {
    rule(FieldSource::Constant(Value::Integer(value)))
}
