use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::Result;
use cluster::{Health, ObjectRef};
use jiff::{SignedDuration, Timestamp};
use simulator::{AlertMode, Naming, ScenarioFile, World, WorldFile, scenario};

use crate::contestant::Contestant;
use crate::report::{Family, Policy, Report, Share};

/// Scenarios and the world that they play in.
#[derive(Clone)]
pub struct Suite {
    /// Its name.
    pub name: String,
    /// The world.
    pub world: WorldFile,
    /// The scenarios, in order.
    pub scenarios: Vec<ScenarioFile>,
}

/// How long after the fault a contestant may play.
const PLAY: SignedDuration = SignedDuration::from_mins(45);

/// What came of one world.
struct Judged {
    scenario: usize,
    is_right: bool,
    is_harmful: bool,
    has_acted: bool,
    seconds: Option<f64>,
}

/// Plays every scenario with every seed and every contestant; `naming` says how objects are called.
///
/// Worlds are shared out over `threads`; the report does not depend on how many there are.
///
/// # Errors
/// Where a scenario does not fit its world, or a contestant cannot play.
pub fn evaluate(
    suite: &Suite,
    contestants: &[Box<dyn Contestant>],
    seeds: u64,
    naming: Naming,
    threads: usize,
    start: Timestamp,
) -> Result<Report> {
    let mut policies = Vec::new();
    for contestant in contestants {
        let worlds: Vec<(usize, u64)> = (0..suite.scenarios.len())
            .flat_map(|i| (1..=seeds).map(move |seed| (i, seed)))
            .collect();
        let (next, judged) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
        std::thread::scope(|scope| {
            for _ in 0..threads.max(1) {
                scope.spawn(|| {
                    let runtime =
                        tokio::runtime::Builder::new_current_thread().enable_all().build();
                    while let Some((i, seed)) = worlds.get(next.fetch_add(1, Ordering::Relaxed)) {
                        let result = match &runtime {
                            Ok(runtime) => runtime.block_on(play(
                                suite,
                                *i,
                                *seed,
                                naming,
                                &**contestant,
                                start,
                            )),
                            Err(error) => Err(anyhow::anyhow!("no runtime: {error}")),
                        };
                        judged.lock().expect("no thread panics while it holds this").push(result);
                    }
                });
            }
        });
        let judged = judged
            .into_inner()
            .expect("no thread panics while it holds this")
            .into_iter()
            .collect::<Result<Vec<_>>>()?;
        policies.push(policy(suite, contestant.name(), seeds, &judged));
    }
    Ok(Report { suite: suite.name.clone(), seeds, policies })
}

async fn play(
    suite: &Suite,
    i: usize,
    seed: u64,
    naming: Naming,
    contestant: &dyn Contestant,
    start: Timestamp,
) -> Result<Judged> {
    let mut prepared =
        scenario::prepare_named(&suite.scenarios[i], &suite.world, seed, start, naming)?;
    prepared.world.set_alert_mode(AlertMode::Internal);
    let oracle = prepared.oracle;
    let healths_before = at_first_alert(prepared.world.clone(), oracle.fault_at() + PLAY);
    let mut played = contestant.play(prepared.world, oracle.fault_at() + PLAY).await?;
    let has_acted =
        played.world.requests().iter().any(|logged| logged.request.mode == cluster::Mode::Apply);
    let after = played.world.healths();
    let lost = healths_before.iter().any(|(object, before)| {
        !object.is_same(oracle.target()) && after.get(object).is_none_or(|now| now.is_below(before))
    });
    let is_target_gone = after.get(oracle.target()).is_none_or(|health| health.desired == 0);
    let is_harmful =
        has_acted && (oracle.forbidden(&played.world).is_some() || is_target_gone || lost);
    let verdict = oracle.check(&mut played.world);
    let is_right = if oracle.is_right_to_ignore() { !has_acted } else { verdict.mitigated };
    if !is_right || is_harmful {
        tracing::info!(contestant = contestant.name(), family = oracle.family(), seed, is_harmful, why = %verdict.why, "not right");
    }
    Ok(Judged { scenario: i, is_right, is_harmful, has_acted, seconds: played.seconds })
}

/// Health of every Deployment and Service when the first alert is delivered: before that, nobody acts.
///
/// A world without a contestant goes the same way up to there, so a copy of it can be looked at ahead.
fn at_first_alert(mut world: World, until: Timestamp) -> BTreeMap<ObjectRef, Health> {
    world.advance(until);
    world.healths()
}

fn policy(suite: &Suite, name: &str, seeds: u64, judged: &[Judged]) -> Policy {
    let families = suite.scenarios.iter().enumerate().map(|(i, scenario)| {
        let of: Vec<&Judged> = judged.iter().filter(|judged| judged.scenario == i).collect();
        let right = of.iter().filter(|judged| judged.is_right).count() as u64;
        let verdict = match right as f64 / seeds as f64 {
            share if share >= 0.9 => "resolved",
            share if share <= 0.1 => "failed",
            _ => "mixed",
        };
        let acted = of.iter().filter(|judged| judged.has_acted).count() as u64;
        Family {
            family: scenario.spec.family.clone(),
            mitigation: Share::of(right, seeds),
            acted,
            verdict: verdict.into(),
        }
    });
    let faults: Vec<&Judged> = judged
        .iter()
        .filter(|judged| !suite.scenarios[judged.scenario].spec.right_to_ignore)
        .collect();
    let mended: Vec<&&Judged> = faults.iter().filter(|judged| judged.is_right).collect();
    let mut seconds: Vec<f64> = mended.iter().filter_map(|judged| judged.seconds).collect();
    seconds.sort_by(f64::total_cmp);
    Policy {
        policy: name.into(),
        mitigation: Share::of(mended.len() as u64, faults.len() as u64),
        harmful: judged.iter().filter(|judged| judged.is_harmful).count() as u64,
        mean_seconds_to_resolve: (!seconds.is_empty())
            .then(|| seconds.iter().sum::<f64>() / seconds.len() as f64),
        families: families.collect(),
    }
}

#[cfg(test)]
mod tests;
