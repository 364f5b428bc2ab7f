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
    /// The same, having stored into what some of its first three arguments point to.
    StoresBytes,
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

/// Fill bytes.
const FILL: &[&str] = &["memset", "__memset_chk"];
/// Store as many bytes as is said.
const COPY: &[&str] = &["memcpy", "memmove", "strncpy", "__memcpy_chk", "__memmove_chk", "__strncpy_chk"];
/// Return strings.
const BYTES: &[&str] = &[
    "strdup",
    "strndup",
    "__strdup",
    "getenv",
    "strerror",
    "strchr",
    "strrchr",
    "strstr",
    "inet_ntoa",
    "ctime",
    "setlocale",
    "nl_langinfo",
    "basename",
    "dirname",
    "memchr",
    "memrchr",
    "rawmemchr",
    "strpbrk",
    "strsignal",
    "ttyname",
    "getlogin",
    "__errno_location",
    "__ctype_b_loc",
    "__ctype_tolower_loc",
    "__ctype_toupper_loc",
];
/// Return strings, having stored into what some of the first three arguments point to.
const STORE_BYTES: &[&str] = &["realpath", "getcwd", "strtok", "strtok_r", "strsep", "fgets", "gets"];
/// Return what the program gave them.
const GIVE_BACK: &[&str] = &["pthread_getspecific", "tss_get", "bsearch", "lfind", "lsearch", "tfind"];
/// Do not return.
const END: &[&str] = &[
    "abort",
    "exit",
    "_exit",
    "_Exit",
    "quick_exit",
    "__assert_fail",
    "__stack_chk_fail",
    "__fortify_fail",
    "__chk_fail",
    "pthread_exit",
    "err",
    "errx",
    "verr",
    "verrx",
    "longjmp",
    "siglongjmp",
    "__longjmp_chk",
];
/// Only read.
const READ: &[&str] = &[
    "strlen",
    "strnlen",
    "strcmp",
    "strncmp",
    "strcasecmp",
    "strncasecmp",
    "memcmp",
    "write",
    "send",
    "puts",
    "printf",
    "fprintf",
    "dprintf",
    "syslog",
    "__printf_chk",
    "__fprintf_chk",
    "__dprintf_chk",
    "__syslog_chk",
    "fputs",
    "fwrite",
    "perror",
    "malloc_usable_size",
    "close",
    "time",
    "strtol",
    "strtoul",
    "strtoll",
    "strtoull",
    "atoi",
    "atol",
    "sched_yield",
    "pthread_self",
    "epoll_ctl",
    "timerfd_settime",
    "setsockopt",
    "bind",
    "connect",
    "listen",
    "fclose",
    "fflush",
    "fdopen",
    "fcntl",
    "unlink",
    "open",
    "writev",
    "sendmsg",
];
/// Store into what the first argument points to.
const STORE_FIRST: &[&str] = &[
    "pthread_mutex_lock",
    "pthread_mutex_unlock",
    "pthread_cond_signal",
    "pthread_cond_broadcast",
    "pthread_create",
    "pthread_setspecific",
    "tss_set",
    "event_set",
    "event_assign",
    "pthread_mutex_init",
    "pthread_cond_init",
    "pthread_rwlock_init",
    "sem_init",
    "sigemptyset",
    "sigaddset",
    "gettimeofday",
];

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
    matches!(of(name), Library::Allocate { .. } | Library::AllocateThrough | Library::Free | Library::Fill | Library::Copy)
}

fn other(name: &str) -> Library {
    let tables = [
        (FILL, Library::Fill),
        (COPY, Library::Copy),
        (BYTES, Library::Bytes),
        (STORE_BYTES, Library::StoresBytes),
        (GIVE_BACK, Library::GivesBack),
        (END, Library::Ends),
        (READ, Library::Reads),
        (STORE_FIRST, Library::StoresFirst),
    ];
    tables.into_iter().find(|(names, _)| names.contains(&name)).map_or(Library::Unknown, |(_, library)| library)
}
