//! What a plugin author writes: a [`Plugin`], and a `main` that hands it to [`run`].
//!
//! ```no_run
//! use dsu_formats::plugin::sdk::{self, NewObject, Object, Process, Refusal};
//!
//! struct Celsius;
//!
//! impl sdk::Plugin for Celsius {
//!     fn rewrites(&self) -> Vec<(&'static str, &'static str)> {
//!         vec![("reading", "reading")]
//!     }
//!
//!     fn rewrite(&mut self, old: &Object, new: &mut NewObject, _: &mut Process) -> Result<(), Refusal> {
//!         new.carry_all(old)?;
//!         new.set("celsius", (old.get("fahrenheit")? - 32) * 5 / 9)
//!     }
//! }
//!
//! fn main() -> std::process::ExitCode {
//!     sdk::run("celsius", Celsius)
//! }
//! ```

mod object;
mod process;
mod serve;

pub use object::{NewObject, Object, Refusal};
pub use process::{NewBlock, Process};
pub use serve::run;

/// Rewrites objects of the types that it names.
pub trait Plugin {
    /// Names of the types that it rewrites, old and new. All objects of the first come before those of the second.
    fn rewrites(&self) -> Vec<(&'static str, &'static str)>;

    /// Names of types of the old build that it looks at with [`Process::object`], beside those that it rewrites.
    fn looks_at(&self) -> Vec<&'static str> {
        Vec::new()
    }

    /// Makes one new object. Fields that it does not set are zero.
    ///
    /// # Errors
    /// A reason why the object cannot be rewritten: the update is then blocked, with the object's address and this text.
    fn rewrite(&mut self, old: &Object, new: &mut NewObject, process: &mut Process<'_>) -> Result<(), Refusal>;
}
