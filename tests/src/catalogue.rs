//! What the driver must know of each program beyond its source.

/// What a flavour is to come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expected {
    /// It succeeds, and the program finds itself right.
    Done,
    /// `dsu` refuses, says each of these words, and the program goes on untouched.
    Refused(&'static [&'static str]),
    /// Either: right, or refused. Never wrong.
    DoneOrRefused,
}

/// A shared library that belongs to a program, by its source file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Library {
    /// The program is linked with it.
    Linked(&'static str),
    /// The program finds its path in `DSU_TEST_LIBRARY` and loads it.
    Loaded(&'static str),
}

/// A self-checking program.
#[derive(Clone, Copy, Debug)]
pub struct Program {
    /// Name: of the source file and of the tests.
    pub name: &'static str,
    /// Source files in `programs/`.
    pub sources: &'static [&'static str],
    /// Compiler and linker flags beyond the common ones.
    pub flags: &'static [&'static str],
    /// Its library.
    pub library: Option<Library>,
    /// Options that `dsu` needs to move it.
    pub options: &'static [&'static str],
    /// What an update from version one to version two comes to.
    pub update: Expected,
    /// What an update from version two to version one comes to.
    pub back: Expected,
    /// What an update to the same code comes to.
    pub same: Expected,
    /// What updates come to of the same program at a fixed address.
    pub fixed: Expected,
    /// Whether it can only be position-independent.
    pub is_independent: bool,
    /// What a checkpoint to a file, the program's end, and a restore come to.
    pub cold: Expected,
    /// Whether the program needs root to prepare itself, or `dsu` to move it.
    pub root: bool,
    /// Whether a thread of it cannot be stopped, or is stopped by another tracer already, so that registers cannot be compared.
    pub unstoppable: bool,
}

impl Program {
    /// A program in one file with no special needs, for which every flavour succeeds.
    pub const fn new(name: &'static str, sources: &'static [&'static str]) -> Self {
        Program {
            name,
            sources,
            flags: &[],
            library: None,
            options: &[],
            update: Expected::Done,
            back: Expected::Done,
            same: Expected::Done,
            fixed: Expected::Done,
            is_independent: false,
            cold: Expected::Done,
            root: false,
            unstoppable: false,
        }
    }

    /// Adds flags for the compiler and linker.
    pub const fn flags(mut self, flags: &'static [&'static str]) -> Self {
        self.flags = flags;
        self
    }

    /// Adds a library.
    pub const fn library(mut self, library: Library) -> Self {
        self.library = Some(library);
        self
    }

    /// Adds options for `dsu update` and `dsu checkpoint`.
    pub const fn options(mut self, options: &'static [&'static str]) -> Self {
        self.options = options;
        self
    }

    /// Nothing that moves the program succeeds, because of what it is or holds.
    pub const fn never(mut self, words: &'static [&'static str]) -> Self {
        self.same = Expected::Refused(words);
        self.changed(words)
    }

    /// Updates between versions one and two are refused; an update to the same code is not.
    pub const fn changed(mut self, words: &'static [&'static str]) -> Self {
        self.update = Expected::Refused(words);
        self.back = Expected::Refused(words);
        self
    }

    /// The way back from version two is refused with these words.
    pub const fn one_way(mut self, words: &'static [&'static str]) -> Self {
        self.back = Expected::Refused(words);
        self
    }

    /// The way from version one to two is refused with these words.
    pub const fn no_way_there(mut self, words: &'static [&'static str]) -> Self {
        self.update = Expected::Refused(words);
        self
    }

    /// As [`Program::one_way`], for a program whose memory the driver's own look at it changes (an interrupted call sets errno).
    pub const fn back_or_refused(mut self) -> Self {
        self.back = Expected::DoneOrRefused;
        self
    }

    /// Updates between versions one and two must be right, or refused.
    pub const fn right_or_refused(mut self) -> Self {
        self.update = Expected::DoneOrRefused;
        self.back = Expected::DoneOrRefused;
        self
    }

    /// Updates to the same code must be right, or refused, too.
    pub const fn same_or_refused(mut self) -> Self {
        self.same = Expected::DoneOrRefused;
        self
    }

    /// The program cannot be restored cold, and `dsu` says so with these words.
    pub const fn hot_only(mut self, words: &'static [&'static str]) -> Self {
        self.cold = Expected::Refused(words);
        self
    }

    /// A cold restore is no promise for this kind: it must be right, or refused.
    pub const fn cold_or_refused(mut self) -> Self {
        self.cold = Expected::DoneOrRefused;
        self
    }

    /// Built at a fixed address its updates are refused, with these words.
    pub const fn fixed_never(mut self, words: &'static [&'static str]) -> Self {
        self.fixed = Expected::Refused(words);
        self
    }

    /// It looks at itself as only a position-independent program is: there is nothing to test at a fixed address.
    pub const fn independent(mut self) -> Self {
        self.is_independent = true;
        self
    }

    /// Built at a fixed address it must be right, or refused.
    pub const fn fixed_or_refused(mut self) -> Self {
        self.fixed = Expected::DoneOrRefused;
        self
    }

    /// Needs root.
    pub const fn root(mut self) -> Self {
        self.root = true;
        self
    }

    /// A thread of it cannot be stopped by the driver.
    pub const fn unstoppable(mut self) -> Self {
        self.unstoppable = true;
        self
    }
}

/// Calls the macro `$generate` with the names of all programs and what is special about each, as
/// `name: (files) .method(…).method(…);`. One list, so that a program that is added runs in every flavour.
#[macro_export]
macro_rules! for_each_program {
    ($generate:ident) => {
        $generate! {
            // Data and pointers.
            generation: ("generation.c");
            globals_move: ("globals_move.c");
            same_statics: ("same_statics.c", "same_statics_other.c");
            function_pointers: ("function_pointers.c");
            const_tables: ("const_tables.c");
            retained_literals: ("retained_literals.c");
            numbers_as_addresses: ("numbers_as_addresses.c");
            longjmp_old: ("longjmp_old.c");
            computed_goto: ("computed_goto.c");
            coroutine: ("coroutine.c") .fixed_never(&["addresses and numbers"]);
            coroutine_changed: ("coroutine_changed.c") .changed(&["routine"]);
            table_row: ("table_row.c") .right_or_refused();
            table_first_row: ("table_first_row.c");
            table_first_row_alike: ("table_first_row.c") .flags(&["-DALIKE"]) .changed(&["both the end of `fruits` and the start of `vegetables`"]) .fixed_never(&["both the end of `fruits`"]);
            end_pointer: ("end_pointer.c") .right_or_refused();
            initialiser_changed: ("initialiser_changed.c") .right_or_refused();
            address_keyed: ("address_keyed.c") .never(&["computes with the address"]);
            layout_changed: ("layout_changed.c");
            removed_function: ("removed_function.c") .changed(&["only_in_"]);
            removed_global: ("removed_global.c") .changed(&["only_in_"]);
            changed_active: ("changed_active.c") .changed(&["wait_in_changed_function"]);
            pipe_pointer: ("pipe_pointer.c") .never(&["pipe"]);

            // Signals.
            signal_handlers: ("signal_handlers.c");
            signal_pending: ("signal_pending.c") .fixed_never(&["numbers as well as pointers"]);
            signal_thread_pending: ("signal_thread_pending.c");
            signal_masks: ("signal_masks.c");
            handler_active: ("handler_active.c") .fixed_or_refused();

            // Threads.
            cond_wait: ("cond_wait.c");
            mutex_wait: ("mutex_wait.c");
            mutex_robust: ("mutex_robust.c");
            barrier_wait: ("barrier_wait.c") .fixed_or_refused();
            rwlock_wait: ("rwlock_wait.c");
            thread_create_after: ("thread_create_after.c");
            thread_specific: ("thread_specific.c");
            thread_local: ("thread_local.c");
            threads_detached: ("threads_detached.c");
            main_exited: ("main_exited.c") .never(&["main thread"]).cold_or_refused().unstoppable();
            safe_point_retry: ("safe_point_retry.c");
            rseq: ("rseq.c");
            vector_registers: ("vector_registers.c") .flags(&["-lm"]) .fixed_or_refused();

            // System calls in progress.
            block_read_pipe: ("block_read_pipe.c");
            block_recv: ("block_recv.c");
            block_accept: ("block_accept.c");
            block_poll: ("block_poll.c");
            block_select: ("block_select.c");
            block_epoll: ("block_epoll.c") .fixed_or_refused();
            block_nanosleep: ("block_nanosleep.c");
            block_futex: ("block_futex.c");
            block_sigtimedwait: ("block_sigtimedwait.c");
            block_waitpid: ("block_waitpid.c") .cold_or_refused();
            block_write_large: ("block_write_large.c");

            // Timers and event descriptors.
            itimer: ("itimer.c");
            itimer_running: ("itimer_running.c");
            posix_timers: ("posix_timers.c") .fixed_never(&["numbers as well as pointers"]);
            timer_thread: ("timer_thread.c") .back_or_refused() .fixed_or_refused();
            timerfd: ("timerfd.c");
            eventfd: ("eventfd.c");
            signalfd: ("signalfd.c");
            epoll_data: ("epoll_data.c") .fixed_or_refused();

            // Pipes and sockets.
            pipe_contents: ("pipe_contents.c") .hot_only(&["pipe of packets"]);
            pipe_peer: ("pipe_peer.c") .hot_only(&["pipe"]);
            socketpair_queue: ("socketpair_queue.c");
            tcp_established: ("tcp_established.c") .hot_only(&["connected to 127.0.0.1"]);
            tcp_listening: ("tcp_listening.c");
            unix_sockets: ("unix_sockets.c") .hot_only(&["relative to a directory"]);

            // Files.
            file_append: ("file_append.c");
            file_positions: ("file_positions.c");
            file_locks: ("file_locks.c") .cold_or_refused();
            file_unlinked: ("file_unlinked.c") .cold_or_refused();
            directory_fd: ("directory_fd.c");
            dup_shared_offset: ("dup_shared_offset.c") .cold_or_refused();

            // Memory.
            memfd_mapped: ("memfd_mapped.c");
            shared_anonymous: ("shared_anonymous.c") .cold_or_refused();
            shared_file: ("shared_file.c");
            sysv_shm: ("sysv_shm.c") .cold_or_refused();
            memory_locked: ("memory_locked.c");
            madvise_flags: ("madvise_flags.c") .hot_only(&["MADV_DONTDUMP"]);
            guard_pages: ("guard_pages.c");
            stack_grows: ("stack_grows.c");
            heap_growth: ("heap_growth.c");
            // At a fixed address it is refused (functions in memory without a type), and the look at it makes pages resident.
            memory_large: ("memory_large.c") .independent();
            malloc_stress: ("malloc_stress.c");
            grown_block: ("grown_block.c");

            // The C library and the loader.
            stdio_unflushed: ("stdio_unflushed.c");
            // On the way back `added_buffer` goes, whose end the variable behind it could be.
            exit_handlers: ("exit_handlers.c") .one_way(&["both the end of"]) .fixed_or_refused();
            loader_phdr: ("loader_phdr.c") .flags(&["-rdynamic"]) .independent();
            loader_dlsym: ("loader_dlsym.c") .flags(&["-rdynamic"]);
            loader_dlsym_sysv: ("loader_dlsym.c") .flags(&["-rdynamic", "-Wl,--hash-style=sysv"]);
            dlopen_lazy: ("dlopen_lazy.c") .flags(&["-rdynamic"]).library(Library::Loaded("lib_dlopen_lazy.c")) .fixed_never(&["no type is known of it"]);
            library_linked: ("library_linked.c") .library(Library::Linked("lib_library_linked.c")) .fixed_never(&["no type is known of it"]);
            backtrace: ("backtrace.c");
            qsort_callback: ("qsort_callback.c");
            ifunc: ("ifunc.c") .fixed_or_refused();
            ifunc_changed: ("ifunc_changed.c");
            copy_relocation: ("copy_relocation.c");
            symbol_versions: ("symbol_versions.c");
            vdso_clock: ("vdso_clock.c");

            // Attributes of the process.
            limits: ("limits.c");
            limit_address_space: ("limit_address_space.c") .right_or_refused().same_or_refused();
            priority: ("priority.c");
            umask_cwd: ("umask_cwd.c");
            session_group: ("session_group.c") .cold_or_refused();
            session_leader: ("session_leader.c");
            prctl_attributes: ("prctl_attributes.c") .hot_only(&["PR_SET_PDEATHSIG"]);
            not_dumpable: ("not_dumpable.c") .root();
            personality: ("personality.c");
            seccomp_strict: ("seccomp_strict.c") .root().options(&["--accept-seccomp-risk"]).cold_or_refused();
            seccomp_lenient: ("seccomp_strict.c") .flags(&["-DLENIENT"]).root().cold_or_refused();
            capabilities_dropped: ("capabilities_dropped.c") .root();
            other_user: ("other_user.c") .root();
            service_user: ("service_user.c") .root();
            chrooted_user: ("chrooted_user.c") .root().cold_or_refused();
            chrooted_no_new_privs: ("chrooted_no_new_privs.c") .root().never(&["its loader", "an exec takes"]).cold_or_refused();
            proc_self: ("proc_self.c") .independent();
            fork_children: ("fork_children.c") .cold_or_refused();

            // What belongs to an address space that goes, or to another process.
            io_uring_open: ("io_uring_open.c") .never(&["io_uring"]).hot_only(&["io_uring"]);
            userfaultfd_open: ("userfaultfd_open.c") .never(&["userfaultfd"]).hot_only(&["userfaultfd"]);
            aio_context: ("aio_context.c") .never(&["AIO"]).hot_only(&["AIO"]);
            shared_vm_clone: ("shared_vm_clone.c") .never(&["shared"]).hot_only(&["shared"]).unstoppable();
            shared_vm_vfork: ("shared_vm_vfork.c") .never(&[]).hot_only(&[]).unstoppable();
            traced: ("traced.c") .never(&["traced"]).hot_only(&["traced"]).unstoppable();
        }
    };
}

/// As [`for_each_program`], for the programs of `tests/data.rs`, whose data changes its shape. An answer that an update needs is in
/// `specs/NAME.toml`, one that the way back needs in `specs/NAME.back.toml`.
#[macro_export]
macro_rules! for_each_data_program {
    ($generate:ident) => {
        $generate! {
            // Where objects are and who points to them.
            data_field_fits: ("data_field_fits.c");
            data_list_grows: ("data_list_grows.c");
            data_double_list: ("data_double_list.c");
            data_tree_parents: ("data_tree_parents.c");
            data_hash_chains: ("data_hash_chains.c");
            data_vector: ("data_vector.c");
            data_block_array: ("data_block_array.c");
            data_end_pointers: ("data_end_pointers.c");
            data_embedded: ("data_embedded.c");
            data_globals: ("data_globals.c");
            data_static_moves: ("data_static_moves.c");
            data_stack_object: ("data_stack_object.c");
            data_cyclic_graph: ("data_cyclic_graph.c");
            data_shared_object: ("data_shared_object.c");
            data_intrusive_list: ("data_intrusive_list.c");
            data_thread_local_pointer: ("data_thread_local_pointer.c");
            data_thread_local_grows: ("data_thread_local_grows.c");
            data_thread_stacks: ("data_thread_stacks.c");
            data_thread_specific: ("data_thread_specific.c");
            data_epoll: ("data_epoll.c");
            data_signal_values: ("data_signal_values.c");
            data_signal_values_grow: ("data_signal_values.c") .flags(&["-DOUTGROWS"]);
            data_callback_argument: ("data_callback_argument.c");
            data_dangling: ("data_dangling.c");
            data_mapped_region: ("data_mapped_region.c");
            data_aligned: ("data_aligned.c") .no_way_there(&["must be aligned to 64 bytes"]);
            data_allocators: ("data_allocators.c");
            data_slab: ("data_slab.c");
            data_container: ("data_container.c");
            data_epoll_only: ("data_epoll_only.c");
            data_many: ("data_many.c");
            data_busy_allocator: ("data_busy_allocator.c");

            // What of a type changes.
            data_field_removed: ("data_field_removed.c");
            data_fields_reordered: ("data_fields_reordered.c");
            data_numbers_retyped: ("data_numbers_retyped.c");
            data_text_grows: ("data_text_grows.c");
            data_arrays: ("data_arrays.c");
            data_flexible: ("data_flexible.c");
            data_bitfields: ("data_bitfields.c");
            data_typedefs: ("data_typedefs.c");
            data_qualifiers: ("data_qualifiers.c");
            data_split_type: ("data_split_type.c");
            data_enum_renumbered: ("data_enum_renumbered.c");
            data_enum_flags: ("data_enum_flags.c");
            data_union_tagged: ("data_union_tagged.c");
            data_void_tagged: ("data_void_tagged.c");
            data_void_typed: ("data_void_typed.c");
            data_opaque: ("data_opaque.c");
            data_function_pointer: ("data_function_pointer.c");
            data_literals: ("data_literals.c");
            // Nothing says which of the two types an object would be.
            data_types_merged: ("data_types_merged.c") .one_way(&["figure"]);
            data_type_renamed: ("data_type_renamed.c");
            data_type_moves_file: ("data_type_moves_file.c", "data_type_moves_file_other.c");

            // What new fields and variables hold, and what runs after the restore.
            data_initial_values: ("data_initial_values.c");
            data_new_global: ("data_new_global.c");
            data_thread_values: ("data_thread_values.c");
            data_statistics: ("data_statistics.c");
            data_keyed_by_address: ("data_keyed_by_address.c");
            data_calls_after: ("data_calls_after.c");
            data_calls_own: ("data_calls_own.c");
        }
    };
}

/// Programs whose data no update carries as it is, by their source files: for the refusals of
/// `tests/data_refusals.rs` and `tests/calls.rs`.
pub const REFUSED_PROGRAMS: &[Program] = &[
    Program::new("refused_field", &["refused_field.c"]),
    Program::new("refused_startup", &["refused_startup.c"]),
    Program::new("refused_void_pointer", &["refused_void_pointer.c"]),
    Program::new("refused_union", &["refused_union.c"]),
    Program::new("refused_hidden_block", &["refused_hidden_block.c"]),
    Program::new("refused_misaligned", &["refused_corrupted.c"]),
    Program::new("refused_small_block", &["refused_corrupted.c"]).flags(&["-DSMALL_BLOCK"]),
    Program::new("refused_array_shrinks", &["refused_array_shrinks.c"]),
    Program::new("refused_pipe", &["refused_pipe.c"]),
    Program::new("refused_alternate_stack", &["refused_kernel_words.c"]).flags(&["-DSTACK"]),
    Program::new("refused_shared_word", &["refused_kernel_words.c"]).flags(&["-DSHARED"]),
    Program::new("refused_message", &["refused_kernel_words.c"]).flags(&["-DMESSAGE"]),
    Program::new("refused_inside_malloc", &["refused_inside_malloc.c"]),
    Program::new("refused_enum", &["refused_enum.c"]),
    Program::new("refused_mapped", &["refused_mapped.c"]),
    Program::new("calls_fail", &["calls_fail.c"]),
];

macro_rules! find_in_table {
    ($($name:ident: ($($file:literal),+) $(. $method:ident ($($argument:expr),*))*;)*) => {
        /// Every program of the list.
        pub const PROGRAMS: &[Program] = &[$(Program::new(stringify!($name), &[$($file),+])$(.$method($($argument),*))*),*];
    };
}
for_each_program!(find_in_table);

macro_rules! find_in_data_table {
    ($($name:ident: ($($file:literal),+) $(. $method:ident ($($argument:expr),*))*;)*) => {
        /// Every program whose data changes its shape.
        pub const DATA_PROGRAMS: &[Program] = &[$(Program::new(stringify!($name), &[$($file),+])$(.$method($($argument),*))*),*];
    };
}
for_each_data_program!(find_in_data_table);

/// The program that does nothing but wait, for tests that are about builds, commands and images.
pub const IDLE: Program = Program::new("idle", &["idle.c"]);

/// The program `name`.
pub fn find(name: &str) -> Program {
    *PROGRAMS
        .iter()
        .chain(DATA_PROGRAMS)
        .chain(REFUSED_PROGRAMS)
        .find(|program| program.name == name)
        .unwrap_or_else(|| panic!("no program {name} in the catalogue"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;
    use std::fs;

    /// Sources that are no program of the list: what `tests/refusals.rs` builds by hand.
    const OTHERS: [&str; 3] = ["idle.c", "other_program.c", "bits32.c"];

    #[test]
    fn every_source_belongs_to_a_program_and_is_there() {
        let listed: BTreeSet<String> = PROGRAMS
            .iter()
            .chain(DATA_PROGRAMS)
            .chain(REFUSED_PROGRAMS)
            .flat_map(|program| {
                let library = program.library.map(|library| match library {
                    Library::Linked(source) | Library::Loaded(source) => source,
                });
                program.sources.iter().copied().chain(library)
            })
            .chain(OTHERS)
            .map(str::to_owned)
            .collect();
        let found: BTreeSet<String> = fs::read_dir(crate::build::sources())
            .expect("the programs are there")
            .filter_map(|entry| entry.expect("an entry").file_name().into_string().ok())
            .filter(|name| name.ends_with(".c"))
            .collect();
        assert_eq!(listed, found);
    }
}
