//! `dsu plan`: what an update would do, or what stands in its way.

use dsu_engine::update::live;
use dsu_engine::update::operation::{PlanRequest, Planned};
use serde_json::{Value, json};

use super::{check_program, read_spec};
use crate::cli::arguments::PlanArguments;
use crate::cli::failure::{Subject, update_failure};
use crate::cli::output::report::{Carried, notes};
use crate::cli::output::{Answer, Ending, human};
use crate::cli::progress::Progress;

/// Plans the update; the process goes on as it was.
pub fn run(arguments: &PlanArguments, mut progress: Progress) -> Ending {
    let pair = &arguments.pair;
    check_program(&pair.program)?;
    let request = PlanRequest {
        pid: pair.pid,
        program: pair.program.clone(),
        spec: read_spec(pair.spec.as_deref())?,
        wait: pair.wait,
        accept_seccomp_risk: pair.accept_seccomp_risk,
        debug_directories: pair.debug_directories.clone(),
    };
    let result = live::plan(&request, &mut progress);
    progress.finish();
    match result {
        Ok(planned) => Ok(Box::new(Plan(planned))),
        Err(error) => Err(Box::new(update_failure(&error, &Subject::Process(pair.pid)))),
    }
}

struct Plan(Planned);

impl Plan {
    fn carried(&self) -> Carried<'_> {
        let planned = &self.0;
        Carried {
            report: &planned.report,
            threads: planned.threads,
            descriptors: planned.descriptors,
            children: &planned.children,
            pause_ms: planned.pause_ms,
            steps: &planned.steps,
            build_ids: (&planned.old_build_id, &planned.new_build_id),
        }
    }
}

impl Answer for Plan {
    fn text(&self) -> String {
        let planned = &self.0;
        let (old, new) = (human::build_id(&planned.old_build_id), human::build_id(&planned.new_build_id));
        let pause = format!("{:.1} ms, for this plan", planned.pause_ms);
        let mut text = format!(
            "process {} can be updated: {old} to {new}; nothing was changed\n{}",
            planned.pid,
            self.carried().text(pause)
        );
        notes(&mut text, "assumed", &planned.report.assumptions);
        text
    }

    fn json(&self) -> Value {
        let mut value = json!({ "result": "planned", "pid": self.0.pid });
        self.carried().add_json(&mut value);
        value
    }
}
