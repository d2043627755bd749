//! `chiron simulate`: serves a simulated cluster as a Kubernetes API.

use std::io::Write as _;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::{Context as _, Result};
use cluster::{Kind, Metadata, Object};
use jiff::{SignedDuration, Timestamp};
use simulator::http::{self, ClockSource};
use simulator::{AlertMode, World, WorldFile};
use tokio::net::TcpListener;

use crate::cli::SEED;
use crate::datasets;
use crate::shutdown::Shutdown;

/// Serves a simulated cluster.
#[derive(clap::Subcommand)]
pub(crate) enum Command {
    /// Serves a simulated cluster as a Kubernetes API over TLS on the loopback interface, until interrupted.
    Serve(Args),
}

/// The simulated cluster and how it is served.
#[derive(clap::Args)]
#[command(
    after_help = "EXAMPLES\n  chiron simulate serve --kubeconfig sim.kubeconfig\n  kubectl --kubeconfig sim.kubeconfig get pods -A"
)]
pub(crate) struct Args {
    /// Random seed of names and events.
    #[arg(long, default_value_t = SEED)]
    seed: u64,
    /// Name of a built-in world, or path of a world file.
    #[arg(long, default_value = "shop")]
    world: String,
    /// Port on 127.0.0.1; 0 selects a free port.
    #[arg(long, default_value_t = 0)]
    port: u16,
    /// Kubeconfig file to write, readable only by its owner. A file that Chiron did not write is not replaced.
    #[arg(long, value_name = "FILE")]
    kubeconfig: PathBuf,
    /// Simulated seconds per second.
    #[arg(long, default_value_t = 1.0, value_parser = super::serve::speed)]
    speed: f64,
    /// Removes the nodes of the world: pods are not scheduled, and no kubelet reports their status.
    #[arg(long)]
    without_nodes: bool,
    /// Delay of each response in milliseconds, half before the effect and half after it.
    #[arg(long, value_name = "MS", default_value_t = 0)]
    delay_ms: u64,
}

/// Age of the world when it is served: its pods are ready.
const WARM_UP: SignedDuration = SignedDuration::from_mins(2);
/// Namespaces that exist in every cluster.
const NAMESPACES: [&str; 4] = ["default", "kube-node-lease", "kube-public", "kube-system"];

pub(crate) fn run(command: &Command) -> Result<ExitCode> {
    let Command::Serve(args) = command;
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(serve(args))?;
    Ok(ExitCode::SUCCESS)
}

async fn serve(args: &Args) -> Result<()> {
    let shutdown = Shutdown::listen()?;
    let mut file = world(&args.world)?;
    complete(&mut file, args.without_nodes);
    let now = Timestamp::now();
    let mut world = World::new(&file, args.seed, now - WARM_UP)?;
    world.set_alert_mode(AlertMode::None);
    world.advance_fully(now);
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, args.port));
    let listener = TcpListener::bind(address)
        .await
        .with_context(|| format!("cannot listen on {address}: use another --port"))?;
    let options = http::ServerOptions {
        name: file.metadata.name.clone(),
        clock: ClockSource::Wall { speed: args.speed },
        delay: Duration::from_millis(args.delay_ms),
        change_hook: None,
    };
    let handle = http::serve(Arc::new(Mutex::new(world)), listener, options)?;
    crate::kubeconfig::write(&args.kubeconfig, &handle.kubeconfig)?;
    {
        let mut out = std::io::stdout().lock();
        writeln!(
            out,
            "serving https://{}, kubeconfig: {}",
            handle.address,
            args.kubeconfig.display()
        )?;
        out.flush()?;
    }
    shutdown.recv().await;
    drop(handle);
    Ok(())
}

/// Returns a built-in world or the world in a file.
fn world(name: &str) -> Result<WorldFile> {
    let path = Path::new(name);
    if !path.is_file() {
        return datasets::world(name);
    }
    let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {name}"))?;
    let file = WorldFile::parse(&text).with_context(|| format!("world {name}"))?;
    match file.spec.base.clone() {
        None => Ok(file),
        Some(base) => {
            file.extend(&datasets::world(&base)?).with_context(|| format!("world {name}"))
        }
    }
}

/// Adds the namespaces of every cluster, and removes nodes if requested.
fn complete(file: &mut WorldFile, without_nodes: bool) {
    let objects = &mut file.spec.objects;
    if without_nodes {
        objects.retain(|object| object.kind().kind != "Node");
    }
    for name in NAMESPACES.iter().rev() {
        let exists = objects
            .iter()
            .any(|object| object.kind().kind == "Namespace" && object.name() == *name);
        if !exists {
            let metadata = Metadata { name: (*name).into(), ..Metadata::default() };
            objects.insert(0, Object::new(Kind::new("v1", "Namespace"), metadata, [].into()));
        }
    }
}
