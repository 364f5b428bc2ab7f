//! Seccomp filters that stand between a process and its way back, should the engine be killed.

use super::error::UpdateError;
use crate::resources::Obstacle;
use crate::tracee::seccomp::Risk;
use crate::tracee::stopped::Stopped;

/// Refuses a stopped process in which no call must be injected yet, unless the user has accepted the risk.
pub(super) fn check(stopped: &Stopped, accepted: bool) -> Result<(), UpdateError> {
    let obstacles: Vec<Obstacle> = stopped.seccomp_risks()?.iter().map(obstacle).collect();
    if obstacles.is_empty() {
        return Ok(());
    }
    if accepted {
        obstacles.iter().for_each(|obstacle| tracing::warn!(%obstacle, "a risk that was accepted"));
        return Ok(());
    }
    Err(UpdateError::Blocked { blockers: Vec::new(), obstacles })
}

fn obstacle(risk: &Risk) -> Obstacle {
    let (calls, reason) = match &risk.calls {
        Ok(calls) => {
            let reason = format!(
                "its seccomp filter does not allow {}, which the process would have to make if dsu itself were killed in the middle",
                calls.join(", ")
            );
            (calls.clone(), reason)
        }
        Err(error) => {
            let reason = format!(
                "its seccomp filter cannot be read ({error}), so that nobody knows whether it allows the calls that the process \
                 would have to make if dsu itself were killed in the middle"
            );
            (Vec::new(), reason)
        }
    };
    Obstacle::SeccompRisk { tid: risk.tid, calls, reason }
}

#[cfg(test)]
mod tests {
    use nix::errno::Errno;

    use super::*;

    #[test]
    fn an_obstacle_names_the_calls_or_why_they_are_unknown() {
        let named = obstacle(&Risk { tid: 7, calls: Ok(vec!["munmap", "pause"]) }).to_string();
        assert!(named.contains("thread 7") && named.contains("munmap, pause"), "{named}");
        let unknown = obstacle(&Risk { tid: 7, calls: Err(Errno::EACCES) }).to_string();
        assert!(unknown.contains("EACCES"), "{unknown}");
    }
}
