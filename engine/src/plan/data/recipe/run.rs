//! Runs the steps of a recipe on one object.

use dsu_formats::address::RunAddress;

use super::{Amount, Context, Count, Expression, Number, Recipe, RecipeError, RecipeProblem, Step, Store, Tail};
use crate::plan::data::value::{ObjectView, Value, ValueError};

/// Integers up to this size stand for themselves in a pointer (null, -1, error numbers): the lowest page is never mapped.
const SENTINEL_LIMIT: i128 = 4096;

/// One object under way.
struct Run<'r> {
    recipe: &'r Recipe,
    old: &'r [u8],
    new: &'r mut [u8],
    context: &'r Context<'r>,
}

/// Makes the new object; `new` is zero and long enough for the type.
pub(super) fn run(recipe: &Recipe, old: &[u8], new: &mut [u8], context: &Context<'_>) -> Result<(), RecipeError> {
    let mut run = Run { recipe, old, new, context };
    run.steps(&recipe.steps, 0, 0)?;
    match &recipe.tail {
        Some(tail) => run.tail(tail),
        None => Ok(()),
    }
}

/// Number of elements of a flexible array.
pub(super) fn tail_count(recipe: &Recipe, tail: &Tail, old: &[u8], context: &Context<'_>) -> Result<usize, RecipeError> {
    let room = old.len().saturating_sub(tail.from).checked_div(tail.from_stride).unwrap_or(0);
    let count = match &tail.count {
        None => return Ok(room),
        Some(Count::Fixed(count)) => i128::from(*count),
        Some(Count::Number(number)) => read_integer(recipe, number, old, 0, context, tail.field)?,
        Some(Count::Expression(expression)) => match evaluate(recipe, expression, old, 0, context, tail.field)? {
            Value::Integer(count) => count,
            Value::Zero => 0,
            other => return Err(recipe.error(context, Some(tail.field), misfit(expression, &other, "a number of elements"))),
        },
    };
    let room = room as u64;
    match usize::try_from(count).ok().filter(|count| *count as u64 <= room) {
        Some(count) => Ok(count),
        None => Err(recipe.error(context, Some(tail.field), RecipeProblem::Length { count, room })),
    }
}

/// An integer of the old object, for tags and lengths.
pub(super) fn read_integer(
    recipe: &Recipe,
    number: &Number,
    old: &[u8],
    base: usize,
    context: &Context<'_>,
    field: u32,
) -> Result<i128, RecipeError> {
    match number.read(old, base) {
        Some(Amount::Integer(value)) => Ok(value),
        _ => Err(short(recipe, base.saturating_add(number.end()), old.len(), context, field)),
    }
}

fn short(recipe: &Recipe, expected: usize, found: usize, context: &Context<'_>, field: u32) -> RecipeError {
    recipe.error(context, Some(field), RecipeProblem::Size { expected, found })
}

fn evaluate(
    recipe: &Recipe,
    expression: &Expression,
    old: &[u8],
    base: usize,
    context: &Context<'_>,
    field: u32,
) -> Result<Value, RecipeError> {
    let start = base.saturating_add(expression.from);
    let end = expression.size.map_or(old.len(), |size| start.saturating_add(size));
    let bytes = old.get(start..end).ok_or_else(|| short(recipe, end, old.len(), context, field))?;
    let address = RunAddress(context.address.0.wrapping_add(start as u64));
    let view = ObjectView::new(context.types, expression.kind, address, bytes, context.memory);
    let failed = |source| RecipeProblem::Value { origin: expression.origin.to_string(), source };
    expression.value.value(&view).map_err(|source| recipe.error(context, Some(field), failed(source)))
}

fn misfit(expression: &Expression, value: &Value, kind: &str) -> RecipeProblem {
    let source = ValueError::DoesNotFit { value: describe(value), kind: kind.to_owned() };
    RecipeProblem::Value { origin: expression.origin.to_string(), source }
}

/// A value for messages.
pub(crate) fn describe(value: &Value) -> String {
    match value {
        Value::Zero => "0".to_owned(),
        Value::Integer(value) => value.to_string(),
        Value::Float(value) => value.to_string(),
        Value::Bytes(bytes) => format!("of {} bytes", bytes.len()),
        Value::Address(address) => address.to_string(),
        Value::New(link) => format!("{link:?}"),
    }
}

impl Run<'_> {
    fn steps(&mut self, steps: &[Step], from_base: usize, to_base: usize) -> Result<(), RecipeError> {
        for step in steps {
            self.step(step, from_base, to_base)?;
        }
        Ok(())
    }

    fn step(&mut self, step: &Step, from_base: usize, to_base: usize) -> Result<(), RecipeError> {
        match step {
            Step::Copy { from, to, length } => self.copy(from_base + from, to_base + to, *length),
            Step::Number { from, to, cut, field } => self.number((from, from_base), (to, to_base), *cut, *field),
            Step::Enumerator { from, to, map, field } => {
                let value = read_integer(self.recipe, from, self.old, from_base, self.context, *field)?;
                let kind = || self.recipe.kind_of(*field);
                let Some(mapped) = map.map(value) else {
                    return Err(self.error(*field, RecipeProblem::NoEnumerator { value, kind: kind() }));
                };
                self.put(to, to_base, Amount::Integer(mapped), false, *field)
            }
            Step::Fill { to, bytes } => self.fill(to_base + to, bytes),
            Step::Bits { to, bits } => to.write(*bits, self.new, to_base).ok_or_else(|| self.overrun(to_base + to.end())),
            Step::Initial { to, length, field } => self.initial(to_base + to, *length, *field),
            Step::InitialBits { to, field } => {
                let initial = self.context.initial.unwrap_or(&[]);
                let missing = || short(self.recipe, to_base + to.end(), initial.len(), self.context, *field);
                let amount = to.read(initial, to_base).ok_or_else(missing)?;
                self.put(to, to_base, amount, true, *field)
            }
            Step::New { to, link } => {
                let address = link.0.0.wrapping_add(self.context.new_bias);
                self.fill(to_base + to, &address.to_le_bytes())
            }
            Step::Compute { expression, to, field } => {
                let value = evaluate(self.recipe, expression, self.old, from_base, self.context, *field)?;
                self.store(expression, to, to_base, &value, *field)
            }
            Step::Zeros { from, length, field } => self.zeros(from_base + from, *length, *field),
            Step::Repeat { count, from, from_stride, to, to_stride, steps } => {
                for index in 0..*count {
                    self.steps(steps, from_base + from + index * from_stride, to_base + to + index * to_stride)?;
                }
                Ok(())
            }
            Step::Choose(choice) => {
                let tag = read_integer(self.recipe, &choice.tag, self.old, from_base, self.context, choice.field)?;
                match choice.of(tag) {
                    Some(steps) => self.steps(steps, from_base, to_base),
                    None => Err(self.error(choice.field, RecipeProblem::NoMember { tag })),
                }
            }
        }
    }

    fn copy(&mut self, from: usize, to: usize, length: usize) -> Result<(), RecipeError> {
        let Some(source) = self.old.get(from..from.saturating_add(length)) else {
            return Err(short(self.recipe, from.saturating_add(length), self.old.len(), self.context, 0));
        };
        match self.new.get_mut(to..to.saturating_add(length)) {
            Some(target) => {
                target.copy_from_slice(source);
                Ok(())
            }
            None => Err(self.overrun(to.saturating_add(length))),
        }
    }

    fn fill(&mut self, to: usize, bytes: &[u8]) -> Result<(), RecipeError> {
        let end = to.saturating_add(bytes.len());
        match self.new.get_mut(to..end) {
            Some(target) => {
                target.copy_from_slice(bytes);
                Ok(())
            }
            None => Err(self.overrun(end)),
        }
    }

    fn initial(&mut self, to: usize, length: usize, field: u32) -> Result<(), RecipeError> {
        let end = to.saturating_add(length);
        let initial = self.context.initial.unwrap_or(&[]);
        let bytes = initial.get(to..end).ok_or_else(|| short(self.recipe, end, initial.len(), self.context, field))?;
        self.fill(to, bytes)
    }

    fn number(
        &mut self,
        (from, from_base): (&Number, usize),
        (to, to_base): (&Number, usize),
        cut: bool,
        field: u32,
    ) -> Result<(), RecipeError> {
        match from.read(self.old, from_base) {
            Some(amount) => self.put(to, to_base, amount, cut, field),
            None => Err(short(self.recipe, from_base + from.end(), self.old.len(), self.context, field)),
        }
    }

    fn put(&mut self, to: &Number, base: usize, amount: Amount, cut: bool, field: u32) -> Result<(), RecipeError> {
        let Some(bits) = to.bits_of(amount, cut) else {
            let value = match amount {
                Amount::Integer(value) => value.to_string(),
                Amount::Float(value) => value.to_string(),
            };
            return Err(self.error(field, RecipeProblem::Lost { value, kind: self.recipe.kind_of(field) }));
        };
        to.write(bits, self.new, base).ok_or_else(|| self.overrun(base + to.end()))
    }

    fn zeros(&mut self, from: usize, length: usize, field: u32) -> Result<(), RecipeError> {
        let end = from.saturating_add(length);
        let bytes = self.old.get(from..end).ok_or_else(|| short(self.recipe, end, self.old.len(), self.context, field))?;
        match bytes.iter().enumerate().find(|(_, byte)| **byte != 0) {
            Some((offset, value)) => Err(self.error(field, RecipeProblem::Cut { offset, value: *value })),
            None => Ok(()),
        }
    }

    fn store(&mut self, expression: &Expression, to: &Store, base: usize, value: &Value, field: u32) -> Result<(), RecipeError> {
        let stored = store(value, to, self.context.new_bias);
        let Some(stored) = stored else {
            return Err(self.error(field, misfit(expression, value, &self.recipe.kind_of(field))));
        };
        match stored {
            Stored::Zero => Ok(()),
            Stored::Bits(number, bits) => number.write(bits, self.new, base).ok_or_else(|| self.overrun(base + number.end())),
            Stored::Bytes(at, bytes) => self.fill(base + at, &bytes),
        }
    }

    fn tail(&mut self, tail: &Tail) -> Result<(), RecipeError> {
        let count = tail_count(self.recipe, tail, self.old, self.context)?;
        if tail.is_plain() {
            return self.copy(tail.from, tail.to, count.saturating_mul(tail.from_stride));
        }
        for index in 0..count {
            self.steps(&tail.steps, tail.from + index * tail.from_stride, tail.to.saturating_add(index * tail.to_stride))?;
        }
        Ok(())
    }

    fn error(&self, field: u32, problem: RecipeProblem) -> RecipeError {
        self.recipe.error(self.context, Some(field), problem)
    }

    fn overrun(&self, expected: usize) -> RecipeError {
        self.recipe.error(self.context, None, RecipeProblem::Size { expected, found: self.new.len() })
    }
}

/// A value in the shape of where it goes.
pub(crate) enum Stored {
    Zero,
    Bits(Number, u128),
    Bytes(usize, Vec<u8>),
}

/// `value` as the bytes or bits that stand for it in `to`; `None` where it does not fit.
pub(crate) fn store(value: &Value, to: &Store, new_bias: u64) -> Option<Stored> {
    match (value, to) {
        (Value::Zero, _) => Some(Stored::Zero),
        (Value::Integer(value), Store::Number { to, cut }) => Some(Stored::Bits(*to, to.bits_of(Amount::Integer(*value), *cut)?)),
        (Value::Float(value), Store::Number { to, cut }) => Some(Stored::Bits(*to, to.bits_of(Amount::Float(*value), *cut)?)),
        (Value::Integer(value), Store::Pointer(at)) if (-SENTINEL_LIMIT..SENTINEL_LIMIT).contains(value) => {
            Some(Stored::Bytes(*at, (*value as u64).to_le_bytes().to_vec()))
        }
        (Value::Address(address), Store::Pointer(at)) => Some(Stored::Bytes(*at, address.0.to_le_bytes().to_vec())),
        (Value::New(link), Store::Pointer(at)) => {
            Some(Stored::Bytes(*at, link.0.0.wrapping_add(new_bias).to_le_bytes().to_vec()))
        }
        (Value::Bytes(bytes), Store::Bytes(at, length)) if bytes.len() <= *length => Some(Stored::Bytes(*at, bytes.clone())),
        _ => None,
    }
}
