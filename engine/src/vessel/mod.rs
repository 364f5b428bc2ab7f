//! From an image to a process: the emptied process, its mappings, pages, threads, and what the exec took.
#![allow(unsafe_code, reason = "system calls that nix does not wrap")]
