//! The binary `dsu` as people and programs meet it: exit codes, JSON, messages for bad input.

mod answers;
mod diff;
mod images;
mod programs;
mod run;
mod targets;
