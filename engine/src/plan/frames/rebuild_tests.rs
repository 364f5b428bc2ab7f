//! Layout and contents of new stacks, on stacks made up for it.

use std::collections::HashMap;
use std::sync::Arc;

use dsu_formats::address::{RunAddress, RunRange};

use super::*;
use crate::plan::address::NewLink;
use crate::program::unwind::{Frame, Place, RegisterValue, dwarf};

const TOP: u64 = 0x7000_0000;
const NEW_PROGRAM: u64 = 0x5000_0000;

/// Frames of these sizes, innermost first, that end at [`TOP`]. Callee-saved registers are in the machine until `saved` says otherwise.
struct Made {
    frames: Vec<Frame>,
    memory: HashMap<u64, u64>,
}

fn stack(sizes: &[u64]) -> Made {
    let mut cfa = TOP;
    let mut frames: Vec<Frame> = Vec::new();
    for (number, size) in sizes.iter().enumerate().rev() {
        let mut registers = [None; 16];
        registers[dwarf::RSP] = Some(RegisterValue { value: cfa - size, place: Place::Computed });
        for register in KEPT {
            let value = 0x1000 * number as u64 + register as u64;
            registers[register] = Some(RegisterValue { value, place: Place::Register(register as u8) });
        }
        frames.push(Frame {
            pc: RunAddress(0x10_0000 + number as u64),
            lookup: RunAddress(0x10_0000 + number as u64 - u64::from(number > 0)),
            module: None,
            cfa: RunAddress(cfa),
            return_slot: (number + 1 < sizes.len()).then(|| RunAddress(cfa - 8)),
            registers,
            is_signal_frame: false,
        });
        cfa -= size;
    }
    frames.reverse();
    Made { frames, memory: HashMap::new() }
}

impl Made {
    /// The frame keeps its caller's register in a slot, from its frame address.
    fn save(&mut self, frame: usize, register: usize, offset: i64) {
        let slot = self.frames[frame].cfa.0.wrapping_add_signed(offset);
        for above in self.frames.iter_mut().skip(frame + 1) {
            if let Some(known) = above.registers[register].as_mut().filter(|known| known.place == Place::Register(register as u8))
            {
                known.place = Place::Slot(RunAddress(slot));
                self.memory.insert(slot, known.value);
            }
        }
    }
}

/// A process whose words stay as they are, but for those in moved frames.
struct Plain<'a> {
    memory: &'a HashMap<u64, u64>,
    moves: FrameMoves,
    gone: usize,
}

impl Follow for Plain<'_> {
    fn word(&mut self, word: u64, place: Place) -> u64 {
        let followed = self.quietly(word, place);
        self.gone += usize::from(followed.is_none());
        followed.unwrap_or(word)
    }
    fn quietly(&mut self, word: u64, _place: Place) -> Option<u64> {
        match self.moves.follow(word) {
            Followed::Same => Some(word),
            Followed::To(moved) => Some(moved),
            Followed::Gone { .. } => None,
        }
    }
    fn has_short_addresses(&self) -> bool {
        false
    }
    fn read(&mut self, address: RunAddress, buffer: &mut [u8]) -> Result<(), String> {
        let word = self.memory.get(&address.0).copied().ok_or_else(|| format!("nothing at {address}"))?;
        buffer.copy_from_slice(&word.to_le_bytes()[..buffer.len()]);
        Ok(())
    }
    fn returns(&mut self, pc: RunAddress, _slot: RunAddress) -> u64 {
        pc.0 + 0x100
    }
    fn address(&self, link: NewLink) -> u64 {
        NEW_PROGRAM + link.0.0
    }
    fn said(&mut self, _given: &Said, _frame: (&[Frame], usize), _noted: bool) -> Result<u64, String> {
        Err("nobody gives anything".to_owned())
    }
}

fn placed(place: FramePlace, value: Value) -> Placed {
    Placed { place, bits: u64::MAX, value, why: String::new(), reader: NewLink::new(0) }
}

fn object(name: &str, old: i64, new: i64, length: u64) -> FrameObject {
    let (old_length, new_length, kinds) = (length, length, (None, None));
    FrameObject { name: name.to_owned(), old, new, old_length, new_length, kinds, is_changed: false, initial: Vec::new() }
}

fn continuation(returns_to: u64, values: Vec<Placed>, objects: Vec<FrameObject>) -> Arc<Continuation> {
    let (conditions, warnings) = (Vec::new(), Vec::new());
    Arc::new(Continuation {
        function: 0,
        returns_to: NewLink::new(returns_to),
        between: false,
        given_back: Vec::new(),
        values,
        objects,
        conditions,
        warnings,
        rivals: Vec::new(),
        has_unread: false,
        besides: Besides::default(),
    })
}

fn anew(size: u64, saved: &[(usize, i64)], continuation: Arc<Continuation>) -> Option<Rebuilt> {
    let mut slots = [None; 16];
    saved.iter().for_each(|(register, offset)| slots[*register] = Some(*offset));
    Some(Rebuilt { continuation, shape: Shape { size, base: None, saved: slots }, is_entry: false, tie: Tie::Called })
}

fn laid_out(frames: &[Frame], rebuilt: &[Option<Rebuilt>], alignment: u64, lowest: u64) -> Result<Layout, LayoutProblem> {
    lay_out(
        frames,
        rebuilt,
        &Surroundings {
            alignment: &|_| alignment,
            arguments: &|_| Ok(0),
            has_array: &|_| true,
            room: &|_| Some(StackRoom { range: RunRange::new(lowest, TOP + 0x1000), lowest, what: "the guard".to_owned() }),
        },
    )
}

fn moves(layout: &Layout) -> FrameMoves {
    let mut moves = FrameMoves::default();
    moves.add(layout, |frame| format!("f{frame}"));
    moves
}

#[test]
fn frames_below_one_that_grows_move_down_and_pointers_follow() {
    let made = stack(&[0x40, 0x80, 0x60]);
    let objects = vec![object("buffer", -0x60, -0x80, 0x20), object("next", -0x30, -0x28, 8)];
    let rebuilt = [None, anew(0xc0, &[], continuation(0x10, Vec::new(), objects)), None];
    let layout = laid_out(&made.frames, &rebuilt, 1, 0).unwrap();
    let (cfa, new_low) = (TOP - 0x60, TOP - 0x60 - 0xc0);
    assert_eq!(layout.positions[1], Position { old: (cfa - 0x80, cfa), new: (new_low, cfa) });
    assert_eq!(layout.positions[0], Position { old: (cfa - 0xc0, cfa - 0x80), new: (new_low - 0x40, new_low) });
    assert_eq!(layout.extents, [RunRange::new(new_low - 0x40 - 128, cfa)]);
    let moves = moves(&layout);
    // Below the frame: by distance, with the red zone.
    assert_eq!(moves.follow(cfa - 0x90), Followed::To(cfa - 0xd0));
    assert_eq!(moves.follow(cfa - 0xc0 - 8), Followed::To(new_low - 0x48));
    // Objects, their ends, the frame's base and its lowest byte.
    assert_eq!(moves.follow(cfa - 0x58), Followed::To(cfa - 0x78));
    assert_eq!(moves.follow(cfa - 0x40), Followed::To(cfa - 0x60));
    assert_eq!(moves.follow(cfa - 0x30), Followed::To(cfa - 0x28));
    assert_eq!(moves.follow(cfa - 0x10), Followed::To(cfa - 0x10));
    assert_eq!(moves.follow(cfa - 0x80), Followed::To(new_low));
    // Bytes of no variable, and what is above.
    assert!(matches!(moves.follow(cfa - 0x70), Followed::Gone { ref function, offset: -0x70, .. } if function == "f1"));
    assert_eq!(moves.follow(cfa), Followed::Same);
    assert_eq!(moves.follow(cfa + 8), Followed::Same);
}

#[test]
fn a_longer_array_has_its_old_elements_and_no_certain_end() {
    let made = stack(&[0x40, 0x80, 0x60]);
    let mut array = object("line", -0x60, -0x80, 0x20);
    array.new_length = 0x40;
    let rebuilt = [None, anew(0xc0, &[], continuation(0x10, Vec::new(), vec![array])), None];
    let layout = laid_out(&made.frames, &rebuilt, 1, 0).unwrap();
    let (moves, cfa) = (moves(&layout), TOP - 0x60);
    assert_eq!(moves.follow(cfa - 0x60), Followed::To(cfa - 0x80));
    assert_eq!(moves.follow(cfa - 0x41), Followed::To(cfa - 0x61));
    assert!(matches!(moves.follow(cfa - 0x40), Followed::Gone { offset: -0x40, .. }));
}

#[test]
fn without_a_frame_pointer_a_variable_is_right_below_the_return_address() {
    let made = stack(&[0x40, 0x80, 0x60]);
    let objects = vec![object("session", -0x28, -0x30, 0x20)];
    let rebuilt = [None, anew(0xc0, &[], continuation(0x10, Vec::new(), objects)), None];
    let layout = laid_out(&made.frames, &rebuilt, 1, 0).unwrap();
    let (moves, cfa) = (moves(&layout), TOP - 0x60);
    assert_eq!(moves.follow(cfa - 0x10), Followed::To(cfa - 0x18));
    // Its end is where the return address is.
    assert!(matches!(moves.follow(cfa - 8), Followed::Gone { offset: -8, .. }));
}

#[test]
fn a_pointer_between_two_variables_that_part_is_nobodys() {
    let made = stack(&[0x40, 0x80, 0x60]);
    let objects = vec![object("one", -0x60, -0x80, 0x20), object("two", -0x40, -0x40, 8)];
    let rebuilt = [None, anew(0xc0, &[], continuation(0x10, Vec::new(), objects)), None];
    let moves = moves(&laid_out(&made.frames, &rebuilt, 1, 0).unwrap());
    let cfa = TOP - 0x60;
    assert!(matches!(moves.follow(cfa - 0x40), Followed::Gone { .. }));
    assert_eq!(moves.follow(cfa - 0x3c), Followed::To(cfa - 0x3c));
}

#[test]
fn what_cannot_be_laid_out_is_told() {
    let made = stack(&[0x40, 0x80, 0x60]);
    let with = |size| [None, anew(size, &[], continuation(0x10, Vec::new(), Vec::new())), None];
    let reason = |size, alignment, lowest| laid_out(&made.frames, &with(size), alignment, lowest).unwrap_err();
    assert!(reason(0x88, 1, 0).reason.contains("aligned"));
    assert!(reason(0x90, 64, 0).reason.contains("alignment of 64"));
    assert!(laid_out(&made.frames, &with(0xc0), 64, 0).is_ok());
    let low = TOP - 0x60 - 0x80 - 0x40 - 128;
    assert!(laid_out(&made.frames, &with(0x80), 64, low).is_ok());
    let short = reason(0x90, 1, low);
    assert!(short.reason.contains("16 bytes") && short.reason.contains("the guard"), "{short}");
    let outside = vec![object("far", -0x90, -0x20, 8)];
    let rebuilt = [None, anew(0xc0, &[], continuation(0x10, Vec::new(), outside)), None];
    assert!(laid_out(&made.frames, &rebuilt, 1, 0).unwrap_err().reason.contains("`far`"));
}

#[test]
fn a_signal_frame_keeps_its_alignment_and_the_red_zone_stays_with_the_interrupted_code() {
    // Handler, the kernel's record, the interrupted leaf, the rebuilt frame, the base.
    let mut made = stack(&[0x40, 0x400, 0x30, 0x80, 0x60]);
    made.frames[1].is_signal_frame = true;
    let rebuilt = [None, None, None, anew(0x90, &[], continuation(0x10, Vec::new(), Vec::new())), None];
    let layout = laid_out(&made.frames, &rebuilt, 1, 0).unwrap();
    let leaf = layout.positions[2];
    assert_eq!(leaf.new.0, leaf.old.0 - 0x10);
    let record = layout.positions[1];
    assert_eq!(record.new.0, record.old.0 - 0x40);
    let moves = moves(&layout);
    assert_eq!(moves.follow(leaf.old.0 - 8), Followed::To(leaf.new.0 - 8));
    assert_eq!(moves.follow(record.old.0 + 0x10), Followed::To(record.new.0 + 0x10));
}

#[test]
fn registers_go_through_frames_that_save_them_and_those_that_do_not() {
    // 0 and 1 are a library's, 2 and 3 change, 4 is the base. 1 saves rbx, 2 saves rbx and r12.
    let mut made = stack(&[0x40, 0x50, 0x80, 0x80, 0x60]);
    made.save(1, dwarf::RBX, -0x18);
    made.save(2, dwarf::R12, -0x20);
    let value = |register: usize, number| placed(FramePlace::Register(register as u8), Value::Constant(number));
    let inner = continuation(0x20, vec![value(dwarf::RBX, 0xb2), value(dwarf::R12, 0xc2)], Vec::new());
    let outer = continuation(0x30, vec![value(dwarf::RBX, 0xb3)], Vec::new());
    let rebuilt = [
        None,
        None,
        anew(0x80, &[(dwarf::RBX, -0x28), (dwarf::R12, -0x30)], inner),
        anew(0x80, &[(dwarf::RBX, -0x18), (dwarf::R12, -0x20), (dwarf::R13, -0x28)], outer),
        None,
    ];
    let layout = laid_out(&made.frames, &rebuilt, 1, 0).unwrap();
    let subject = Subject { frames: &made.frames, rebuilt: &rebuilt, layout: &layout, thread: 0, call: None };
    let mut follow = Plain { memory: &made.memory, moves: moves(&layout), gone: 0 };
    let done = rebuild(&subject, &mut follow);
    assert_eq!(done.problems, []);
    let word = |at: u64| done.writes.iter().find(|(address, _)| *address == at).map(|(_, bytes)| bytes[..8].try_into().unwrap());
    let word = |at: u64| word(at).map(u64::from_le_bytes);
    let (inner, outer) = (layout.positions[2].new.1, layout.positions[3].new.1);
    // The inner frame keeps what the outer one needs: rbx, and r12, which nobody reads there.
    assert_eq!((word(inner - 0x28), word(inner - 0x30)), (Some(0xb3), Some(0)));
    assert_eq!(word(inner - 8), Some(NEW_PROGRAM + 0x30));
    // The outer one keeps the base's own.
    assert_eq!(word(outer - 0x18), Some(0x4000 + dwarf::RBX as u64));
    assert_eq!(word(outer - 8), Some(made.frames[4].pc.0 + 0x100));
    // The library's frame that saved rbx has the inner frame's there; r12 is still in the machine; r13 is passed on, and nobody's.
    let saved = RunAddress(made.frames[1].cfa.0 - 0x18);
    assert!(done.overrides.contains(&(saved, 0xb2)), "{:x?}", done.overrides);
    assert!(done.overrides.contains(&(made.frames[1].return_slot.unwrap(), NEW_PROGRAM + 0x20)));
    let register = |number: usize| done.registers.iter().find(|(register, _)| *register == number).map(|(_, value)| *value);
    assert_eq!((register(dwarf::R12), register(dwarf::R13), register(dwarf::RBX)), (Some(0xc2), Some(0), None));
    assert_eq!(register(dwarf::RSP), Some(layout.positions[0].new.0));
    let places = overridden(&subject);
    assert_eq!(places.len(), done.overrides.len());
}

#[test]
fn values_that_contradict_the_frame_or_each_other_are_refused() {
    let made = stack(&[0x40, 0x80, 0x60]);
    let slot = |offset, value| placed(FramePlace::Slot { offset, length: 8 }, Value::Constant(value));
    let problems = |values: Vec<Placed>, saved: &[(usize, i64)]| {
        let rebuilt = [None, anew(0x80, saved, continuation(0x10, values, Vec::new())), None];
        let layout = laid_out(&made.frames, &rebuilt, 1, 0).unwrap();
        let subject = Subject { frames: &made.frames, rebuilt: &rebuilt, layout: &layout, thread: 0, call: None };
        let mut follow = Plain { memory: &made.memory, moves: moves(&layout), gone: 0 };
        let done = rebuild(&subject, &mut follow);
        done.problems.into_iter().map(|problem| problem.reason).collect::<Vec<_>>()
    };
    assert!(problems(vec![slot(-0x40, 1), slot(-0x38, 2)], &[]).is_empty());
    assert_eq!(problems(vec![slot(-0x40, 1), slot(-0x3c, 2)], &[]).len(), 1);
    assert_eq!(problems(vec![slot(-0x18, 1)], &[(dwarf::RBX, -0x18)]).len(), 1);
    assert_eq!(problems(vec![slot(-8, 1)], &[]).len(), 1);
    let register = |number: usize| vec![placed(FramePlace::Register(number as u8), Value::Constant(7))];
    // A register that the frame does not keep is its caller's; one that no callee keeps cannot be placed.
    assert_eq!(problems(register(dwarf::R15), &[]).len(), 1);
    assert_eq!(problems(register(dwarf::R15), &[(dwarf::R15, -0x18)]).len(), 0);
    assert_eq!(problems(register(dwarf::RAX), &[]).len(), 1);
    assert_eq!(problems(vec![placed(FramePlace::Register(3), Value::Old(FramePlace::Register(0)))], &[(3, -0x18)]).len(), 1);
}
