//! Finds the block that a place-holder address is in. There may be millions of both.

use super::{Allocations, NewBlock};

/// How many blocks share an entry of the index on average, at most.
const PER_BUCKET: u64 = 4;

/// The blocks of a plan with an index, so that a look-up takes the same time however many there are.
#[derive(Clone, Debug)]
pub struct Finder<'a> {
    allocations: &'a Allocations,
    shift: u32,
    /// How many blocks begin before each bucket, and at the end how many there are.
    before: Vec<u32>,
}

impl<'a> Finder<'a> {
    /// For the blocks of `allocations`, which ascend.
    pub fn new(allocations: &'a Allocations) -> Self {
        let blocks = &allocations.blocks;
        let end = allocations.bytes.len() as u64;
        let wanted = blocks.len() as u64 / PER_BUCKET;
        let shift = (4..63).find(|shift| end >> shift <= wanted).unwrap_or(63);
        let buckets = usize::try_from(end >> shift).unwrap_or(0) + 1;
        let mut before = Vec::with_capacity(buckets + 1);
        let mut at = 0;
        for bucket in 0..buckets as u64 {
            let is_before = |block: &NewBlock| block.offset >> shift < bucket;
            at += blocks.get(at..).unwrap_or_default().iter().take_while(|block| is_before(block)).count();
            before.push(at as u32);
        }
        before.push(blocks.len() as u32);
        Self { allocations, shift, before }
    }

    /// The number of the block that a place-holder address is in, and how far; the end of a block belongs to it.
    pub fn locate(&self, address: u64) -> Option<(usize, u64)> {
        let offset = self.allocations.offset_of(address)?;
        let bucket = usize::try_from(offset >> self.shift).ok()?;
        let (from, to) = (*self.before.get(bucket)? as usize, *self.before.get(bucket + 1)? as usize);
        let near = self.allocations.blocks.get(from..to)?;
        let index = (from + near.partition_point(|block| block.offset <= offset)).checked_sub(1)?;
        let block = self.allocations.blocks.get(index)?;
        let within = offset - block.offset;
        (within <= block.length).then_some((index, within))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_place_holder_leads_to_its_block_and_to_no_other() {
        let mut allocations = Allocations::default();
        let first = allocations.add(&[1; 24]).0;
        let second = allocations.add(&[2; 8]).0;
        assert_eq!(second - first, 32);
        let finder = Finder::new(&allocations);
        assert_eq!(finder.locate(first + 24), Some((0, 24)));
        assert_eq!(finder.locate(first + 25), None);
        assert_eq!(finder.locate(second), Some((1, 0)));
        assert_eq!(finder.locate(second + 8), Some((1, 8)));
        assert_eq!((finder.locate(second + 9), finder.locate(0x1000)), (None, None));
        assert_eq!(Finder::new(&Allocations::default()).locate(Allocations::PLACE_HOLDERS), None);
    }

    proptest! {
        #[test]
        fn every_look_up_is_that_of_a_search_through_all(blocks in proptest::collection::vec((0usize..90, 0usize..200), 0..60)) {
            let mut allocations = Allocations::default();
            for (length, skipped) in blocks {
                // Bytes of objects that stay where they are.
                allocations.bytes.resize(allocations.bytes.len() + skipped, 0);
                allocations.add(&vec![0; length]);
            }
            let finder = Finder::new(&allocations);
            for offset in 0..allocations.bytes.len() as u64 + 40 {
                let last = allocations.blocks.iter().rposition(|block| block.offset <= offset);
                let expected = last.filter(|_| offset <= allocations.bytes.len() as u64).and_then(|index| {
                    let within = offset - allocations.blocks[index].offset;
                    (within <= allocations.blocks[index].length).then_some((index, within))
                });
                prop_assert_eq!(finder.locate(Allocations::PLACE_HOLDERS + offset), expected);
            }
        }
    }
}
