//! What is told of the stacks: frame by frame, before and after.

use std::fmt::Write;

use dsu_formats::address::{RunAddress, RunRange};

use super::OneThread;
use super::fill::{place_name, slot_name};
use crate::plan::blocker::Blocker;
use crate::plan::frames::{
    CodePlace, Continuation, FrameBlocker, FrameFate, FrameObject, FramePlace, FrameReport, Made, NextPoint, ObjectReport,
    PlaceReport, Placed, ThreadReport, ValueReport,
};
use crate::plan::planner::Planner;
use crate::plan::pointers::Pointers;
use crate::plan::pointers::Site;
use crate::plan::safe_point::Standing;
use crate::program::unwind::Frame;

impl Planner<'_> {
    /// Tells whoever wants to know what becomes of every frame.
    pub(in crate::plan::planner) fn tell_stacks(&self) {
        let Some(wanted) = self.request.stacks else { return };
        let threads = self.stacks.frames.iter().zip(&self.stacks.standings).enumerate();
        let reports = threads.map(|(thread, ((tid, frames), standings))| {
            let own = self.frames.threads.iter().position(|one| one.thread == thread);
            let laid = own.and_then(|own| Some((self.frames.threads.get(own)?, self.frames.made.get(own))));
            let frames = frames.iter().zip(standings).enumerate();
            let frames = frames.map(|(number, (frame, standing))| self.told((thread, number), frame, standing, laid)).collect();
            ThreadReport { tid: *tid, frames }
        });
        wanted.set(reports.collect());
    }

    fn told(
        &self,
        (thread, number): (usize, usize),
        frame: &Frame,
        standing: &Standing,
        laid: Option<(&OneThread, Option<&Made>)>,
    ) -> FrameReport {
        let old = PlaceReport { pc: frame.pc.to_string(), cfa: frame.cfa.to_string(), line: self.old_place(frame).line };
        let position = laid.and_then(|(one, _)| one.layout.positions.get(number));
        let new_cfa = position.map_or(frame.cfa.0, |position| position.new.1);
        let mut report = FrameReport {
            function: self.frame_name(thread, number),
            fate: FrameFate::Carried,
            old,
            new: None,
            module: self.module_name(frame),
            values: Vec::new(),
            objects: Vec::new(),
            blockers: self.reasons(thread, number, standing),
            next_point: None,
        };
        match standing {
            Standing::Carried => report.new = Some(self.carried_place(frame, new_cfa)),
            Standing::Blocked(_) => {
                report.fate = FrameFate::Blocked;
                report.next_point = self.next_point(frame).filter(|_| number == 0);
            }
            Standing::Dropped => report.fate = FrameFate::Dropped,
            Standing::Rebuilt(continuation) | Standing::Entered(continuation) => {
                let is_entry = matches!(standing, Standing::Entered(_));
                let fate = if is_entry { FrameFate::Entered } else { FrameFate::Rebuilt };
                let is_laid = laid.is_some() && report.blockers.is_empty();
                report.fate = if is_laid { fate } else { FrameFate::Blocked };
                let run = self.ground.placement.new_run(continuation.returns_to).0;
                let line = CodePlace::of(self.request.new, continuation).line;
                report.new = Some(PlaceReport { pc: run.to_string(), cfa: RunAddress(new_cfa).to_string(), line });
                let filled = laid.and_then(|(_, made)| made?.filled.get(number));
                let word = |value: usize| filled?.iter().find(|filled| filled.value == value).map(|filled| filled.word);
                report.values = (0..).zip(&continuation.values).map(|(at, placed)| self.value(placed, word(at))).collect();
                report.objects = self.objects(continuation, new_cfa, laid.is_some());
            }
        }
        report
    }

    /// Where the thread that runs a frame's function itself is let on to.
    fn next_point(&self, frame: &Frame) -> Option<NextPoint> {
        let link = self.ground.placement.old_link(frame.pc.0).filter(|_| frame.pc == frame.lookup)?.0;
        let (function, _) = self.ground.view.sides.old.functions.containing(link)?;
        let near = self.request.continuations?.near(function, link)?;
        let place = CodePlace::new(self.request.old, near.place);
        let pc = RunAddress(near.place.0.wrapping_add(self.ground.placement.old_bias()));
        Some(NextPoint { pc: pc.to_string(), line: place.line, instructions: near.steps })
    }

    fn carried_place(&self, frame: &Frame, cfa: u64) -> PlaceReport {
        let pointers = Pointers { view: self.ground.view, placement: self.ground.placement, fates: &self.fates };
        let site = if frame.pc == frame.lookup { Site::Register } else { Site::ReturnAddress };
        let moved = pointers.decide(frame.pc.0, site).and_then(|decision| pointers.word(&decision));
        let pc = RunAddress(moved.unwrap_or(frame.pc.0));
        let skipped = frame.pc.0.wrapping_sub(frame.lookup.0);
        let link = pc.0.wrapping_sub(self.ground.placement.new_bias()).wrapping_sub(skipped);
        let line = moved.and_then(|_| CodePlace::new(self.request.new, crate::program::address::LinkAddress(link)).line);
        PlaceReport { pc: pc.to_string(), cfa: RunAddress(cfa).to_string(), line }
    }

    fn module_name(&self, frame: &Frame) -> String {
        match frame.module {
            None => String::new(),
            Some((0, _)) => "program".to_owned(),
            Some((module, _)) => {
                let loaded = self.ground.loaded.get(module - 1);
                loaded.map(|loaded| String::from_utf8_lossy(loaded.path).into_owned()).unwrap_or_default()
            }
        }
    }

    /// Everything that stands against one frame.
    fn reasons(&self, thread: usize, number: usize, standing: &Standing) -> Vec<String> {
        let mut reasons: Vec<String> = match standing {
            Standing::Blocked(reasons) => reasons.iter().map(ToString::to_string).collect(),
            Standing::Carried | Standing::Rebuilt(_) | Standing::Entered(_) | Standing::Dropped => Vec::new(),
        };
        let (tid, frames) = self.stacks.frames.get(thread).map_or((0, &[][..]), |(tid, frames)| (*tid, frames));
        let old = frames.get(number).map(|frame| self.old_place(frame));
        let of_frame = |blocker: &Blocker| match blocker {
            Blocker::Frame { tid: own, frame } if *own == tid && Some(&frame.old) == old.as_ref() => {
                Some(FrameBlocker::to_string(frame))
            }
            _ => None,
        };
        reasons.extend(self.blockers.iter().filter_map(of_frame));
        reasons
    }

    fn value(&self, placed: &Placed, word: Option<u64>) -> ValueReport {
        let length = match placed.place {
            FramePlace::Register(_) => 8,
            FramePlace::Slot { length, .. } => length,
        };
        let reader = CodePlace::new(self.request.new, placed.reader.0);
        ValueReport {
            place: place_name(placed.place),
            length,
            bits: format!("{:#x}", placed.bits),
            value: word.map(|word| format!("{word:#x}")),
            why: placed.why.clone(),
            reader: reader.to_string(),
        }
    }

    fn objects(&self, continuation: &Continuation, cfa: u64, is_laid: bool) -> Vec<ObjectReport> {
        let of = |object: &FrameObject| ObjectReport {
            name: object.name.clone(),
            old: slot_name(object.old),
            new: slot_name(object.new),
            old_length: object.old_length,
            new_length: object.new_length,
            // Objects of types that change are made last, and only if nothing stands against it.
            bytes: if is_laid && (!object.is_changed || self.blockers.is_empty()) {
                self.stored_bytes(cfa.wrapping_add_signed(object.new), object.new_length)
            } else {
                None
            },
        };
        continuation.objects.iter().map(of).collect()
    }

    /// New bytes of a stack, in hexadecimal.
    fn stored_bytes(&self, at: u64, length: u64) -> Option<String> {
        let wanted = RunRange::new(at, at.saturating_add(length));
        let mut bytes = vec![0; usize::try_from(length).ok()?];
        let mut known = 0;
        for stored in &self.allocations.stored {
            let range = RunRange::new(stored.address.0, stored.address.0.saturating_add(stored.length));
            let Some(part) = range.intersection(&wanted) else { continue };
            let from = usize::try_from(stored.offset + (part.start.0 - range.start.0)).ok()?;
            let source = self.allocations.bytes.get(from..from + part.len() as usize)?;
            let to = (part.start.0 - at) as usize;
            bytes.get_mut(to..to + part.len() as usize)?.copy_from_slice(source);
            known += part.len();
        }
        (known == length).then(|| {
            bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
                let _ = write!(text, "{byte:02x}");
                text
            })
        })
    }
}
