//! Plugins: programs of the user's that rewrite objects of the types they name, each in a process of its own that can do nothing else.
//!
//! [`sandbox`] is the child's side: it locks itself in and becomes the plugin. `child` is the pipe to it, with a deadline on every
//! byte. [`session`] is the conversation, and checks every answer. [`batches`] has all objects of a process made by the plugins of a spec.

pub mod batches;
mod child;
pub mod error;
pub mod layout;
pub mod sandbox;
pub mod session;
