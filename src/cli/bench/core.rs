//! `chiron bench core`: measures startup, planning, step throughput, load, memory and the simulator.

use std::io::Write as _;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use cluster::{Cluster, Metrics};
use engine::RunUntil;
use executor::driver::{self, MAX_INPUTS};
use executor::{Fleet, Rules};
use jiff::{SignedDuration, Timestamp};
use runtime::Speed;
use serde_json::json;
use simulator::{AlertMode, Emission, SimulatedCluster, World, scenario};
use store::{Salts, Store};
use workflow::guardrail::Autonomy;
use workflow::id::{CandidateId, DecisionId, IncidentId, PlanId, RunId};
use workflow::run::RunInput;
use workflow::{
    Catalogue, Estimate, Estimates, Features, OptimizationReport, Plan, Source, Step, Workflow,
};

use super::{cpu_seconds, memory_bytes};
use crate::cli::demo::is_reported;
use crate::cli::policy::PolicyName;
use crate::{bootstrap, datasets};

/// Runs all measurements of `bench core`.
pub(super) async fn measure(seconds: u64, executions: usize) -> Result<serde_json::Value> {
    let folder = tempfile::tempdir()?;
    let fdatasync = fdatasync_us(folder.path())?;
    let begun = Instant::now();
    let simulation = remediated(1, Vec::new()).await?;
    let start_to_plan = simulation.1.map_or(begun.elapsed(), |at| at.duration_since(begun));
    let rss_demo = memory_bytes("VmHWM") / 1_048_576;
    let plan_p99 = plans(executions).await?;
    let steps_per_second = fleet(folder.path().join("steps"), 50, 10, None).await?.0;
    let (_, cpu) =
        fleet(folder.path().join("load"), 100, 10, Some(Duration::from_secs(seconds))).await?;
    let rate = simulated_minutes_per_second()?;
    Ok(json!({
        "startToPlanMs": start_to_plan.as_millis(),
        "planP99Ms": plan_p99,
        "pastExecutions": executions,
        "rssMiB": rss_demo,
        "cpuPercent": cpu,
        "cpuPercentOf": "two cores, 100 concurrent runs at 1,000 steps per minute",
        "loadSeconds": seconds,
        "stepsPerSecond": steps_per_second,
        "fdatasyncUs": fdatasync,
        "simulatedMinutesPerSecond": rate,
        "excludes": "real API servers, network, and any other machine than this one",
    }))
}

/// Returns the median duration of 200 appends of 512 bytes with `fdatasync`, in µs.
pub(super) fn fdatasync_us(folder: &std::path::Path) -> Result<u128> {
    let mut file = std::fs::File::create(folder.join("fdatasync"))?;
    let mut times = Vec::new();
    for _ in 0..200 {
        let begun = Instant::now();
        file.write_all(&[7; 512])?;
        file.sync_data()?;
        times.push(begun.elapsed().as_micros());
    }
    times.sort_unstable();
    Ok(times[times.len() / 2])
}

/// Runs one incident in memory until it is remediated. Returns the engine and the time at which the plan was frozen.
async fn remediated(
    seed: u64,
    history: Vec<workflow::PastExecution>,
) -> Result<(bootstrap::RunningEngine, Option<Instant>)> {
    let start = crate::bootstrap::start();
    let prepared = scenario::prepare(
        &datasets::scenario("bad-image")?,
        &datasets::world("shop")?,
        seed,
        start,
    )?;
    let mut world = prepared.world;
    world.set_alert_mode(AlertMode::Internal);
    let setup = bootstrap::EngineSetup {
        world: Arc::new(Mutex::new(world)),
        speed: Speed::Unlimited,
        seed,
        options: bootstrap::EngineOptions::at(Autonomy::Auto, PolicyName::default().policy()),
    };
    let (mut simulation, _) = bootstrap::simulate(setup, bootstrap::memory(seed)).await?;
    let history = if history.is_empty() { datasets::history()? } else { history };
    simulation.engine.import(datasets::HISTORY, history).await?;
    simulation
        .engine
        .run(RunUntil::Condition(Box::new(|folds| {
            folds.cases.cases.values().any(|case| case.plan().is_some())
        })))
        .await?;
    let planned = Instant::now();
    simulation
        .engine
        .run(RunUntil::Condition(Box::new(|folds| folds.cases.cases.values().all(is_reported))))
        .await?;
    Ok((simulation, Some(planned)))
}

/// Returns the 99th percentile of the duration of 100 plannings, from reading the evidence to the frozen plan, in
/// milliseconds, with `executions` past executions in memory.
async fn plans(executions: usize) -> Result<f64> {
    let sample = datasets::history()?;
    let many: Vec<workflow::PastExecution> = sample
        .iter()
        .cycle()
        .take(executions)
        .enumerate()
        .map(|(i, execution)| {
            let mut execution = execution.clone();
            execution.id = format!("{}/{i}", execution.id);
            // Signatures that are similar but not equal, as in a real history.
            execution.signature.push(format!("variant{}", i % 997));
            execution
        })
        .collect();
    let (simulation, _) = remediated(2, many).await?;
    let incident = simulation
        .engine
        .folds()
        .cases
        .cases
        .keys()
        .next()
        .cloned()
        .context("the incident of the benchmark")?;
    let mut times = Vec::new();
    for _ in 0..100 {
        let begun = Instant::now();
        simulation.engine.preview_plan(&incident).await.context("the incident of the benchmark")?;
        times.push(begun.elapsed().as_secs_f64() * 1_000.0);
    }
    times.sort_by(f64::total_cmp);
    Ok(times[98])
}

/// Runs `runs` plans of `steps` no-op steps each concurrently on SQLite: at the required rate for `duration`, or once
/// as fast as possible. Returns steps per second, and the CPU usage in percent of two cores.
async fn fleet(
    dir: std::path::PathBuf,
    runs: usize,
    steps: usize,
    duration: Option<Duration>,
) -> Result<(f64, f64)> {
    std::fs::create_dir_all(&dir)?;
    let store = bootstrap::open_store(&dir, Salts::System)?;
    let rules = Rules {
        guardrails: bootstrap::guardrails(Autonomy::Auto),
        catalogue: actions::catalogue(),
    };
    let epoch = store.claim(Timestamp::now(), env!("CARGO_PKG_VERSION")).await?;
    let (mut fleet, _) = driver::recover(runs, &*store).await?;
    let world = World::with_naming(
        &datasets::world("shop")?,
        1,
        Timestamp::now(),
        simulator::Naming::Literal,
    )?;
    let cluster = Arc::new(SimulatedCluster::new(Arc::new(Mutex::new(world)), bootstrap::CLUSTER));
    let (begun, cpu) = (Instant::now(), cpu_seconds());
    let mut done = 0usize;
    let mut round = 0u64;
    loop {
        let inputs = (0..runs).map(|i| submit(round, i as u64, steps, &rules.catalogue)).collect();
        drive(&mut fleet, inputs, &rules, epoch, &*store, cluster.clone(), cluster.clone()).await?;
        done += runs * steps;
        round += 1;
        let Some(duration) = duration else { break };
        if begun.elapsed() >= duration {
            break;
        }
        // 1,000 steps per minute: the next round starts when the time share of the finished rounds is over.
        let share = Duration::from_secs_f64(done as f64 / (1_000.0 / 60.0)).min(duration);
        tokio::time::sleep(share.saturating_sub(begun.elapsed())).await;
    }
    let elapsed = begun.elapsed().as_secs_f64();
    Ok((done as f64 / elapsed, (cpu_seconds() - cpu) / elapsed / 2.0 * 100.0))
}

/// Steps the fleet until all runs have ended.
async fn drive(
    fleet: &mut Fleet,
    inputs: Vec<RunInput>,
    rules: &Rules,
    epoch: u64,
    store: &dyn Store,
    cluster: Arc<dyn Cluster>,
    metrics: Arc<dyn Metrics>,
) -> Result<()> {
    let mut waiting = inputs;
    loop {
        let batch: Vec<RunInput> = waiting.drain(..waiting.len().min(MAX_INPUTS)).collect();
        let pending = driver::step(fleet, &batch, rules, Timestamp::now(), epoch, store).await?;
        for effect in pending.effects {
            waiting.push(executor::perform(effect, cluster.clone(), metrics.clone()).await);
        }
        if waiting.is_empty() {
            let Some(deadline) =
                pending.deadline.filter(|_| fleet.live().any(|run| !run.status.is_terminal()))
            else {
                return Ok(());
            };
            let wait =
                Duration::try_from(deadline.duration_since(Timestamp::now())).unwrap_or_default();
            tokio::time::sleep(wait).await;
            waiting.push(RunInput::Due);
        }
    }
}

fn submit(round: u64, i: u64, steps: usize, catalogue: &Catalogue) -> RunInput {
    let step = |n: usize| -> Step {
        let needs: Vec<String> = if n == 0 { Vec::new() } else { vec![format!("s{}", n - 1)] };
        serde_json::from_value(json!({"id": format!("s{n}"), "action": "wait", "arguments": {"duration": "0s"}, "needs": needs}))
            .expect("a constant step")
    };
    debug_assert!(catalogue.get("wait").is_some());
    let workflow = Workflow::of_steps("bench", "", (0..steps).map(step).collect(), Vec::new());
    let now = Timestamp::UNIX_EPOCH;
    let incident = IncidentId::derive(now, "bench", round << 20 | i);
    let none = Estimate { estimate: 0.5, low: 0.0, high: 1.0 };
    let digest = workflow::Digest::ZERO;
    let plan = Plan {
        id: PlanId::derive(now, incident.as_str(), 0),
        digest: Plan::digest_of(&incident, &workflow, &[], ""),
        workflow,
        targets: Vec::new(),
        guardrails_version: String::new(),
        candidate: CandidateId::derive(now, incident.as_str(), 0),
        source: Source::DoNothing,
        decision: DecisionId::derive(now, incident.as_str(), 0),
        estimates: Estimates {
            plan: none,
            optimistic: 0.5,
            observations: 0.0,
            steps: Vec::new(),
            model: digest,
        },
        features: Features {
            schema: digest,
            arm: "bench".into(),
            values: Vec::new(),
            steps: Vec::new(),
        },
        explanation: Vec::new(),
        optimization: OptimizationReport::default(),
        attempt: 1,
        needs_approval: None,
        created_at: now,
        incident,
    };
    RunInput::Submit {
        run: RunId::derive(now, plan.id.as_str(), 0),
        plan: Box::new(plan),
        guarded: Vec::new(),
        actor: "bench".into(),
    }
}

/// Returns the simulated minutes of the shop per second on one core, with one pod killed every five minutes.
fn simulated_minutes_per_second() -> Result<f64> {
    let start = crate::bootstrap::start();
    let mut world =
        World::with_naming(&datasets::world("shop")?, 1, start, simulator::Naming::Literal)?;
    let begun = Instant::now();
    let mut minutes = 0u32;
    let mut alerts = 0;
    while begun.elapsed() < Duration::from_secs(2) {
        let until = world.now() + SignedDuration::from_mins(5);
        alerts += world
            .advance_fully(until)
            .iter()
            .filter(|emission| matches!(emission, Emission::Alerts(_)))
            .count();
        world.kill_pods("shop", "cart", Some(1));
        minutes += 5;
    }
    tracing::info!(alerts, "simulated the shop");
    Ok(f64::from(minutes) / begun.elapsed().as_secs_f64())
}
