//! Where a transaction is.

/// The phases of an update, in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// Every thread is stopped; giving up is letting go.
    Stopped,
    /// The plan stands; what an exec would destroy is being taken off the process, undone by giving up.
    Planned,
    /// The old address space is left to the holder; the way back is to fill the vessel with the old image.
    Executed,
    /// The new image is in the vessel and verified; threads stand before the gate.
    Filled,
    /// The gate is open.
    Committed,
}

impl Phase {
    /// Name for faults and messages.
    pub fn name(self) -> &'static str {
        match self {
            Phase::Stopped => "stopped",
            Phase::Planned => "planned",
            Phase::Executed => "executed",
            Phase::Filled => "filled",
            Phase::Committed => "committed",
        }
    }
}
