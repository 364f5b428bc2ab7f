//! The user's answers (`update.toml`) bound to both builds: every name is looked up, every expression checked against the types, before
//! the process is stopped.

pub mod accepted;
pub mod bind;
pub mod calls;
mod enums;
pub mod expression;
mod fields;
pub mod guards;
mod memory;
pub mod names;
pub mod pairing;
#[cfg(test)]
mod tests;
pub mod types;

pub use bind::{Bound, Initial, bind};

use dsu_formats::spec::{Problem, Span, Spec};

/// A problem for each rule that nothing in this engine carries out: an answer that is not followed must not be taken in silence.
pub fn not_carried_out(spec: &Spec) -> Vec<Problem> {
    let first = |spans: &mut dyn Iterator<Item = Span>| spans.next();
    let found: [(&str, Option<Span>); 1] = [("[allocators]", first(&mut spec.allocators.iter().map(|rule| rule.subject.span)))];
    let found = found.into_iter().filter_map(|(what, span)| Some((what, span?)));
    found
        .map(|(what, span)| spec.source.problem(span, format!("rules of {what} are not carried out by this version of dsu")))
        .collect()
}
