//! What functions of libraries do with memory, by name: those of ISO C and POSIX, and allocators' own names for them.

/// What a function of a library does, as far as objects are concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Library {
    /// Returns a new block; its size is the product of these arguments.
    Allocate {
        /// Positions of the arguments.
        size: &'static [usize],
        /// Whether it is full of zeros.
        zeroed: bool,
    },
    /// Stores the address of a new block of as many bytes as the last argument says where the first one points.
    AllocateThrough,
    /// Returns a new string, or a pointer to bytes.
    Bytes,
    /// Returns what the program gave it before, or a pointer into an argument.
    GivesBack,
    /// Frees the block at its first argument.
    Free,
    /// Fills the bytes at the first argument.
    Fill,
    /// Stores into the bytes at the first argument, as many as its third one says.
    Copy,
    /// Reads what it is given, and gives back no pointer to it but through the descriptor or the key that it was given for.
    Reads,
    /// Stores into what the first argument points to; keeps other pointers and looks at nothing behind them.
    StoresFirst,
    /// Never returns.
    Ends,
    /// Anything.
    Unknown,
}

/// Prefixes under which allocators offer the functions of ISO C beside those.
const PREFIXES: [&str; 3] = ["je_", "tc_", "mi_"];

/// What the function called `name` does.
pub(super) fn of(name: &str) -> Library {
    let plain = PREFIXES.iter().find_map(|prefix| name.strip_prefix(prefix)).unwrap_or(name);
    match plain {
        "malloc" | "valloc" | "pvalloc" => Library::Allocate { size: &[0], zeroed: false },
        "calloc" => Library::Allocate { size: &[0, 1], zeroed: true },
        "realloc" | "aligned_alloc" | "memalign" => Library::Allocate { size: &[1], zeroed: false },
        "reallocarray" => Library::Allocate { size: &[1, 2], zeroed: false },
        "posix_memalign" => Library::AllocateThrough,
        "free" | "cfree" => Library::Free,
        _ => other(name),
    }
}

/// Whether the program's own function of this name is one of the C library's, which it replaces.
pub(super) fn replaces(name: &str) -> bool {
    !matches!(
        of(name),
        Library::Unknown | Library::Reads | Library::StoresFirst | Library::GivesBack | Library::Ends | Library::Bytes
    )
}

fn other(name: &str) -> Library {
    match name {
        "memset" | "__memset_chk" => Library::Fill,
        "memcpy" | "memmove" | "mempcpy" | "strncpy" | "read" | "recv" | "__memcpy_chk" | "__memmove_chk" | "__strncpy_chk" => {
            Library::Copy
        }
        "strdup"
        | "strndup"
        | "__strdup"
        | "getenv"
        | "strerror"
        | "strchr"
        | "strrchr"
        | "strstr"
        | "realpath"
        | "getcwd"
        | "inet_ntoa"
        | "ctime"
        | "setlocale"
        | "nl_langinfo"
        | "basename"
        | "dirname"
        | "strtok"
        | "strtok_r"
        | "strsep"
        | "memchr"
        | "memrchr"
        | "rawmemchr"
        | "strpbrk"
        | "fgets"
        | "gets"
        | "strsignal"
        | "ttyname"
        | "getlogin"
        | "__errno_location"
        | "__ctype_b_loc"
        | "__ctype_tolower_loc"
        | "__ctype_toupper_loc" => Library::Bytes,
        "pthread_getspecific" | "tss_get" | "bsearch" | "lfind" | "lsearch" | "tfind" => Library::GivesBack,
        "abort" | "exit" | "_exit" | "_Exit" | "quick_exit" | "__assert_fail" | "__stack_chk_fail" | "__fortify_fail"
        | "__chk_fail" | "pthread_exit" | "err" | "errx" | "verr" | "verrx" | "longjmp" | "siglongjmp" | "__longjmp_chk" => {
            Library::Ends
        }
        "strlen"
        | "strnlen"
        | "strcmp"
        | "strncmp"
        | "strcasecmp"
        | "strncasecmp"
        | "memcmp"
        | "write"
        | "send"
        | "puts"
        | "printf"
        | "fprintf"
        | "dprintf"
        | "syslog"
        | "__printf_chk"
        | "__fprintf_chk"
        | "__dprintf_chk"
        | "__syslog_chk"
        | "fputs"
        | "fwrite"
        | "perror"
        | "malloc_usable_size"
        | "close"
        | "time"
        | "strtol"
        | "strtoul"
        | "strtoll"
        | "strtoull"
        | "atoi"
        | "atol"
        | "sched_yield"
        | "pthread_mutex_lock"
        | "pthread_mutex_unlock"
        | "pthread_self" => Library::Reads,
        "epoll_ctl"
        | "timerfd_settime"
        | "setsockopt"
        | "bind"
        | "connect"
        | "listen"
        | "pthread_cond_signal"
        | "pthread_cond_broadcast"
        | "fclose"
        | "fflush"
        | "fdopen"
        | "fcntl"
        | "unlink"
        | "open"
        | "writev"
        | "sendmsg" => Library::Reads,
        "pthread_create"
        | "pthread_setspecific"
        | "tss_set"
        | "event_set"
        | "event_assign"
        | "pthread_mutex_init"
        | "pthread_cond_init"
        | "pthread_rwlock_init"
        | "sem_init"
        | "sigemptyset"
        | "sigaddset"
        | "gettimeofday" => Library::StoresFirst,
        _ => Library::Unknown,
    }
}
