//! What differs between two builds: made before the process is stopped.

pub mod content;
pub mod functions;
pub mod objects;
pub mod pairs;
pub mod rows;
pub mod sides;
pub mod strings;
pub mod units;
