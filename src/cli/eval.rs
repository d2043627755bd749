//! `chiron eval`: evaluates policies on scenarios, and generates sample history.

use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context as _, Result, bail};
use clap::Subcommand;
use engine::ProposalSources;
use evals::{
    Chiron, DeleteTheObject, DoNothing, EvaluationReport, RestartEverything, Suite,
    SystemUnderTest, evaluate,
};
use simulator::Naming;

use crate::datasets;

/// Evaluates policies on simulated scenarios.
#[derive(Subcommand)]
pub(crate) enum Command {
    /// Runs each scenario of a suite with each policy; an oracle judges the results.
    Run {
        /// Name of the suite.
        #[arg(long, default_value = "starter")]
        suite: String,
        /// Number of seeds per scenario, counted from 1.
        #[arg(long, default_value_t = 20)]
        seeds: u64,
        /// Policies to evaluate, in the order of the report.
        #[arg(
            long,
            value_delimiter = ',',
            default_value = "do-nothing,restart-everything,delete-the-object,static-template,chiron"
        )]
        policies: Vec<String>,
        /// Evaluates only these fault families. Default: all.
        #[arg(long, value_delimiter = ',')]
        families: Vec<String>,
        /// Prints a JSON object instead of a table.
        #[arg(long)]
        json: bool,
    },
    /// Generates sample history with the simulator, from seeds that no evaluation uses.
    GenerateHistory {
        /// Number of seeds per scenario.
        #[arg(long, default_value_t = 12)]
        seeds: u64,
        /// File to write, one execution per line.
        #[arg(long)]
        out: PathBuf,
    },
}

/// First seed of generated history; evaluations use smaller seeds.
const HISTORY_SEEDS: u64 = 1_000_000;

/// Runs an `eval` command.
///
/// # Errors
/// If an embedded file is invalid, a suite or policy is unknown, or the output cannot be written.
pub(crate) fn run(command: &Command) -> Result<ExitCode> {
    let start = crate::bootstrap::start();
    let catalogue = actions::catalogue();
    let full = ProposalSources {
        templates: datasets::templates(&catalogue)?,
        retrieval: true,
        reversal: true,
    };
    match command {
        Command::Run { suite, seeds, policies, families, json } => {
            if suite != "starter" {
                bail!("the suite `{suite}` does not exist; use: starter");
            }
            let mut suite = self::suite()?;
            suite
                .scenarios
                .retain(|scenario| families.is_empty() || families.contains(&scenario.spec.family));
            let history = Arc::new(datasets::history()?);
            let subjects = policies
                .iter()
                .map(|name| subject(name, &full, &history))
                .collect::<Result<Vec<_>>>()?;
            let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
            let report = evaluate(&suite, &subjects, *seeds, Naming::Random, threads, start)?;
            let mut out = std::io::stdout().lock();
            if *json {
                writeln!(out, "{}", serde_json::to_string_pretty(&report)?)?
            } else {
                print_table(&mut out, &report)?
            }
        }
        Command::GenerateHistory { seeds, out } => {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            let history = runtime.block_on(evals::generate_history(
                &suite()?,
                &full,
                HISTORY_SEEDS,
                *seeds,
                start,
            ))?;
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

fn subject(
    name: &str,
    full: &ProposalSources,
    history: &Arc<Vec<workflow::PastExecution>>,
) -> Result<Box<dyn SystemUnderTest>> {
    Ok(match name {
        "do-nothing" => Box::new(DoNothing),
        "restart-everything" => Box::new(RestartEverything),
        "delete-the-object" => Box::new(DeleteTheObject),
        "static-template" => Box::new(Chiron {
            name: name.into(),
            sources: ProposalSources {
                templates: evals::runbook_templates(&full.templates),
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
            "the policy `{name}` does not exist; use one of: do-nothing, restart-everything, delete-the-object, static-template, chiron"
        ),
    })
}

fn print_table(out: &mut dyn std::io::Write, report: &EvaluationReport) -> Result<()> {
    writeln!(
        out,
        "suite {}, {} seeds per scenario; proportion of faults mitigated, as judged by the oracle",
        report.suite, report.seeds
    )?;
    for policy in &report.policies {
        let seconds =
            policy.mean_seconds_to_resolve.map_or("-".into(), |seconds| format!("{seconds:.0} s"));
        let share = policy.mitigation;
        writeln!(
            out,
            "{:<20} {:>4.0} % ({:.0} to {:.0}, n = {})  harmful {}  mean time to resolve {seconds}",
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
                "  {:<24} {:>4.0} %  runs with changes {:>3}  {}",
                family.family,
                family.mitigation.estimate * 100.0,
                family.acted,
                family.verdict.as_str()
            )?;
        }
    }
    Ok(())
}
