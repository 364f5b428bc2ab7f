//! Calls in the new program: `[after-restore] call` and `[keyed-by-address]`.

use dsu_formats::spec::expression::Side;
use dsu_formats::spec::model::{Argument, Call};
use dsu_formats::spec::{At, Problem};

use super::bind::{Binder, Bound};
use super::expression::{Checker, NewFields};
use super::names;
use crate::plan::address::NewLink;
use crate::plan::data::value::Value;
use crate::program::address::LinkAddress;

/// A call of a function of the new program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BoundCall {
    /// Its entry.
    pub function: NewLink,
    /// What it gets, in the order of the System V ABI's argument registers; six at most.
    pub arguments: Vec<BoundArgument>,
    /// The call as it was written, for messages.
    pub text: String,
}

/// An argument of a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BoundArgument {
    /// A number; negative ones as 64 bits of two's complement.
    Word(u64),
    /// The address of a variable or function of the new program.
    Address(NewLink),
    /// The address of this text, which a zero ends.
    Text(String),
}

/// A function of the old program that computes with addresses as with numbers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyedByAddress {
    /// Its entry.
    pub function: LinkAddress,
    /// Its name.
    pub name: String,
    /// Position of the call that puts it right, in [`Bound::calls`].
    pub call: usize,
}

/// Binds all calls.
pub(super) fn bind(binder: &mut Binder<'_>, bound: &mut Bound) {
    let spec = binder.spec;
    for rule in &spec.keyed {
        let list = binder.comparison.sides.old.functions.list();
        let function = names::find(&spec.source, &rule.subject, ("function", Side::Old), list);
        let function = function.map(|index| (list[index].entry, list[index].identity.name.clone()));
        let call = call(binder, &rule.value.value);
        let (function, call) = (binder.take(function), binder.take(call));
        if let (Some((function, name)), Some(call)) = (function, call) {
            // Several functions may compute places in one table.
            let known = bound.calls.iter().position(|other| *other == call);
            bound.keyed.push(KeyedByAddress { function, name, call: known.unwrap_or(bound.calls.len()) });
            bound.calls.extend(known.is_none().then_some(call));
        }
    }
    for given in &spec.calls {
        let call = call(binder, given);
        bound.calls.extend(binder.take(call));
    }
}

fn call(binder: &Binder<'_>, call: &Call) -> Result<BoundCall, Problem> {
    let function = binder.function(&call.function)?;
    let arguments = call.arguments.iter().map(|argument| bound_argument(binder, argument));
    Ok(BoundCall { function, arguments: arguments.collect::<Result<_, _>>()?, text: call.text.clone() })
}

pub(super) fn bound_argument(binder: &Binder<'_>, argument: &At<Argument>) -> Result<BoundArgument, Problem> {
    let source = &binder.spec.source;
    let expression = match &argument.value {
        Argument::Text(text) => return Ok(BoundArgument::Text(text.clone())),
        Argument::Address(name) => {
            let name = At::new(name.clone(), argument.span);
            return match binder.object(&name, Side::New) {
                Ok((_, object)) if object.place == crate::plan::compare::objects::Place::ThreadLocal => Err(source
                    .problem(argument.span, format!("`{}` is thread-local: each thread has another address of it", name.value))),
                Ok((_, object)) => Ok(BoundArgument::Address(NewLink(object.start))),
                Err(problem) => binder.function(&name).map(BoundArgument::Address).map_err(|_| problem),
            };
        }
        Argument::Value(expression) => expression,
    };
    let none = NewFields::new();
    let compiled = Checker::new(&binder.environment, None, &none, None).compile(expression)?;
    let range = format!("an argument, {} to {},", i64::MIN, u64::MAX);
    let value = compiled.within(i64::MIN.into(), u64::MAX.into(), &range).constant();
    match value {
        Some(Ok(Value::Integer(value))) => Ok(BoundArgument::Word(value as u64)),
        Some(Err(error)) => Err(source.problem(argument.span, error.to_string())),
        _ => Err(source.problem(argument.span, "expected a whole number, a text, or the address of something, as in `&table`")),
    }
}
