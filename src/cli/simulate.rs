//! `chiron simulate`: the simulated cluster by itself, for whoever speaks the Kubernetes API.

use std::io::Write as _;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::{Context as _, Result};
use cluster::{Kind, Metadata, Object};
use jiff::{SignedDuration, Timestamp};
use simulator::http::{self, Pace};
use simulator::{AlertMode, World, WorldFile};
use tokio::net::TcpListener;

use crate::cli::SEED;
use crate::datasets;
use crate::serving::Interruption;

/// What can be done with a simulated cluster by itself.
#[derive(clap::Subcommand)]
pub(crate) enum Command {
    /// Serves it as a Kubernetes API over TLS on loopback, at the speed of the clock, until it is interrupted.
    Serve(Args),
}

/// How it is served.
#[derive(clap::Args)]
#[command(
    after_help = "EXAMPLES\n  chiron simulate serve --kubeconfig sim.kubeconfig\n  kubectl --kubeconfig sim.kubeconfig get pods -A"
)]
pub(crate) struct Args {
    /// Draws names and every chance.
    #[arg(long, default_value_t = SEED)]
    seed: u64,
    /// A world by its name, or the path of its file.
    #[arg(long, default_value = "shop")]
    world: String,
    /// Where it listens on 127.0.0.1; 0 for any free port.
    #[arg(long, default_value_t = 0)]
    port: u16,
    /// Where the kubeconfig is written, readable by you alone; a file that chiron did not write is left alone.
    #[arg(long, value_name = "FILE")]
    kubeconfig: PathBuf,
    /// Simulated seconds a second.
    #[arg(long, default_value_t = 1.0, value_parser = super::serve::speed)]
    speed: f64,
    /// Leaves the world's nodes out, so that pods stay where they are put and nobody reports their status.
    #[arg(long)]
    without_nodes: bool,
    /// How long each answer takes, half of it before the effect and half after.
    #[arg(long, value_name = "MS", default_value_t = 0)]
    delay_ms: u64,
}

/// How long the world has been there when the door opens: its pods are up.
const LEAD_IN: SignedDuration = SignedDuration::from_mins(2);
/// Namespaces that every cluster has.
const NAMESPACES: [&str; 4] = ["default", "kube-node-lease", "kube-public", "kube-system"];

pub(crate) fn run(command: &Command) -> Result<ExitCode> {
    let Command::Serve(args) = command;
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(serve(args))?;
    Ok(ExitCode::SUCCESS)
}

async fn serve(args: &Args) -> Result<()> {
    let interruption = Interruption::listen()?;
    let mut file = world(&args.world)?;
    complete(&mut file, args.without_nodes);
    let now = Timestamp::now();
    let mut world = World::new(&file, args.seed, now - LEAD_IN)?;
    world.set_alert_mode(AlertMode::None);
    world.advance_fully(now);
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, args.port));
    let listener = TcpListener::bind(address)
        .await
        .with_context(|| format!("cannot listen on {address}: take another --port"))?;
    let options = http::Options {
        name: file.metadata.name.clone(),
        pace: Pace::Wall { speed: args.speed },
        delay: Duration::from_millis(args.delay_ms),
        note: None,
    };
    let handle = http::serve(Arc::new(Mutex::new(world)), listener, options)?;
    crate::kubeconfig::write(&args.kubeconfig, &handle.kubeconfig)?;
    {
        let mut out = std::io::stdout().lock();
        writeln!(
            out,
            "serving https://{}, the kubeconfig is {}",
            handle.address,
            args.kubeconfig.display()
        )?;
        out.flush()?;
    }
    interruption.came().await;
    drop(handle);
    Ok(())
}

/// A world by its name, or out of a file.
fn world(name: &str) -> Result<WorldFile> {
    let path = Path::new(name);
    if !path.is_file() {
        return datasets::world(name);
    }
    let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {name}"))?;
    let file = WorldFile::parse(&text).with_context(|| format!("world {name}"))?;
    match file.spec.base.clone() {
        None => Ok(file),
        Some(base) => file.on(&datasets::world(&base)?).with_context(|| format!("world {name}")),
    }
}

/// Adds what every cluster has and a file may leave out.
fn complete(file: &mut WorldFile, without_nodes: bool) {
    let objects = &mut file.spec.objects;
    if without_nodes {
        objects.retain(|object| object.kind().kind != "Node");
    }
    for name in NAMESPACES.iter().rev() {
        let is_there = objects
            .iter()
            .any(|object| object.kind().kind == "Namespace" && object.name() == *name);
        if !is_there {
            let metadata = Metadata { name: (*name).into(), ..Metadata::default() };
            objects.insert(0, Object::new(Kind::new("v1", "Namespace"), metadata, [].into()));
        }
    }
}
