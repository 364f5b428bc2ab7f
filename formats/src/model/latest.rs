//! The newest version of every saved type, under the name that the engine uses.

pub use super::credentials::{CapabilitiesV1 as Capabilities, CredentialsV1 as Credentials};
pub use super::descriptors::{
    DescriptionIdV1 as DescriptionId, DescriptionV1 as Description, DescriptorTableV1 as DescriptorTable,
    DescriptorV1 as Descriptor, DescriptorsV1 as Descriptors, EpollWatchV1 as EpollWatch, FileIdentityV1 as FileIdentity,
    FileLockV1 as FileLock, KindV1 as Kind, PipeEndV1 as PipeEnd, SocketStateV1 as SocketState, SocketV1 as Socket,
};
pub use super::generations::{GenerationV1 as Generation, RetainedV1 as Retained};
pub use super::journal::JournalV1 as JournalRecord;
pub use super::limits::{LimitV1 as Limit, LimitsV1 as Limits};
pub use super::manifest::{HostV1 as Host, LineageV1 as Lineage, ManifestV1 as Manifest, ProgramIdV1 as ProgramId};
pub use super::memory::{
    AddressSpaceV1 as AddressSpace, BackingV1 as Backing, LayoutV1 as Layout, MappingFlagsV1 as MappingFlags,
    MappingV1 as Mapping, ProtectionV1 as Protection, SharingV1 as Sharing,
};
pub use super::modules::ModuleV1 as Module;
pub use super::pages::{ExtentV1 as Extent, PageSourceV1 as PageSource, PageTableV1 as PageTable};
pub use super::signals::{HandlerV1 as Handler, PendingV1 as Pending, ProcessSignalsV1 as ProcessSignals};
pub use super::threads::{
    AltStackV1 as AltStack, InSyscallV1 as InSyscall, RegistersV1 as Registers, RobustListV1 as RobustList, RseqV1 as Rseq,
    SchedulingV1 as Scheduling, ThreadV1 as Thread,
};
pub use super::timers::{IntervalTimerV1 as IntervalTimer, PosixTimerV1 as PosixTimer, ProcessTimersV1 as ProcessTimers};
pub use super::tree::{FilesystemV1 as Filesystem, ProcessV1 as Process, TreeV1 as Tree};
pub use super::work::{
    AllocationsV1 as Allocations, CallV1 as Call, NewBlockV1 as NewBlock, OtherAllocationsV1 as OtherAllocations,
    ResolverV1 as Resolver, VesselWorkV1 as VesselWork,
};

/// Everything about a process tree but the bytes of its pages: one field per section of an image.
///
/// `threads`, `signals`, `timers`, `credentials` and `limits` refer to processes by their index in `tree.processes`.
#[derive(Clone, Debug, PartialEq)]
pub struct Snapshot {
    /// What was saved, where, when, and what it came from.
    pub manifest: Manifest,
    /// The processes and how they hang together.
    pub tree: Tree,
    /// Address spaces, numbered by position; processes refer to them.
    pub address_spaces: Vec<AddressSpace>,
    /// ELF objects mapped in each address space, in the loader's order, the program first.
    pub modules: Vec<Module>,
    /// Every thread of every process; the leader of each process comes first among its threads.
    pub threads: Vec<Thread>,
    /// Handlers and process-wide pending signals, one entry a process.
    pub signals: Vec<ProcessSignals>,
    /// Interval and POSIX timers, one entry a process.
    pub timers: Vec<ProcessTimers>,
    /// Descriptor tables and the open descriptions behind them.
    pub descriptors: Descriptors,
    /// User, groups, capabilities, one entry a process.
    pub credentials: Vec<Credentials>,
    /// Resource limits, one entry a process.
    pub limits: Vec<Limits>,
    /// What earlier updates left in each address space, one entry an address space.
    pub generations: Vec<Generation>,
}
