//! Reading a real process's heap, and walking its data by type.

mod frames;
mod heap;
mod rules;
mod scene;
mod server;
mod walk;
