//! What the user wants done besides when a frame goes on: variables and fields that take values, and calls.

use super::super::continuation::Continuation;
use super::super::said::{SaidArgument, SaidSet, SetPlace};
use super::{At, CallWord, Made, SetTo, SetWord};

impl At<'_, '_> {
    /// What the user gives something that is not in the frame.
    fn set_word(&mut self, set: &SaidSet) -> Result<SetWord, String> {
        let to = match &set.place {
            SetPlace::Fixed(link) => SetTo::Link(*link),
            SetPlace::Thread(offset) => SetTo::Thread(*offset),
            SetPlace::Through(pointer, offset) => match self.follow.said(pointer, (self.subject.frames, self.number), true)? {
                0 => return Err(format!("{}: a null pointer is followed", pointer.formula.origin)),
                object => SetTo::Address(object.wrapping_add(*offset)),
            },
        };
        let form = set.given.formula.form;
        let word = self.follow.said(&set.given, (self.subject.frames, self.number), true)?;
        if let Some((_, width)) = set.bits {
            let above = 64u32.saturating_sub(u32::from(width).max(1));
            let kept = if form.signed { (word.cast_signed() << above >> above).cast_unsigned() } else { word << above >> above };
            if kept != word {
                return Err(format!("{}: the value does not fit a field of {width} bits", set.given.formula.origin));
            }
        }
        Ok(SetWord { to, length: form.length, bits: set.bits, word, frame: self.number })
    }

    /// What the user wants done besides.
    pub(super) fn besides(&mut self, continuation: &Continuation, made: &mut Made) {
        for set in &continuation.besides.set {
            match self.set_word(set) {
                Ok(set) => made.set.push(set),
                Err(reason) => self.problem(None, reason, made),
            }
        }
        for call in &continuation.besides.before {
            let word = |argument: &SaidArgument| match argument {
                SaidArgument::Word(word) => Ok(CallWord::Word(*word)),
                SaidArgument::Address(link) => Ok(CallWord::Address(*link)),
                SaidArgument::Of(given) => self.follow.said(given, (self.subject.frames, self.number), true).map(CallWord::Word),
            };
            match call.arguments.iter().map(word).collect() {
                Ok(arguments) => made.calls.push((call.function, arguments, call.text.clone())),
                Err(reason) => self.problem(None, reason, made),
            }
        }
    }
}
