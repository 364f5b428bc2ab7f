//! What `set` of a `[[continue]]` answers: a variable that the new function, and all that it calls, leaves alone is asked by nothing.

use std::ops::Range;

use dsu_formats::spec::{Spec, SpecError};

use crate::plan::compare::Comparison;
use crate::plan::frames::SetRule;
use crate::program::code::{Access, CallGraph, CodeImage, FunctionId};

/// Checks that what is set means something to the new program from where frames go on.
///
/// # Errors
/// Every setting that answers nothing, with its place.
pub fn check_settings(spec: &Spec, comparison: &Comparison, new: &CodeImage<'_>) -> Result<(), SpecError> {
    let rules = &comparison.bound.frames.rules;
    let mut ranges: Vec<Range<u64>> = rules.iter().flat_map(|rule| &rule.set).filter_map(|set| set.variable.clone()).collect();
    ranges.sort_unstable_by_key(|range| range.start);
    ranges.dedup();
    if ranges.is_empty() {
        return Ok(());
    }
    let (accesses, calls) = (new.accesses(&ranges), CallGraph::new(new));
    let mut problems = Vec::new();
    for rule in rules.iter().filter(|rule| !rule.set.is_empty()) {
        let Some(partner) = rule.into else { continue };
        let closure = calls.closure([FunctionId(u32::try_from(partner).unwrap_or(u32::MAX))]);
        let runs = |access: &Access| closure.is_open || closure.functions.contains(&access.function);
        let is_used = |set: &SetRule| {
            set.variable.as_ref().is_none_or(|range| accesses.iter().any(|access| access.touches(range) && runs(access)))
        };
        let name = comparison.sides.new.functions.list().get(partner).map(|code| code.identity.name.clone()).unwrap_or_default();
        problems.extend(rule.set.iter().filter(|set| !is_used(set)).map(|set| {
            let message = format!(
                "this answers no question: neither `{name}` of the new program nor anything that it calls reads or writes the variable; what \
                 is asked about are variables that the new code has stored to when it comes to the point, or that it reads behind it"
            );
            spec.source.problem(set.span, message)
        }));
    }
    if problems.is_empty() { Ok(()) } else { Err(SpecError(problems)) }
}
