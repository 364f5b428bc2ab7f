//! Kernel resources of a process: one file each, with its capture, what an exec takes of it, and its restore.
