//! What values come to. Pure: old values and addresses come from whoever asks.

use super::continuation::{Condition, FramePlace, Held, Operation, Relation, Value};
use super::said::Said;
use crate::plan::address::{NewLink, OldLink};

/// Deeper than any explanation.
const MOST_NESTED: u32 = 64;

/// Where values come from.
pub trait Scene {
    /// What the old frame has at `place`, zero-extended, of which `wanted` bits count; pointers followed.
    ///
    /// # Errors
    /// Why it is not known.
    fn old(&mut self, place: FramePlace, wanted: u64) -> Result<u64, String>;

    /// Run-time address of a place of the new program.
    fn address(&self, link: NewLink) -> u64;

    /// Canonical frame address of the new frame.
    fn frame(&self) -> u64;

    /// Where an address of the old process leads now.
    ///
    /// # Errors
    /// Why that is not known.
    fn pointer(&mut self, address: u64) -> Result<u64, String> {
        Err(format!("where {address:#x} leads now is not known there"))
    }

    /// What the old program has in `bytes` bytes at an address of its build, of which `wanted` bits count; pointers followed.
    ///
    /// # Errors
    /// Why it is not known.
    fn memory(&mut self, link: OldLink, _bytes: u8, _wanted: u64) -> Result<u64, String> {
        Err(format!("what the old program has at {} is not known there", link.0))
    }

    /// What the old frame itself, or the one at a position of the stack, has, whole and not followed.
    ///
    /// # Errors
    /// Why it is not known.
    fn plain(&mut self, _frame: Option<usize>, held: Held) -> Result<u64, String> {
        Err(format!("what the old frame has in {held:?} is not known there"))
    }

    /// What a word of the old process is now, of which `wanted` bits count.
    ///
    /// # Errors
    /// Why that is not known.
    fn word(&mut self, word: u64, _wanted: u64) -> Result<u64, String> {
        Err(format!("what {word:#x} is now is not known there"))
    }

    /// What the old frame at position `frame` of the stack has, of which `wanted` bits count; pointers followed.
    ///
    /// # Errors
    /// Why it is not known.
    fn outer(&mut self, frame: usize, held: Held, wanted: u64) -> Result<u64, String>;

    /// What the user gives; pointers followed.
    ///
    /// # Errors
    /// Why it is not known.
    fn said(&mut self, given: &Said) -> Result<u64, String>;

    /// The word that stack protectors compare with (`tcbhead_t::stack_guard`).
    ///
    /// # Errors
    /// Why it cannot be read.
    fn canary(&mut self) -> Result<u64, String>;
}

/// What `value` comes to, of which `wanted` bits count.
///
/// # Errors
/// Why it is not known.
pub fn evaluate(value: &Value, wanted: u64, scene: &mut dyn Scene) -> Result<u64, String> {
    nested(value, wanted, scene, 0)
}

fn nested(value: &Value, wanted: u64, scene: &mut dyn Scene, depth: u32) -> Result<u64, String> {
    if depth > MOST_NESTED {
        return Err(format!("its explanation is nested more than {MOST_NESTED} deep"));
    }
    match value {
        Value::Old(place) => scene.old(*place, wanted),
        Value::Constant(number) => Ok(*number),
        Value::Address(link) => Ok(scene.address(*link)),
        Value::Frame(offset) => Ok(scene.frame().wrapping_add_signed(*offset)),
        Value::Outer(frame, held) => scene.outer(*frame, *held, wanted),
        Value::Given(_) => Err("what its caller gave is not known".to_owned()),
        Value::Passed(_) => Err("what the call under way was given is not known".to_owned()),
        Value::Word(made) => {
            let word = plain(made, scene, depth + 1)?;
            scene.word(word, wanted)
        }
        Value::FirstOf(ways) => {
            let first = ways.first().ok_or_else(|| "nothing tells its value".to_owned())?;
            nested(first, wanted, scene, depth + 1)
        }
        Value::Canary => scene.canary(),
        Value::Pointer(address) => scene.pointer(*address),
        Value::Said(given) => scene.said(given),
        Value::Memory(link, bytes) => scene.memory(*link, *bytes, wanted),
        Value::Computed(operation, operands) => {
            let width = mask(operation.reads());
            let of = |number: usize, wanted: u64, scene: &mut dyn Scene| match operands.get(number) {
                Some(operand) => nested(operand, wanted, scene, depth + 1),
                None => Err(format!("{operation:?} lacks an operand")),
            };
            let first = of(0, width, scene)?;
            if operation.is_unary() {
                return Ok(compute(*operation, first, 0));
            }
            if let Operation::Choose { relation, bits } = *operation {
                let second = of(1, mask(bits), scene)?;
                return of(if relates(relation, bits, first, second) { 2 } else { 3 }, wanted, scene);
            }
            let second = of(1, if operation.is_shift() { 0xff } else { width }, scene)?;
            Ok(compute(*operation, first, second))
        }
    }
}

/// What a value comes to in the old process, addresses as they are there.
fn plain(value: &Value, scene: &mut dyn Scene, depth: u32) -> Result<u64, String> {
    if depth > MOST_NESTED {
        return Err(format!("its explanation is nested more than {MOST_NESTED} deep"));
    }
    match value {
        Value::Constant(number) => Ok(*number),
        Value::Old(place) => scene.plain(None, Held::Place(*place)),
        Value::Outer(frame, held) => scene.plain(Some(*frame), *held),
        Value::Computed(operation, operands) if !matches!(operation, Operation::Choose { .. }) => {
            let (first, second) = (operands.first(), operands.get(1));
            let first = first.ok_or_else(|| format!("{operation:?} lacks an operand"))?;
            let first = plain(first, scene, depth + 1)?;
            let second = second.map_or(Ok(0), |second| plain(second, scene, depth + 1))?;
            Ok(compute(*operation, first, second))
        }
        _ => Err("what the old process had there is not known".to_owned()),
    }
}

/// The lowest `bits` bits.
pub fn mask(bits: u8) -> u64 {
    u64::MAX.checked_shr(64u32.saturating_sub(bits.into())).unwrap_or(0)
}

/// `value`'s lowest `bits` bits with their sign.
fn signed(value: u64, bits: u8) -> i64 {
    match bits {
        0 => 0,
        64.. => value.cast_signed(),
        _ => (value << (64 - bits)).cast_signed() >> (64 - bits),
    }
}

/// What an instruction makes of two values; those with one operand ignore the second, and a choice is whether it takes the first.
pub fn compute(operation: Operation, first: u64, second: u64) -> u64 {
    // The processor takes counts modulo 64 or 32 (Intel SDM, "SAL/SAR/SHL/SHR").
    let count = |bits: u8| (second & if bits == 64 { 63 } else { 31 }) as u32;
    let narrowed = |value: u64, bits: u8| value & mask(bits);
    match operation {
        Operation::Add { bits } => narrowed(first.wrapping_add(second), bits),
        Operation::Subtract { bits } => narrowed(first.wrapping_sub(second), bits),
        Operation::Multiply { bits } => narrowed(first.wrapping_mul(second), bits),
        Operation::And { bits } => narrowed(first & second, bits),
        Operation::Or { bits } => narrowed(first | second, bits),
        Operation::Xor { bits } => narrowed(first ^ second, bits),
        Operation::ShiftLeft { bits } => narrowed(first << count(bits), bits),
        Operation::ShiftRight { bits } => narrowed(first, bits) >> count(bits),
        Operation::ShiftRightSigned { bits } => narrowed((signed(first, bits) >> count(bits)).cast_unsigned(), bits),
        Operation::ZeroExtend { from } => narrowed(first, from),
        Operation::SignExtend { from } => signed(first, from).cast_unsigned(),
        Operation::Choose { relation, bits } => u64::from(relates(relation, bits, first, second)),
    }
}

impl Operation {
    /// How many of the lowest bits of its first operand it reads.
    pub(super) fn reads(self) -> u8 {
        match self {
            Operation::Add { bits }
            | Operation::Subtract { bits }
            | Operation::Multiply { bits }
            | Operation::And { bits }
            | Operation::Or { bits }
            | Operation::Xor { bits }
            | Operation::ShiftLeft { bits }
            | Operation::ShiftRight { bits }
            | Operation::ShiftRightSigned { bits } => bits,
            Operation::ZeroExtend { from } | Operation::SignExtend { from } => from,
            // Of what is compared; the values that it chooses from are not made narrower.
            Operation::Choose { bits, .. } => bits,
        }
    }

    fn is_unary(self) -> bool {
        matches!(self, Operation::ZeroExtend { .. } | Operation::SignExtend { .. })
    }

    fn is_shift(self) -> bool {
        matches!(self, Operation::ShiftLeft { .. } | Operation::ShiftRight { .. } | Operation::ShiftRightSigned { .. })
    }
}

/// Whether `condition` holds of what its sides come to.
pub fn holds(condition: &Condition, left: u64, right: u64) -> bool {
    relates(condition.relation, condition.bits, left, right)
}

/// Whether the lowest `bits` bits of two numbers relate so.
fn relates(relation: Relation, bits: u8, left: u64, right: u64) -> bool {
    let (left, right) = (left & mask(bits), right & mask(bits));
    let (less, greater) = (signed(left, bits), signed(right, bits));
    match relation {
        Relation::Equal => left == right,
        Relation::Different => left != right,
        Relation::Below => left < right,
        Relation::BelowOrEqual => left <= right,
        Relation::Above => left > right,
        Relation::AboveOrEqual => left >= right,
        Relation::Less => less < greater,
        Relation::LessOrEqual => less <= greater,
        Relation::Greater => less > greater,
        Relation::GreaterOrEqual => less >= greater,
        Relation::NoCommonBit => left & right == 0,
        Relation::CommonBit => left & right != 0,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    struct Fixed;

    impl Scene for Fixed {
        fn old(&mut self, place: FramePlace, wanted: u64) -> Result<u64, String> {
            match place {
                FramePlace::Register(number) => Ok((0x1111_2222_3333_4444u64 + u64::from(number)) & wanted),
                FramePlace::Slot { .. } => Err("no memory".to_owned()),
            }
        }
        fn outer(&mut self, frame: usize, _held: Held, wanted: u64) -> Result<u64, String> {
            Ok(frame as u64 & wanted)
        }

        fn address(&self, link: NewLink) -> u64 {
            link.0.0 + 0x1000
        }
        fn frame(&self) -> u64 {
            0x7000
        }
        fn said(&mut self, _given: &Said) -> Result<u64, String> {
            Err("nobody gives anything".to_owned())
        }
        fn canary(&mut self) -> Result<u64, String> {
            Ok(0x9000)
        }
    }

    fn come_to(value: &Value) -> Result<u64, String> {
        evaluate(value, u64::MAX, &mut Fixed)
    }

    #[test]
    fn what_is_not_known_is_told_and_a_missing_operand_too() {
        let slot = Value::Old(FramePlace::Slot { offset: -8, length: 8 });
        assert_eq!(come_to(&slot), Err("no memory".to_owned()));
        let lone = Value::Computed(Operation::Add { bits: 64 }, vec![Value::Constant(1)]);
        assert!(come_to(&lone).is_err());
        let deep = (0..100).fold(Value::Constant(1), |value, _| Value::Computed(Operation::ZeroExtend { from: 8 }, vec![value]));
        assert!(come_to(&deep).is_err());
    }

    #[test]
    fn a_choice_takes_the_third_value_if_its_first_two_relate_so() {
        let choose = |relation, left: u64, right: u64| {
            let of = [left, right, 10, 20].map(Value::Constant).to_vec();
            come_to(&Value::Computed(Operation::Choose { relation, bits: 32 }, of))
        };
        assert_eq!(choose(Relation::Less, 0xffff_ffff, 0), Ok(10));
        assert_eq!(choose(Relation::Below, 0xffff_ffff, 0), Ok(20));
        // Of the bits above what is compared nothing counts.
        assert_eq!(choose(Relation::Equal, 0x5_0000_0001, 1), Ok(10));
    }

    #[test]
    fn a_word_is_made_of_what_the_old_process_has() {
        let sum = Value::Computed(Operation::Subtract { bits: 64 }, vec![Value::Constant(9), Value::Constant(4)]);
        // The scene says what words are now: not this one.
        assert!(come_to(&Value::Word(Box::new(sum))).is_err());
        assert!(come_to(&Value::Word(Box::new(Value::Address(NewLink::new(0x20))))).is_err());
        assert_eq!(come_to(&Value::FirstOf(vec![Value::Constant(3), Value::Canary])), Ok(3));
    }

    #[test]
    fn places_come_from_the_scene() {
        assert_eq!(come_to(&Value::Address(NewLink::new(0x20))), Ok(0x1020));
        assert_eq!(come_to(&Value::Frame(-0x10)), Ok(0x6ff0));
        assert_eq!(come_to(&Value::Canary), Ok(0x9000));
        let sum = Value::Computed(Operation::Add { bits: 32 }, vec![Value::Old(FramePlace::Register(3)), Value::Constant(1)]);
        assert_eq!(come_to(&sum), Ok(0x3333_4448));
    }

    proptest! {
        /// Against the same operations on the machine's own types.
        #[test]
        fn operations_are_those_of_the_machine(a: u64, b: u64, shift in 0u64..32) {
            let (c, d) = (a as u32, b as u32);
            prop_assert_eq!(compute(Operation::Add { bits: 32 }, a, b), u64::from(c.wrapping_add(d)));
            prop_assert_eq!(compute(Operation::Subtract { bits: 32 }, a, b), u64::from(c.wrapping_sub(d)));
            prop_assert_eq!(compute(Operation::Multiply { bits: 64 }, a, b), a.wrapping_mul(b));
            prop_assert_eq!(compute(Operation::Xor { bits: 8 }, a, b), u64::from(a as u8 ^ b as u8));
            prop_assert_eq!(compute(Operation::ShiftLeft { bits: 32 }, a, shift), u64::from(c << shift));
            prop_assert_eq!(compute(Operation::ShiftRight { bits: 32 }, a, shift), u64::from(c >> shift));
            prop_assert_eq!(compute(Operation::ShiftRightSigned { bits: 32 }, a, shift), u64::from((c.cast_signed() >> shift).cast_unsigned()));
            prop_assert_eq!(compute(Operation::SignExtend { from: 32 }, a, 0), i64::from(c.cast_signed()).cast_unsigned());
            prop_assert_eq!(compute(Operation::ZeroExtend { from: 16 }, a, 0), u64::from(a as u16));
        }

        #[test]
        fn conditions_are_those_of_the_machine(a: u64, b: u64) {
            let of = |relation, bits| holds(
                &Condition { left: Value::Canary, relation, right: Value::Canary, bits, branch: NewLink::new(0), argument: None }, a, b);
            let (c, d) = ((a as u32).cast_signed(), (b as u32).cast_signed());
            prop_assert_eq!(of(Relation::Less, 32), c < d);
            prop_assert_eq!(of(Relation::GreaterOrEqual, 32), c >= d);
            prop_assert_eq!(of(Relation::Above, 64), a > b);
            prop_assert_eq!(of(Relation::Equal, 8), a as u8 == b as u8);
            prop_assert_eq!(of(Relation::Greater, 64), a.cast_signed() > b.cast_signed());
            prop_assert_eq!(of(Relation::CommonBit, 16), a as u16 & b as u16 != 0);
            prop_assert_eq!(of(Relation::NoCommonBit, 16), !of(Relation::CommonBit, 16));
            prop_assert_eq!(of(Relation::Different, 64), !of(Relation::Equal, 64));
        }
    }
}
