//! Functions of the new program that the user wants to have called before it runs on.

use std::time::Duration;

use dsu_formats::address::RunRange;

use super::error::VesselError;
use crate::plan::rewrite::Call;
use crate::tracee::emptied::Emptied;

/// Longest time that one call may take: the program stands still meanwhile.
pub const LIMIT: Duration = Duration::from_secs(10);

/// Runs all calls in their order, on a stack of their own; `fs_base` is the leader's thread pointer.
pub(super) fn run(vessel: &mut Emptied, calls: &[Call], fs_base: u64) -> Result<(), VesselError> {
    let stack = vessel.map_stack()?;
    let done = calls.iter().try_for_each(|call| one(vessel, call, stack, fs_base));
    // What a call that failed had is unmapped with everything else.
    done?;
    Ok(vessel.unmap_stack(stack)?)
}

fn one(vessel: &mut Emptied, call: &Call, stack: RunRange, fs_base: u64) -> Result<(), VesselError> {
    let result = vessel.call_on_stack(call.function, &call.arguments, (stack, fs_base), LIMIT);
    let result = result.map_err(|source| VesselError::Call { call: call.text.clone(), source })?;
    tracing::debug!(call = call.text, result, "called");
    Ok(())
}
