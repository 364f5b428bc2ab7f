//! Pointers into stacks that are rebuilt: where each leads now.

use dsu_formats::address::{RunAddress, RunRange};

use super::layout::{Fate, Layout, Piece};

/// A range of an old stack with its owner's name.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Owned {
    piece: Piece,
    /// Position in [`FrameMoves::owners`].
    owner: u32,
}

/// Everything that moves or is made anew on stacks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FrameMoves {
    /// Ascending, disjoint.
    pieces: Vec<Owned>,
    /// Frames as messages name them, with their canonical frame addresses.
    owners: Vec<(String, u64)>,
}

/// What becomes of a pointer into such a stack.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Followed {
    /// It leads to none.
    Same,
    /// It leads there.
    To(u64),
    /// It leads to bytes of a frame that is made anew which belong to no variable that the new code has in memory.
    Gone {
        /// The function whose frame it is.
        function: String,
        /// Bytes from its canonical frame address.
        offset: i64,
        /// What is not known.
        what: &'static str,
    },
}

impl FrameMoves {
    /// Adds the frames of one thread; `name` gives the function of a frame.
    pub fn add(&mut self, layout: &Layout, name: impl Fn(usize) -> String) {
        let first = self.owners.len();
        self.owners.extend((0..).zip(&layout.positions).map(|(frame, position)| (name(frame), position.old.1)));
        let own = layout.pieces.iter().filter_map(|piece| {
            let owner = u32::try_from(first.checked_add(piece.frame)?).ok()?;
            Some(Owned { piece: *piece, owner })
        });
        self.pieces.extend(own);
        self.pieces.sort_by_key(|owned| owned.piece.old.start);
    }

    /// Whether there is nothing.
    pub fn is_empty(&self) -> bool {
        self.pieces.is_empty()
    }

    /// Stretches of old stacks outside which nothing moves.
    pub fn ranges(&self) -> Vec<RunRange> {
        let mut ranges: Vec<RunRange> = Vec::new();
        for Owned { piece, .. } in &self.pieces {
            match ranges.last_mut() {
                Some(last) if last.end == piece.old.start => last.end = piece.old.end,
                _ => ranges.push(piece.old),
            }
        }
        ranges
    }

    /// Ranges whose words nobody carries.
    pub fn dead(&self) -> impl Iterator<Item = RunRange> + '_ {
        let is_dead = |owned: &&Owned| matches!(owned.piece.fate, Fate::Gone | Fate::Address);
        self.pieces.iter().filter(is_dead).map(|owned| owned.piece.old)
    }

    /// What becomes of the word `word`.
    pub fn follow(&self, word: u64) -> Followed {
        let Some(index) = self.position(word) else { return Followed::Same };
        let Some(Owned { piece, owner }) = self.pieces.get(index) else { return Followed::Same };
        let within = word - piece.old.start.0;
        let begins = match piece.fate {
            Fate::Carried if within < piece.length => Some(piece.to.wrapping_add(within)),
            // The saved frame pointer and the return address are where they are in every frame.
            Fate::Address if within.is_multiple_of(8) => Some(piece.to.wrapping_add(within)),
            Fate::Rewritten if within == 0 => Some(piece.to),
            _ => None,
        };
        let ends = if within == 0 { self.end_before(index) } else { None };
        let lowest = if within == 0 { self.lowest(index) } else { None };
        let gone = |what| {
            let (function, cfa) = self.owners.get(*owner as usize).cloned().unwrap_or_default();
            Followed::Gone { function, offset: word.wrapping_sub(cfa).cast_signed(), what }
        };
        match (begins, ends) {
            (Some(begins), Some((end, true))) if begins != end => gone("it ends one variable and begins another, which part"),
            (Some(begins), _) => Followed::To(begins),
            (None, Some((end, _))) => Followed::To(end),
            // The stack pointer of the frame, which its callee's record of arguments has, too.
            (None, None) => lowest.map_or_else(|| gone("no variable that both builds have in memory is there"), Followed::To),
        }
    }

    /// The new place of the byte at `address`, if its bytes are carried.
    pub fn carried(&self, address: RunAddress) -> Option<u64> {
        let Owned { piece, .. } = self.pieces.get(self.position(address.0)?)?;
        let within = address.0 - piece.old.start.0;
        (piece.fate == Fate::Carried && within < piece.length).then(|| piece.to.wrapping_add(within))
    }

    /// The piece that holds `address`.
    pub fn piece(&self, address: RunAddress) -> Option<&Piece> {
        self.pieces.get(self.position(address.0)?).map(|owned| &owned.piece)
    }

    fn position(&self, address: u64) -> Option<usize> {
        let index = self.pieces.partition_point(|owned| owned.piece.old.start.0 <= address).checked_sub(1)?;
        let owned = self.pieces.get(index)?;
        owned.piece.old.contains(RunAddress(address)).then_some(index)
    }

    /// Where the end of the variable goes that ends where the piece at `index` begins, and whether a pointer to that is to be expected.
    fn end_before(&self, index: usize) -> Option<(u64, bool)> {
        let before = &self.pieces.get(index.checked_sub(1)?)?.piece;
        let own = &self.pieces.get(index)?.piece;
        let is_variable = before.frame == own.frame && own.fate != Fate::Carried || before.may_end;
        let touches = before.old.end == own.old.start && matches!(before.fate, Fate::Carried | Fate::Rewritten);
        // Whether what points to the end of an array that has become longer means its end, nothing says.
        let is_longer = before.fate == Fate::Carried && before.length > before.old.len();
        (touches && !is_longer && is_variable).then(|| (before.to.wrapping_add(before.length), before.may_end))
    }

    /// Where the bottom of the frame goes whose lowest piece is at `index`: the callee's frame ends right there, in the new stack as in
    /// the old one.
    fn lowest(&self, index: usize) -> Option<u64> {
        let below = &self.pieces.get(index.checked_sub(1)?)?.piece;
        let own = &self.pieces.get(index)?.piece;
        let touches = below.old.end == own.old.start && below.frame != own.frame && below.fate != Fate::Gone;
        touches.then(|| below.to.wrapping_add(below.old.len()))
    }
}
