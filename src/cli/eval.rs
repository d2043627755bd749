//! `chiron eval`: policies side by side over scenarios, and the making of sample history.

use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context as _, Result, bail};
use clap::Subcommand;
use engine::Sources;
use evals::{
    Chiron, Contestant, DeleteTheObject, DoNothing, Report, RestartEverything, Suite, evaluate,
};
use simulator::Naming;

use crate::datasets;

/// Policies side by side over scenarios.
#[derive(Subcommand)]
pub(crate) enum Command {
    /// Plays every scenario of a suite with every policy and lets the oracle judge.
    Run {
        /// The suite.
        #[arg(long, default_value = "starter")]
        suite: String,
        /// Seeds of each scenario, from 1.
        #[arg(long, default_value_t = 20)]
        seeds: u64,
        /// Policies, in the order of the report.
        #[arg(
            long,
            value_delimiter = ',',
            default_value = "do-nothing,restart-everything,delete-the-object,static-template,chiron"
        )]
        policies: Vec<String>,
        /// Only these families.
        #[arg(long, value_delimiter = ',')]
        families: Vec<String>,
        /// One JSON object in place of the table.
        #[arg(long)]
        json: bool,
    },
    /// Makes sample history with the simulator, in worlds of seeds that no evaluation uses.
    History {
        /// Seeds of each scenario.
        #[arg(long, default_value_t = 12)]
        seeds: u64,
        /// Where it is written, one execution a line.
        #[arg(long)]
        out: PathBuf,
    },
}

/// Seeds from here on make history; evaluations stay below.
const HISTORY_SEEDS: u64 = 1_000_000;

/// Runs an `eval` command.
///
/// # Errors
/// Where an embedded file is damaged, a policy is unknown or the output cannot be written.
pub(crate) fn run(command: &Command) -> Result<ExitCode> {
    let start = crate::cli::start();
    let catalogue = actions::catalogue();
    let full =
        Sources { templates: datasets::templates(&catalogue)?, retrieval: true, reversal: true };
    match command {
        Command::Run { suite, seeds, policies, families, json } => {
            if suite != "starter" {
                bail!("there is no suite `{suite}`; there is: starter");
            }
            let mut suite = self::suite()?;
            suite
                .scenarios
                .retain(|scenario| families.is_empty() || families.contains(&scenario.spec.family));
            let history = Arc::new(datasets::history()?);
            let contestants = policies
                .iter()
                .map(|name| contestant(name, &full, &history))
                .collect::<Result<Vec<_>>>()?;
            let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
            let report = evaluate(&suite, &contestants, *seeds, Naming::Drawn, threads, start)?;
            let mut out = std::io::stdout().lock();
            if *json {
                writeln!(out, "{}", serde_json::to_string_pretty(&report)?)?
            } else {
                table(&mut out, &report)?
            }
        }
        Command::History { seeds, out } => {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            let history =
                runtime.block_on(evals::history(&suite()?, &full, HISTORY_SEEDS, *seeds, start))?;
            let mut text = String::new();
            for execution in &history {
                text.push_str(&workflow::canonical_json(execution)?);
                text.push('\n');
            }
            std::fs::write(out, text).with_context(|| format!("cannot write {}", out.display()))?;
            writeln!(
                std::io::stdout(),
                "{} executions written to {}",
                history.len(),
                out.display()
            )?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn suite() -> Result<Suite> {
    Ok(Suite {
        name: "starter".into(),
        world: datasets::world("shop")?,
        scenarios: datasets::starter()?,
    })
}

fn contestant(
    name: &str,
    full: &Sources,
    history: &Arc<Vec<workflow::PastExecution>>,
) -> Result<Box<dyn Contestant>> {
    Ok(match name {
        "do-nothing" => Box::new(DoNothing),
        "restart-everything" => Box::new(RestartEverything),
        "delete-the-object" => Box::new(DeleteTheObject),
        "static-template" => Box::new(Chiron {
            name: name.into(),
            sources: Sources {
                templates: evals::by_alert_name(&full.templates),
                retrieval: false,
                reversal: false,
            },
            policy: || learner::policy("first"),
            history: Arc::new(Vec::new()),
            seed: 0,
        }),
        "chiron" => Box::new(Chiron {
            name: name.into(),
            sources: full.clone(),
            policy: || learner::policy("igw"),
            history: history.clone(),
            seed: 0,
        }),
        _ => bail!(
            "there is no policy `{name}`; there are: do-nothing, restart-everything, delete-the-object, static-template, chiron"
        ),
    })
}

fn table(out: &mut dyn std::io::Write, report: &Report) -> Result<()> {
    writeln!(
        out,
        "suite {}, {} seeds a scenario; share of worlds mended, by the oracle",
        report.suite, report.seeds
    )?;
    for policy in &report.policies {
        let seconds =
            policy.mean_seconds_to_resolve.map_or("-".into(), |seconds| format!("{seconds:.0} s"));
        let share = policy.mitigation;
        writeln!(
            out,
            "{:<20} {:>4.0} % ({:.0} to {:.0}, n = {})  harmful {}  mean {seconds}",
            policy.policy,
            share.estimate * 100.0,
            share.low * 100.0,
            share.high * 100.0,
            share.n,
            policy.harmful
        )?;
        for family in &policy.families {
            writeln!(
                out,
                "  {:<24} {:>4.0} %  acted in {:>3}  {}",
                family.family,
                family.mitigation.estimate * 100.0,
                family.acted,
                family.verdict
            )?;
        }
    }
    Ok(())
}
