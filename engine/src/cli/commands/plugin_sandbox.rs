//! `dsu plugin-sandbox`: the process that becomes a plugin. Its standard output is the plugin's pipe: nothing is printed.

use std::error::Error;

use dsu_engine::plugin::sandbox::{Limits, become_plugin};

use super::super::arguments::PluginSandboxArguments;
use super::super::failure::{Exit, Failure};
use super::super::output::Ending;

/// Becomes the plugin, or says on standard error, which dsu reads, what keeps it from that.
pub fn run(arguments: &PluginSandboxArguments) -> Ending {
    let error = become_plugin(
        &arguments.plugin,
        &arguments.arguments,
        Limits { processor_s: arguments.processor_s, memory: arguments.memory },
    );
    let mut message = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        message.push_str(&format!(": {error}"));
        cause = error.source();
    }
    let hint = "`dsu doctor` says what this machine offers; a plugin is a compiled program";
    Err(Box::new(Failure::new(Exit::Lacking, "plugin-sandbox", message, hint)))
}
