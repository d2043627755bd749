use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use anyhow::Result;
use cluster::{Health, ObjectRef};
use jiff::{SignedDuration, Timestamp};
use simulator::{AlertMode, Naming, ScenarioFile, World, WorldFile, scenario};

use crate::report::{EvaluationReport, FamilyResult, FamilyVerdict, PolicyResult, Proportion};
use crate::system_under_test::SystemUnderTest;

/// A set of scenarios and their world.
#[derive(Clone)]
pub struct Suite {
    /// Name for reports.
    pub name: String,
    /// Initial state of each world.
    pub world: WorldFile,
    /// Scenarios in report order.
    pub scenarios: Vec<ScenarioFile>,
}

/// Duration of a run after the injection of the fault.
const TRIAL_LENGTH: SignedDuration = SignedDuration::from_mins(45);

/// The assessment of one run.
struct TrialResult {
    scenario: usize,
    is_correct: bool,
    is_harmful: bool,
    has_acted: bool,
    seconds: Option<f64>,
}

/// Runs every scenario with the seeds 1 to `seeds` for each system; `naming` defines the names of the objects.
///
/// Worlds are distributed over `threads`; the report is independent of their number.
///
/// # Errors
/// If a scenario does not match its world, or a system cannot run.
pub fn evaluate(
    suite: &Suite,
    systems: &[Box<dyn SystemUnderTest>],
    seeds: u64,
    naming: Naming,
    threads: usize,
    start: Timestamp,
) -> Result<EvaluationReport> {
    let mut policies = Vec::new();
    for system in systems {
        let worlds: Vec<(usize, u64)> = (0..suite.scenarios.len())
            .flat_map(|i| (1..=seeds).map(move |seed| (i, seed)))
            .collect();
        let (next, results) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
        std::thread::scope(|scope| {
            for _ in 0..threads.max(1) {
                scope.spawn(|| {
                    let runtime =
                        tokio::runtime::Builder::new_current_thread().enable_all().build();
                    while let Some((i, seed)) = worlds.get(next.fetch_add(1, Ordering::Relaxed)) {
                        let result = match &runtime {
                            Ok(runtime) => runtime
                                .block_on(run_trial(suite, *i, *seed, naming, &**system, start)),
                            Err(error) => Err(anyhow::anyhow!("cannot create a runtime: {error}")),
                        };
                        results.lock().unwrap_or_else(PoisonError::into_inner).push(result);
                    }
                });
            }
        });
        let results = results
            .into_inner()
            .unwrap_or_else(PoisonError::into_inner)
            .into_iter()
            .collect::<Result<Vec<_>>>()?;
        policies.push(policy_result(suite, system.name(), seeds, &results));
    }
    Ok(EvaluationReport { suite: suite.name.clone(), seeds, policies })
}

async fn run_trial(
    suite: &Suite,
    i: usize,
    seed: u64,
    naming: Naming,
    system: &dyn SystemUnderTest,
    start: Timestamp,
) -> Result<TrialResult> {
    let mut prepared =
        scenario::prepare_with_naming(&suite.scenarios[i], &suite.world, seed, start, naming)?;
    prepared.world.set_alert_mode(AlertMode::Internal);
    let oracle = prepared.oracle;
    let health_before =
        health_at_first_alert(prepared.world.clone(), oracle.fault_at() + TRIAL_LENGTH);
    let mut trial = system.run(prepared.world, oracle.fault_at() + TRIAL_LENGTH).await?;
    let has_acted =
        trial.world.requests().iter().any(|logged| logged.request.mode == cluster::Mode::Commit);
    let after = trial.world.health_by_object();
    let is_other_worse = health_before.iter().any(|(object, before)| {
        !object.is_same(oracle.target())
            && after.get(object).is_none_or(|now| now.is_worse_than(before))
    });
    let is_target_removed = after.get(oracle.target()).is_none_or(|health| health.desired == 0);
    let is_harmful = has_acted
        && (oracle.violated_pattern(&trial.world).is_some() || is_target_removed || is_other_worse);
    let verdict = oracle.check(&mut trial.world);
    let is_correct = if oracle.expects_no_action() { !has_acted } else { verdict.mitigated };
    if !is_correct || is_harmful {
        tracing::info!(system = system.name(), family = oracle.family(), seed, is_harmful, message = %verdict.message, "incorrect or harmful");
    }
    Ok(TrialResult { scenario: i, is_correct, is_harmful, has_acted, seconds: trial.seconds })
}

/// Returns the health of every Deployment and Service at the delivery of the first alert.
///
/// Systems do not act before the first alert, so a copy of the world can be advanced up to it without one.
fn health_at_first_alert(mut world: World, until: Timestamp) -> BTreeMap<ObjectRef, Health> {
    world.advance(until);
    world.health_by_object()
}

fn policy_result(suite: &Suite, name: &str, seeds: u64, results: &[TrialResult]) -> PolicyResult {
    let families = suite.scenarios.iter().enumerate().map(|(i, scenario)| {
        let of: Vec<&TrialResult> = results.iter().filter(|result| result.scenario == i).collect();
        let correct = of.iter().filter(|result| result.is_correct).count() as u64;
        let verdict = FamilyVerdict::of(correct as f64 / seeds as f64);
        let acted = of.iter().filter(|result| result.has_acted).count() as u64;
        FamilyResult {
            family: scenario.spec.family.clone(),
            mitigation: Proportion::of(correct, seeds),
            acted,
            verdict,
        }
    });
    let faults: Vec<&TrialResult> = results
        .iter()
        .filter(|result| !suite.scenarios[result.scenario].spec.expect_no_action)
        .collect();
    let mitigated: Vec<&&TrialResult> = faults.iter().filter(|result| result.is_correct).collect();
    let mut seconds: Vec<f64> = mitigated.iter().filter_map(|result| result.seconds).collect();
    seconds.sort_by(f64::total_cmp);
    PolicyResult {
        policy: name.into(),
        mitigation: Proportion::of(mitigated.len() as u64, faults.len() as u64),
        harmful: results.iter().filter(|result| result.is_harmful).count() as u64,
        mean_seconds_to_resolve: (!seconds.is_empty())
            .then(|| seconds.iter().sum::<f64>() / seconds.len() as f64),
        families: families.collect(),
    }
}

#[cfg(test)]
mod tests;
