//! `chiron bench planning`: measures planning and emergency stops on a cluster that responds slowly.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use cluster::{
    Agent, Cluster, Metrics, Mode, ObjectRef, Patch, Preconditions, Request, Verb, WriteReply,
};
use engine::{InputSenders, RunUntil};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use simulator::{Naming, SimulatedCluster, World};
use store::Salts;
use tokio::sync::oneshot;
use workflow::guardrail::Autonomy;
use workflow::run::{StopLevel, StopScope};
use workflow::{EngineResponse, Input, Limits};

use super::core::fdatasync_us;
use super::delayed_cluster::DelayedCluster;
use super::scaled_world::scaled;
use crate::cli::policy::PolicyName;
use crate::{bootstrap, datasets};

/// Number of emergency stops that are measured.
const STOPS: usize = 200;
/// Pause after each stop, so that the stops are distributed over the planning.
const STOP_INTERVAL: Duration = Duration::from_millis(15);
/// Time for which the image of a workload has been wrong when its alert arrives.
const FAULT_AGE: SignedDuration = SignedDuration::from_mins(10);

/// Measures how long `incidents` plans take if all alerts arrive in one delivery, and how long an emergency stop takes
/// meanwhile, on a cluster whose calls each take `latency`.
pub(super) async fn measure(incidents: usize, latency: Duration) -> Result<Value> {
    let folder = tempfile::tempdir()?;
    let fdatasync = fdatasync_us(folder.path())?;
    let idle = idle_stops(&folder.path().join("idle"), latency).await?;
    let mut rounds = Vec::new();
    let mut stops = Vec::new();
    // One planning may be shorter than 200 stops.
    while stops.len() < STOPS {
        let round =
            planned(&folder.path().join(format!("round-{}", rounds.len())), incidents, latency)
                .await?;
        anyhow::ensure!(
            !round.stops.is_empty(),
            "no emergency stop was acknowledged during the planning"
        );
        stops.extend(round.stops);
        rounds.push(round.all_planned);
    }
    stops.truncate(STOPS);
    let ms = |time: Duration| (time.as_secs_f64() * 100_000.0).round() / 100.0;
    Ok(json!({
        "stopP99Ms": ms(percentile(&mut stops, 99)),
        "stopP50Ms": ms(percentile(&mut stops, 50)),
        "stops": stops.len(),
        "idleStopP50Ms": ms(idle),
        "allPlannedSeconds": rounds.iter().map(|time| ms(*time) / 1_000.0).collect::<Vec<_>>(),
        "incidents": incidents,
        "callLatencyMs": latency.as_millis(),
        "fdatasyncUs": fdatasync,
        "profile": if cfg!(debug_assertions) { "dev" } else { "release" },
        "excludes": "HTTP and authentication; real API servers, which also limit the request rate of a client",
    }))
}

/// What one planning showed.
struct Round {
    /// From the delivery of the alerts to the last plan.
    all_planned: Duration,
    /// From sending an emergency stop to its acknowledgement, for each stop during the planning.
    stops: Vec<Duration>,
}

async fn planned(dir: &std::path::Path, incidents: usize, latency: Duration) -> Result<Round> {
    let (mut running, targets) = engine(dir, incidents, latency).await?;
    let inputs = running.inputs.clone();
    let alerts: Vec<Value> = targets.iter().map(alert).collect();
    let body = json!({"version": "4", "status": "firing", "receiver": "bench", "alerts": alerts});
    let delivery = workflow::alertmanager::parse(
        body.to_string().as_bytes(),
        &Limits::default(),
        Timestamp::now(),
    )?;
    let (reply_to, response) = oneshot::channel();
    let begun = Instant::now();
    inputs.commands.send((Input::IngestAlerts(delivery), reply_to)).await?;
    let (is_planned, mut until_planned) = oneshot::channel::<()>();
    let stops = tokio::spawn(async move {
        // The first stop follows the acknowledgement of the delivery.
        response.await?;
        let mut stops = Vec::new();
        loop {
            stops.push(stop(&inputs).await?);
            tokio::select! {
                _ = &mut until_planned => return anyhow::Ok(stops),
                () = tokio::time::sleep(STOP_INTERVAL) => {}
            }
        }
    });
    let condition = move |folds: &engine::Folds| {
        let plans = folds.cases.cases.values().filter(|case| case.plan().is_some()).count();
        plans == incidents
    };
    let until = RunUntil::Condition(Box::new(condition));
    tokio::time::timeout(Duration::from_secs(120), running.engine.run(until))
        .await
        .context("not all incidents had a plan after 120 s")??;
    let all_planned = begun.elapsed();
    let _ = is_planned.send(());
    // The last stop may wait for an acknowledgement.
    let until = RunUntil::At(Timestamp::now() + SignedDuration::from_millis(200));
    running.engine.run(until).await?;
    drop(running);
    let stops = stops.await??;
    Ok(Round { all_planned, stops })
}

/// Returns the median duration of emergency stops while the engine has nothing to do.
async fn idle_stops(dir: &std::path::Path, latency: Duration) -> Result<Duration> {
    let (mut running, _) = engine(dir, 1, latency).await?;
    let inputs = running.inputs.clone();
    let stops = tokio::spawn(async move {
        let mut stops = Vec::new();
        for _ in 0..20 {
            stops.push(stop(&inputs).await?);
        }
        anyhow::Ok(stops)
    });
    while !stops.is_finished() {
        let until = RunUntil::At(Timestamp::now() + SignedDuration::from_millis(50));
        running.engine.run(until).await?;
    }
    Ok(percentile(&mut stops.await??, 50))
}

/// Sends one global emergency stop, clears it, and returns the time to the acknowledgement of the stop.
async fn stop(inputs: &InputSenders) -> Result<Duration> {
    let (actor, reason) = ("bench".to_string(), "measurement".to_string());
    let stop = Input::Stop {
        scope: StopScope::Global,
        level: StopLevel::L1,
        actor: actor.clone(),
        reason: reason.clone(),
    };
    let begun = Instant::now();
    acknowledged(inputs, stop).await?;
    let elapsed = begun.elapsed();
    acknowledged(inputs, Input::ClearStop { scope: StopScope::Global, actor, reason }).await?;
    Ok(elapsed)
}

async fn acknowledged(inputs: &InputSenders, input: Input) -> Result<()> {
    let (reply_to, response) = oneshot::channel();
    inputs.controls.send((input, reply_to)).await?;
    let response = response.await?;
    anyhow::ensure!(response == EngineResponse::Done, "the engine responded {response:?}");
    Ok(())
}

/// Returns an engine under the wall clock, with its record in `dir`, over a slow cluster in which the image of `incidents`
/// Deployments does not exist; and these Deployments.
async fn engine(
    dir: &std::path::Path,
    incidents: usize,
    latency: Duration,
) -> Result<(bootstrap::RunningEngine, Vec<ObjectRef>)> {
    std::fs::create_dir_all(dir)?;
    let warm_up = SignedDuration::from_mins(15);
    let start = Timestamp::now() - warm_up - FAULT_AGE;
    let file = scaled(&datasets::world("shop")?, incidents.max(10))?;
    let mut world = World::with_naming(&file, 1, start, Naming::Literal)?;
    world.advance_fully(start + warm_up);
    let targets: Vec<ObjectRef> = world
        .objects()
        .filter(|object| object.kind().kind == "Deployment")
        .map(|object| object.reference(bootstrap::CLUSTER))
        .take(incidents)
        .collect();
    let world = Arc::new(Mutex::new(world));
    let cluster = SimulatedCluster::new(world.clone(), bootstrap::CLUSTER);
    for target in &targets {
        break_image(&cluster, target).await?;
    }
    world.lock().expect("no other thread uses the world yet").advance_fully(Timestamp::now());
    let cluster: Arc<DelayedCluster> = Arc::new(DelayedCluster::new(cluster, latency));
    let metrics: Arc<dyn Metrics> = cluster.clone();
    let options = bootstrap::EngineOptions::at(Autonomy::Approve, PolicyName::default().policy());
    let store = bootstrap::open_store(dir, Salts::System)?;
    let mut running =
        bootstrap::engine_over(cluster, metrics, bootstrap::EngineTime::wall(), 1, options, store)
            .await?;
    running.engine.import(datasets::HISTORY, datasets::history()?).await?;
    Ok((running, targets))
}

/// Sets the image of the first container to a tag that does not exist.
async fn break_image(cluster: &SimulatedCluster, target: &ObjectRef) -> Result<()> {
    let deployment = cluster
        .get(target, cluster::Consistency::Latest)
        .await?
        .with_context(|| format!("{target} is missing"))?;
    let pointer = "/spec/template/spec/containers/0";
    let container = deployment.at(pointer).context("a Deployment without containers")?;
    let image = container["image"].as_str().context("a container without an image")?;
    let repository = image.rsplit_once(':').map_or(image, |(repository, _)| repository);
    let container = json!({"name": container["name"], "image": format!("{repository}:missing")});
    let patch = json!({"spec": {"template": {"spec": {"containers": [container]}}}});
    let request = Request {
        target: target.clone(),
        verb: Verb::Patch { patch: Patch::Strategic(patch), subresource: None },
        preconditions: Preconditions::default(),
        mode: Mode::Commit,
        agent: Agent::default(),
    };
    match cluster.send(&request).await {
        WriteReply::Accepted(_) => Ok(()),
        other => anyhow::bail!("cannot set the image of {target}: {other:?}"),
    }
}

fn alert(target: &ObjectRef) -> Value {
    json!({
        "status": "firing",
        "startsAt": Timestamp::now().to_string(),
        "labels": {
            "alertname": "KubeDeploymentRolloutStuck",
            "severity": "warning",
            "namespace": target.namespace,
            "deployment": target.name,
        },
        "annotations": {"summary": "The rollout of the Deployment is not progressing."},
    })
}

/// Returns the value below or equal to which `percent` percent of `times` are. Sorts `times`.
fn percentile(times: &mut [Duration], percent: usize) -> Duration {
    times.sort_unstable();
    times[(times.len() * percent).div_ceil(100).clamp(1, times.len()) - 1]
}
