//! What the comparison of two functions asks about both builds.

use crate::program::address::LinkAddress;
use crate::program::code::{Callee, Symbolic};
use crate::program::flow::{Place, ValueId, Values};

/// Which things of the old function are which of the new one.
pub(super) trait Pairs {
    /// Whether the calls that return to these addresses are paired.
    fn same_call(&self, old: LinkAddress, new: LinkAddress) -> bool;
    /// Whether two addresses name the same thing. `bytes` of it are read, if that is known.
    fn same_symbol(&self, old: &Symbolic, new: &Symbolic, bytes: Option<u8>) -> bool;
    /// Whether what is at two addresses, `bytes` long, is the same part of an object whose type changes, given that it is the same object;
    /// `None` where no type that changes is known to be there.
    fn same_part(&self, old: (&Values<'_>, ValueId), new: (&Values<'_>, ValueId), bytes: u8) -> Option<bool>;
    /// Whether two addresses of one function, of the old one or the new, are of things that types tell to lie apart.
    fn is_apart(&self, is_old: bool, values: &Values<'_>, one: ValueId, other: ValueId) -> bool;
    /// Whether what is in these places at the entries is the same argument, or a register that both keep for their callers.
    fn same_entry(&self, old: Place, new: Place) -> bool;
    /// The register in which the old function was given the argument that the new one is given in this place.
    fn argument(&self, new: Place) -> Option<u8>;
    /// Whether the same place of the same variable is at these offsets of the frames.
    fn same_slot(&self, old: i64, new: i64) -> bool;
    /// Whether what lies at an address never changes while the program runs.
    fn is_constant(&self, old: &Symbolic, bytes: u8) -> bool;
    /// What lies at an address of the new build that never changes while the program runs.
    fn number_at(&self, new: &Symbolic, bytes: u8) -> Option<u64>;
    /// The same of the old build.
    fn old_number_at(&self, old: &Symbolic, bytes: u8) -> Option<u64>;
    /// Where the old program has what lies at an address of the new build, if nothing stores there as long as the two functions run.
    fn steady(&self, new: &Symbolic, bytes: u8) -> Option<LinkAddress>;
    /// Whether both addresses are texts: what a text says is no difference (PROOF §3).
    fn are_texts(&self, old: &Symbolic, new: &Symbolic) -> bool;
    /// Whether a call of the old function may change what the program can read later.
    fn may_change(&self, old: Callee) -> bool;
    /// The same for a call of the new one.
    fn new_may_change(&self, new: Callee) -> bool;
}
