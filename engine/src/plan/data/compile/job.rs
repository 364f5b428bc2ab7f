//! One recipe under way: what it collects, and how it begins and ends.

use std::sync::Arc;

use super::frames::Frames;
use super::{Compiled, Compiler, VariablePair};
use crate::plan::data::question::{Question, Unknown};
use crate::plan::data::recipe::{Body, InitialPart, Mark, NamedField, Origin, Recipe, Span, Step, Tail};
use crate::plan::data::rules::Root;
use crate::program::types::{Shape, TypeId};

/// How deep types may nest by value; more is mangled debug information.
pub(super) const DEPTH_LIMIT: usize = 64;
/// How many steps, pointers and parts a recipe may have.
const RECIPE_LIMIT: usize = 1 << 16;

/// Type and place of a value, from the start of the element or object that steps count from.
#[derive(Clone, Copy, Debug)]
pub(super) struct Spot {
    pub(super) kind: Option<TypeId>,
    pub(super) offset: usize,
    /// For a bit-field: first bit, counted likewise, and width.
    pub(super) bits: Option<(usize, u32)>,
}

impl Spot {
    pub(super) fn new(kind: Option<TypeId>, offset: usize) -> Self {
        Self { kind, offset, bits: None }
    }
}

/// What one stretch of a recipe is made of.
#[derive(Debug, Default)]
pub(super) struct Output {
    pub(super) steps: Vec<Step>,
    pub(super) marks: Vec<Mark>,
    pub(super) spans: Vec<Span>,
}

/// One recipe under way.
pub(super) struct Job<'c, 't> {
    pub(super) compiler: &'c mut Compiler<'t>,
    root: (Option<TypeId>, Option<TypeId>),
    pub(super) frames: Frames,
    pub(super) out: Output,
    pub(super) tail: Option<Tail>,
    pub(super) questions: Vec<Question>,
    pub(super) origins: Vec<(String, Origin)>,
    pub(super) fields: Vec<NamedField>,
    /// Names of the fields that the current one is in, from the nearest named type.
    pub(super) names: Vec<String>,
    /// Whether a rule says that the current field takes the old one's value.
    pub(super) is_told: bool,
    /// The old field that looks like the current one, which is new.
    pub(super) likely: Option<String>,
    /// Whether fields that are new take the variable's initial value.
    pub(super) is_variable: bool,
    /// The outermost new array that the current field is in: its start, how many elements it has, and the bytes of one.
    pub(super) array: Option<(usize, usize, usize)>,
    /// How deep the types nest here.
    pub(super) depth: usize,
    budget: usize,
}

impl<'c, 't> Job<'c, 't> {
    pub(super) fn new(compiler: &'c mut Compiler<'t>, old: Option<TypeId>, new: Option<TypeId>) -> Self {
        let root = (compiler.old.normal(old), compiler.new.normal(new));
        let name = match root {
            (_, Some(_)) => compiler.new.describe(new),
            (old, None) => compiler.old.describe(old),
        };
        Self {
            compiler,
            root,
            frames: Frames::default(),
            out: Output::default(),
            tail: None,
            questions: Vec::new(),
            origins: Vec::new(),
            fields: vec![NamedField { kind: name.clone(), name: name.clone() }],
            names: vec![name],
            is_told: false,
            likely: None,
            is_variable: false,
            array: None,
            depth: 0,
            budget: RECIPE_LIMIT,
        }
    }

    /// The recipe for objects of the root types.
    pub(super) fn objects(mut self) -> Compiled {
        let (old, new) = self.root;
        if let Some(plugin) = old.and_then(|old| self.compiler.rules.plugins.get(&old).copied()) {
            return self.finish().map(|recipe| Arc::new(Recipe { plugin: Some(plugin), ..recipe }));
        }
        self.value(Spot::new(old, 0), Spot::new(new, 0));
        self.finish().map(Arc::new)
    }

    /// The recipe for one variable.
    pub(super) fn variable(mut self, pair: VariablePair, name: &str) -> Compiled {
        let (old, new) = self.root;
        self.begin_variable(name);
        self.frames.push((Some(Root::Variable(pair.old)), old, 0), (Some(Root::Variable(pair.new)), 0));
        self.field(Some(Spot::new(old, 0)), Spot::new(new, 0));
        self.frames.pop();
        self.finish().map(Arc::new)
    }

    /// The recipe for one variable of a frame.
    pub(super) fn local(mut self, name: &str) -> Compiled {
        let (old, new) = self.root;
        self.begin_variable(name);
        self.value(Spot::new(old, 0), Spot::new(new, 0));
        self.finish().map(Arc::new)
    }

    /// The recipe for one variable that only the new build has.
    pub(super) fn new_variable(mut self, position: u32, name: &str) -> Compiled {
        self.begin_variable(name);
        self.frames.push((None, None, 0), (Some(Root::Variable(position)), 0));
        self.field(None, Spot::new(self.root.1, 0));
        self.frames.pop();
        self.finish().map(Arc::new)
    }

    fn begin_variable(&mut self, name: &str) {
        self.is_variable = true;
        self.names = vec![name.to_owned()];
        self.fields = vec![NamedField { name: name.to_owned(), kind: self.compiler.new.describe(self.root.1) }];
    }

    /// The recipe for objects that the new build has no type for: their bytes stay, their pointers follow.
    pub(super) fn kept(mut self) -> Compiled {
        let Some(size) = self.size(true, self.root.0) else { return Err(self.questions.into()) };
        self.copy(0, 0, size);
        self.keep_pointers(self.root.0, 0, 0);
        self.linear_span(self.root.0, 0, 0, size);
        let mut recipe = self.finish()?;
        recipe.new_size = size;
        Ok(Arc::new(recipe))
    }

    fn finish(mut self) -> Result<Recipe, Arc<[Question]>> {
        let (old, new) = self.root;
        // A variable that only the new build has is made from nothing.
        let old_size = if old.is_none() && self.is_variable { Some(0) } else { self.size(true, old) };
        let new_size = if new.is_some() { self.size(false, new) } else { old_size };
        let (Some(old_size), Some(new_size)) = (old_size, new_size) else { return Err(self.asked()) };
        if self.budget == 0 {
            self.ask(Unknown::Undescribed, "it has too many parts", "");
        }
        if !self.questions.is_empty() {
            return Err(self.asked());
        }
        let spans = std::mem::take(&mut self.out.spans);
        let span = match <[Span; 1]>::try_from(spans) {
            Ok([span]) => span,
            Err(spans) => Span { length: old_size, to_length: new_size, kind: old, body: Body::Fields(spans), ..Span::default() },
        };
        let new_alignment = new.and_then(|new| self.compiler.new.get(new).alignment);
        Ok(Recipe {
            old,
            new,
            old_size,
            new_size,
            new_alignment,
            steps: self.out.steps,
            marks: self.out.marks,
            span,
            tail: self.tail,
            fields: self.fields,
            origins: self.origins,
            plugin: None,
        })
    }

    fn asked(mut self) -> Arc<[Question]> {
        self.questions.sort_unstable();
        self.questions.dedup();
        self.questions.into()
    }

    /// The type that the recipe is for.
    pub(super) fn old_root(&self) -> Option<TypeId> {
        self.root.0
    }

    /// Size of a type of the old or new build; asks where there is none.
    pub(super) fn size(&mut self, is_old: bool, kind: Option<TypeId>) -> Option<usize> {
        let table = if is_old { self.compiler.old } else { self.compiler.new };
        let size = match table.normal(kind).map(|id| (id, &table.get(id).shape)) {
            // A structure of a flexible array only.
            Some((id, Shape::Array { counts, .. })) if counts.contains(&None) => {
                table.get(id).size.or(Some(0)).and_then(|size| usize::try_from(size).ok())
            }
            Some((id, _)) => table.size_of(Some(id)).and_then(|size| usize::try_from(size).ok()),
            None => None,
        };
        // Half of the address space leaves room for sums.
        let size = size.filter(|size| *size < usize::MAX / 4);
        if size.is_none() {
            let shown = table.describe(kind);
            self.ask(Unknown::Undescribed, &format!("the size of {shown} is not known"), "");
        }
        size
    }

    /// Whether another part may be added.
    pub(super) fn spend(&mut self) -> bool {
        self.budget = self.budget.saturating_sub(1);
        self.budget > 0
    }

    pub(super) fn copy(&mut self, from: usize, to: usize, length: usize) {
        if length == 0 || !self.spend() {
            return;
        }
        if let Some(Step::Copy { from: before, to: there, length: so_far }) = self.out.steps.last_mut()
            && *before + *so_far == from
            && *there + *so_far == to
        {
            *so_far += length;
            return;
        }
        self.out.steps.push(Step::Copy { from, to, length });
    }

    pub(super) fn step(&mut self, step: Step) {
        if self.spend() {
            self.out.steps.push(step);
        }
    }

    pub(super) fn mark(&mut self, mark: Mark) {
        if self.spend() {
            self.out.marks.push(mark);
        }
    }

    pub(super) fn span(&mut self, span: Span) {
        if self.spend() {
            self.out.spans.push(span);
        }
    }

    /// A part that is carried byte for byte.
    pub(super) fn linear_span(&mut self, old: Option<TypeId>, from: usize, to: usize, length: usize) {
        let kind = self.compiler.old.normal(old);
        let shape = kind.map(|kind| &self.compiler.old.get(kind).shape);
        let is_composed = matches!(shape, Some(Shape::Struct { .. } | Shape::Union { .. } | Shape::Array { .. }));
        let element = self.innermost(kind);
        self.span(Span { from, length, to, to_length: length, kind, element, is_composed, body: Body::Linear });
    }

    /// The innermost element of an old array; `None` for anything else.
    pub(super) fn innermost(&self, kind: Option<TypeId>) -> Option<TypeId> {
        let old = self.compiler.old;
        let mut at = old.normal(kind)?;
        for depth in 0..DEPTH_LIMIT {
            match &old.get(at).shape {
                Shape::Array { element, .. } => at = old.normal(*element)?,
                _ => return (depth > 0).then_some(at),
            }
        }
        None
    }

    /// Collects what `fill` puts out apart from the rest.
    pub(super) fn apart(&mut self, fill: impl FnOnce(&mut Self)) -> Output {
        let before = std::mem::take(&mut self.out);
        fill(self);
        std::mem::replace(&mut self.out, before)
    }

    /// The current field's name, from the nearest named type.
    pub(super) fn name(&self) -> String {
        self.names.join(".")
    }

    /// Number of the current field for errors.
    pub(super) fn field_number(&mut self, kind: Option<TypeId>) -> u32 {
        let field = NamedField { name: self.name(), kind: self.compiler.new.describe(kind) };
        self.fields.push(field);
        u32::try_from(self.fields.len() - 1).unwrap_or(0)
    }

    pub(super) fn ask(&mut self, what: Unknown, old: &str, new: &str) {
        self.ask_likely(what, old, new, None);
    }

    pub(super) fn ask_likely(&mut self, what: Unknown, old: &str, new: &str, likely: Option<String>) {
        let question = self.question(what, old, new);
        self.questions.push(Question { likely, ..question });
    }

    fn question(&self, what: Unknown, old: &str, new: &str) -> Question {
        let (owner, field) = match self.names.split_first() {
            Some((owner, field)) => (owner.clone(), field.join(".")),
            None => (String::new(), String::new()),
        };
        let declared = self.declared();
        Question { what, owner, field, old: old.to_owned(), new: new.to_owned(), declared, likely: None }
    }

    /// Notes that a part of the variable takes its initial value.
    pub(super) fn initial_part(&mut self, new: Spot, length: usize) {
        let shown = self.compiler.new.describe(new.kind);
        let question = self.question(Unknown::Unset, "", &shown);
        let part = match self.array {
            None => InitialPart { question, start: new.offset, length, rows: None },
            Some((start, count, stride)) if self.frames.level() == 1 => {
                InitialPart { question, start: start.saturating_add(new.offset), length, rows: Some((count, stride)) }
            }
            // Of arrays within arrays the element of the outermost one stands for all that is in it.
            Some((start, count, stride)) => InitialPart { question, start, length: stride, rows: Some((count, stride)) },
        };
        self.compiler.initials.push(part);
    }

    /// Where the structure around the current field is declared in the new build.
    fn declared(&self) -> (String, u64) {
        let root = match self.frames.last().map(|frame| frame.new_root) {
            Some(Some(Root::Type(kind))) => Some(kind),
            _ => self.root.1,
        };
        root.map(|kind| self.compiler.new.get(kind)).map(|entry| (entry.file.clone(), entry.line)).unwrap_or_default()
    }
}
