//! The plugin protocol, and the SDK that a plugin author links.
//!
//! A plugin is an executable that rewrites objects of the types that it names. It talks to dsu over its standard input and output
//! in frames ([`frame`]) that hold messages ([`message`]): greetings with versions, the layouts of its types in both builds, then batches
//! of objects. Between a batch and its answer it may read the old process's memory. With [`sdk`] it is a page of Rust.

pub mod frame;
pub mod layout;
pub mod message;
pub mod sdk;
