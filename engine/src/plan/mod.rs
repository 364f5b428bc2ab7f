//! From an image, an old and a new program to a rewritten image, or to blockers. Pure: no process, no privilege.
