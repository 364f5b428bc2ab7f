//! Which of several points a call became: the one whose conditions hold for the old values, if that is exactly one (PROOF 3.1).

use std::sync::Arc;

use super::continuation::{Condition, Continuation, FramePlace, Held, Value};
use super::rebuild_value::{self, Scene};
use super::said::{OldProcess, Said, Word, word};
use crate::plan::address::NewLink;
use crate::program::unwind::Frame;
use dsu_formats::address::RunAddress;

/// The continuation of `frame` among `continuation` and its rivals.
///
/// # Errors
/// None of them fits, more than one does, the one that does is not proved, or something that is asked is not known.
pub fn choose(continuation: Arc<Continuation>, frame: &Frame, process: OldProcess<'_>) -> Result<Arc<Continuation>, String> {
    if continuation.rivals.is_empty() {
        return Ok(continuation);
    }
    let mut old = OldFrame { frame, process };
    if continuation.besides.in_order {
        return first(continuation, &mut old);
    }
    let mut fits = Vec::new();
    if all_hold(&continuation.conditions, &mut old)? {
        fits.push(Ok(Arc::clone(&continuation)));
    }
    for rival in &continuation.rivals {
        if all_hold(&rival.conditions, &mut old)? {
            let unproved = || format!("the call became several, and the one at {} that fits is not proved", rival.returns_to.0);
            fits.push(rival.continuation.clone().ok_or_else(unproved));
        }
    }
    let count = continuation.rivals.len() + 1;
    match (fits.pop(), fits.len()) {
        (Some(only), 0) => only,
        (Some(_), others) => Err(format!("the call became {count} in the new code, and {} of them fit", others + 1)),
        (None, _) => Err(format!("the call became {count} in the new code, and none of them fits")),
    }
}

/// The first that fits, in the order of the spec.
fn first(continuation: Arc<Continuation>, old: &mut OldFrame<'_>) -> Result<Arc<Continuation>, String> {
    let others = continuation.rivals.iter().filter_map(|rival| rival.continuation.clone());
    let all: Vec<Arc<Continuation>> = std::iter::once(Arc::clone(&continuation)).chain(others).collect();
    let mut unknown = None;
    for one in &all {
        match all_hold(&one.conditions, old) {
            Ok(true) => return Ok(Arc::clone(one)),
            Ok(false) => {}
            Err(reason) => drop(unknown.get_or_insert(reason)),
        }
    }
    Err(unknown.unwrap_or_else(|| format!("of the {} points that the spec names none fits", all.len())))
}

/// Whether all conditions hold: not if one is known not to, whatever is not known of others.
fn all_hold(conditions: &[Condition], old: &mut OldFrame<'_>) -> Result<bool, String> {
    let mut unknown = None;
    for condition in conditions {
        match is_held(condition, old) {
            Ok(true) => {}
            Ok(false) => return Ok(false),
            Err(reason) => drop(unknown.get_or_insert(reason)),
        }
    }
    unknown.map_or(Ok(true), Err)
}

fn is_held(condition: &Condition, old: &mut OldFrame<'_>) -> Result<bool, String> {
    let wanted = rebuild_value::mask(condition.bits);
    if is_of_new_frame(&condition.left) || is_of_new_frame(&condition.right) {
        return Err("which of several points it is depends on an address in the frame, or on what its callers gave".to_owned());
    }
    let left = rebuild_value::evaluate(&condition.left, wanted, old)?;
    let right = rebuild_value::evaluate(&condition.right, wanted, old)?;
    Ok(rebuild_value::holds(condition, left, right))
}

/// Whether a value is only known when the new frame has its place.
fn is_of_new_frame(value: &Value) -> bool {
    match value {
        Value::Frame(_) | Value::Canary | Value::Outer(..) | Value::Given(_) | Value::Passed(_) | Value::FirstOf(_) => true,
        Value::Computed(_, operands) => operands.iter().any(is_of_new_frame),
        Value::Word(made) => is_of_new_frame(made),
        Value::Old(_) | Value::Constant(_) | Value::Address(_) | Value::Pointer(_) | Value::Said(_) | Value::Memory(..) => false,
    }
}

/// The old frame as it is: numbers only, since addresses mean something else in the new program.
struct OldFrame<'f> {
    frame: &'f Frame,
    process: OldProcess<'f>,
}

impl Scene for OldFrame<'_> {
    fn old(&mut self, place: FramePlace, wanted: u64) -> Result<u64, String> {
        let word = match place {
            FramePlace::Register(register) => {
                let known = self.frame.registers.get(usize::from(register)).copied().flatten();
                known.ok_or_else(|| format!("what the old frame has in register {register} (DWARF number) is lost"))?.value
            }
            FramePlace::Slot { offset, length } => {
                let address = RunAddress(self.frame.cfa.0.wrapping_add_signed(offset));
                let mut bytes = [0; 8];
                let buffer = bytes.get_mut(..usize::from(length)).ok_or("a value of more than eight bytes")?;
                self.process.memory.read(address, buffer).map_err(|error| error.to_string())?;
                u64::from_le_bytes(bytes)
            }
        };
        match wanted > u64::from(u32::MAX) && self.process.placement.old_link(word).is_some() {
            true => Err(format!("which of several points it is depends on the address {word:#x}")),
            false => Ok(word & wanted),
        }
    }

    fn address(&self, link: NewLink) -> u64 {
        self.process.placement.new_run(link).0.0
    }

    fn frame(&self) -> u64 {
        self.frame.cfa.0
    }

    fn outer(&mut self, _frame: usize, _held: Held, _wanted: u64) -> Result<u64, String> {
        Err("what its callers gave is not looked at".to_owned())
    }

    fn said(&mut self, given: &Said) -> Result<u64, String> {
        match word(given, (std::slice::from_ref(self.frame), 0), self.process)? {
            Word::Number(number) => Ok(number),
            Word::Pointer(address, _) => Err(format!("which of several points it is depends on the address {address:#x}")),
        }
    }

    fn canary(&mut self) -> Result<u64, String> {
        Err("the stack protectors' word is not looked at".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::super::continuation::{Relation, Rival};
    use super::super::said::Besides;
    use super::*;
    use crate::plan::address::Placement;
    use crate::plan::testing::{FakeMemory, NEW_BIAS, OLD_BIAS};
    use crate::program::address::LinkAddress;
    use crate::program::testing::Compiled;
    use crate::program::unwind::{Place, RegisterValue};

    const RBX: u8 = 3;
    const CFA: u64 = 0x7000_0000_1000;

    fn asks(place: FramePlace, relation: Relation, to: u64) -> Condition {
        Condition {
            left: Value::Old(place),
            relation,
            right: Value::Constant(to),
            bits: 64,
            branch: NewLink::new(1),
            argument: None,
        }
    }

    fn continuation(returns_to: u64, conditions: Vec<Condition>) -> Continuation {
        let returns_to = NewLink::new(returns_to);
        let (values, objects, warnings, rivals) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        Continuation {
            function: 0,
            returns_to,
            between: false,
            given_back: Vec::new(),
            values,
            objects,
            conditions,
            warnings,
            rivals,
            has_unread: false,
            besides: Besides::default(),
        }
    }

    fn chosen(rbx: u64, first: Vec<Condition>, rivals: Vec<(Vec<Condition>, bool)>) -> Result<u64, String> {
        let mut whole = continuation(0, first);
        whole.rivals = (1u64..)
            .zip(rivals)
            .map(|(number, (conditions, proved))| Rival {
                returns_to: NewLink::new(number),
                continuation: proved.then(|| Arc::new(continuation(number, conditions.clone()))),
                conditions,
            })
            .collect();
        let mut registers = [None; 16];
        registers[usize::from(RBX)] = Some(RegisterValue { value: rbx, place: Place::Register(RBX) });
        let (pc, cfa) = (RunAddress(OLD_BIAS + 0x100), RunAddress(CFA));
        let frame = Frame { pc, lookup: pc, module: None, cfa, return_slot: None, registers, is_signal_frame: false };
        let mut memory = FakeMemory::default();
        memory.put_word(CFA - 16, 7);
        let pages = (LinkAddress(0), LinkAddress(0x3000));
        let build = Compiled::new("choice", "int main(void) { return 0; }", &["-g"]).build();
        let placement = Placement::new(OLD_BIAS, pages, NEW_BIAS, pages, 0);
        choose(Arc::new(whole), &frame, OldProcess { placement: &placement, memory: &memory, build: &build })
            .map(|chosen| chosen.returns_to.0.0)
    }

    #[test]
    fn exactly_one_must_fit() {
        let rbx = FramePlace::Register(RBX);
        let more = || vec![asks(rbx, Relation::Above, 3)];
        let less = || vec![asks(rbx, Relation::BelowOrEqual, 3)];
        assert_eq!(chosen(5, more(), vec![(less(), true)]), Ok(0));
        assert_eq!(chosen(2, more(), vec![(less(), true)]), Ok(1));
        assert!(chosen(5, more(), vec![(Vec::new(), true)]).is_err_and(|why| why.contains("2 of them fit")));
        assert!(chosen(2, more(), vec![(more(), true)]).is_err_and(|why| why.contains("none of them fits")));
        assert!(chosen(2, more(), vec![(less(), false)]).is_err_and(|why| why.contains("not proved")));
        assert!(chosen(5, more(), vec![(Vec::new(), false)]).is_err(), "what is not known may fit");
        let unknown = || Condition { left: Value::Given(7), ..asks(rbx, Relation::Equal, 0) };
        assert_eq!(
            chosen(5, more(), vec![(vec![unknown(), asks(rbx, Relation::Below, 3)], true)]),
            Ok(0),
            "one that fails is enough"
        );
        assert!(chosen(5, more(), vec![(vec![unknown()], true)]).is_err(), "what is not known may hold");
        assert_eq!(chosen(5, more(), Vec::new()), Ok(0));
        assert_eq!(chosen(2, more(), Vec::new()), Ok(0), "conditions of the only point are checked later");
    }

    #[test]
    fn slots_count_and_addresses_are_not_guessed_at() {
        let slot = FramePlace::Slot { offset: -16, length: 8 };
        let seven = || vec![asks(slot, Relation::Equal, 7)];
        let other = || vec![asks(slot, Relation::Different, 7)];
        assert_eq!(chosen(0, other(), vec![(seven(), true)]), Ok(1));
        let rbx = FramePlace::Register(RBX);
        let found = chosen(OLD_BIAS + 0x2000, vec![asks(rbx, Relation::Above, 3)], vec![(seven(), true)]);
        assert!(found.is_err_and(|why| why.contains("address")));
    }
}
