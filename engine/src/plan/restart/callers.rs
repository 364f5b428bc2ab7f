//! What callers of a function that gives way count on: with inter-procedural register allocation a caller may know that the function
//! leaves registers alone which calls destroy as a rule (PROOF 3.2). The function that is entered knows nothing of that.

use std::collections::HashMap;

use super::Restart;
use crate::plan::frames::Coded;
use crate::program::address::LinkAddress;
use crate::program::code::{CallGraph, Callee, FunctionId, TailPath};
use crate::program::flow::{Escapes, Graph, Live, LivePlace, Liveness, Unclear};

/// Registers that a called function gives back, by the numbers that instructions encode them with.
const KEPT: [u8; 7] = [3, 4, 5, 12, 13, 14, 15];

/// Looks at every call of the functions that give way, in the build that runs.
pub(in crate::plan) fn look_at(restarts: &mut [Restart], coded: &Coded<'_, '_>, calls: &CallGraph) {
    if restarts.is_empty() {
        return;
    }
    let given_up: Vec<FunctionId> =
        restarts.iter().filter_map(|restart| u32::try_from(restart.instead_of).ok()).map(FunctionId).collect();
    // A function that goes on by a jump to one that gives way has left no frame.
    let mut leads: HashMap<(FunctionId, FunctionId), bool> = HashMap::new();
    let mut leads_to = |called: FunctionId, to: FunctionId| {
        let path = || calls.tail_path(Callee::Function(called), to);
        *leads
            .entry((called, to))
            .or_insert_with(|| matches!(path(), TailPath::Direct | TailPath::Through(_) | TailPath::Pointer(_)))
    };
    let mut known: HashMap<FunctionId, Vec<(LinkAddress, Option<String>)>> = HashMap::new();
    for (id, _) in coded.image.inventory().iter() {
        let mut own = None;
        for site in coded.image.calls(id).iter().filter(|site| !site.is_tail) {
            let Callee::Function(called) = site.callee else { continue };
            for to in &given_up {
                if !leads_to(called, *to) {
                    continue;
                }
                let why = match own.get_or_insert_with(|| liveness(coded, id)) {
                    Ok(liveness) => liveness.after_call(site.next).map_err(|unclear| unclear.to_string()),
                    Err(unclear) => Err(unclear.to_string()),
                };
                let why = why.map(|live| counts_on(&live)).unwrap_or_else(Some);
                known.entry(*to).or_default().push((site.next, why));
            }
        }
    }
    for restart in restarts {
        let own = known.get(&FunctionId(u32::try_from(restart.instead_of).unwrap_or(u32::MAX)));
        restart.callers = own.into_iter().flatten().cloned().collect();
    }
}

fn liveness(coded: &Coded<'_, '_>, function: FunctionId) -> Result<Liveness, Unclear> {
    let graph = Graph::new(coded.image, coded.unwind, function)?;
    let escapes = Escapes::new(&graph, coded.build)?;
    Liveness::new(&graph, &escapes)
}

/// A register that the code behind a call reads although calls destroy it.
fn counts_on(live: &[Live]) -> Option<String> {
    live.iter().find_map(|live| match live.place {
        LivePlace::Register(register) if !KEPT.contains(&register) => {
            Some(format!("its caller reads register {register} behind the call, at {}", live.reader))
        }
        LivePlace::Register(_) | LivePlace::Slot { .. } | LivePlace::Object { .. } | LivePlace::Incoming | LivePlace::Dynamic => {
            None
        }
        _ => Some(format!("its caller reads a vector register or a flag behind the call, at {}", live.reader)),
    })
}
