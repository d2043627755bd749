//! `chiron experiment`: compares two variants.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use api::{
    CreateExperimentRequest, CreateExperimentResponse, ExperimentItem, ExperimentResponse,
    ExperimentResultsResponse,
};
use serde_saphyr::{MessageFormatter as _, UserMessageFormatter};
use workflow::validate::{Code, validate_manifest};
use workflow::{Diagnostic, Limits, Severity};

use crate::cli::client::{Connection, ListArgs, Reason, encode_segment, with_client};
use crate::cli::input_file;
use crate::cli::lint::{EXIT_INVALID, write_human};
use crate::cli::output::{lines, show, show_list};

/// Creates, starts, stops and evaluates experiments.
#[derive(clap::Subcommand)]
pub(crate) enum Command {
    /// Creates an experiment. It is a draft until it is started.
    Create {
        /// File with the experiment as YAML or JSON: name, hypothesis, and two variants with share and treatment; `-`
        /// reads standard input.
        #[arg(short, long, value_name = "FILE")]
        file: PathBuf,
        #[command(flatten)]
        connection: Connection,
    },
    /// Lists experiments.
    List {
        #[command(flatten)]
        list: ListArgs,
        #[command(flatten)]
        connection: Connection,
    },
    /// Starts an experiment: new incidents are assigned a variant.
    Start(ExperimentControlArgs),
    /// Stops an experiment.
    Stop(ExperimentControlArgs),
    /// Shows the results of an experiment: whether there is enough data, and the confidence intervals.
    Results {
        /// Id of the experiment.
        id: String,
        #[command(flatten)]
        connection: Connection,
    },
}

/// A control command for an experiment.
#[derive(clap::Args)]
pub(crate) struct ExperimentControlArgs {
    /// Id of the experiment.
    id: String,
    #[command(flatten)]
    reason: Reason,
    #[command(flatten)]
    connection: Connection,
}

/// Runs an `experiment` command.
///
/// # Errors
/// If the server refuses the request or cannot be reached.
pub(crate) fn run(command: &Command) -> Result<ExitCode> {
    match command {
        Command::Create { file, connection } => {
            let bytes = input_file::read(file)?;
            let body = match body(&bytes) {
                Ok(body) => body,
                Err(findings) => {
                    let (mut err, name) = (std::io::stderr().lock(), file.display().to_string());
                    for finding in &findings {
                        write_human(&mut err, &name, finding, &bytes)?;
                    }
                    return Ok(ExitCode::from(EXIT_INVALID));
                }
            };
            with_client(connection, async |client| {
                let created: CreateExperimentResponse = client.post("/experiments", &body).await?;
                client.print(&created, |created| {
                    let next = format!("experiment start {}", created.0.id);
                    format!("{}\n{}", lines(created), client.next_command(&next))
                })?;
                Ok(ExitCode::SUCCESS)
            })
        }
        Command::List { list, connection } => show_list::<ExperimentItem>(
            connection,
            "/experiments",
            list.query(),
            &[
                ("ID", "id"),
                ("STATUS", "status"),
                ("NAME", "name"),
                ("VARIANTS", "variants"),
                ("EXPOSURES", "exposures"),
            ],
        ),
        Command::Start(args) => control(args, "start"),
        Command::Stop(args) => control(args, "stop"),
        Command::Results { id, connection } => {
            let path = format!("/experiments/{}/results", encode_segment(id));
            show::<ExperimentResultsResponse>(connection, &path)
        }
    }
}

/// Parses an experiment file into a request body, or returns its findings.
fn body(bytes: &[u8]) -> Result<CreateExperimentRequest, Vec<Diagnostic>> {
    // The manifest validator also reports that an experiment is not a workflow. Only its findings about the text itself
    // apply here.
    let read = validate_manifest(bytes, &actions::catalogue(), &Limits::default());
    let is_of_the_text = |finding: &Diagnostic| {
        finding.severity == Severity::Error && finding.code.as_str() < Code::ApiVersion.as_str()
    };
    let findings: Vec<_> = read.diagnostics.into_iter().filter(is_of_the_text).collect();
    if !findings.is_empty() {
        return Err(findings);
    }
    // Same parsing as on the server, but here the position of an error is known.
    let text = String::from_utf8_lossy(bytes);
    serde_saphyr::from_str(&text).map_err(|error| vec![finding(&error)])
}

/// Converts a deserialization error into a finding.
fn finding(error: &serde_saphyr::Error) -> Diagnostic {
    use serde_saphyr::Error;
    let one_of = |words: &[&str]| format!("use one of {}", words.join(", "));
    let (code, message, hint) = match error.without_snippet() {
        Error::SerdeUnknownField { field, expected, .. } => {
            (Code::UnknownField, format!("unknown field `{}`", field.escape_debug()), one_of(expected))
        }
        Error::SerdeUnknownVariant { variant, expected, .. } => {
            (Code::NotOneOf, format!("unknown value `{}`", variant.escape_debug()), one_of(expected))
        }
        Error::SerdeMissingField { field, .. } => (
            Code::MissingField,
            format!("the field `{field}` is missing"),
            format!("add `{field}` to the mapping that begins here"),
        ),
        other => (
            Code::WrongType,
            UserMessageFormatter.format_message(other).escape_debug().to_string(),
            "an experiment has a name, an optional hypothesis, and two variants, each with name, share and treatment".into(),
        ),
    };
    let place = error.location().map(|at| (at.line() as usize, at.column() as usize));
    let (line, column) = place.unwrap_or((1, 1));
    Diagnostic {
        code: code.to_string(),
        severity: Severity::Error,
        message,
        path: String::new(),
        line,
        column,
        hint,
    }
}

fn control(args: &ExperimentControlArgs, verb: &str) -> Result<ExitCode> {
    with_client(&args.connection, async |client| {
        let path = format!("/experiments/{}/{verb}", encode_segment(&args.id));
        let experiment: ExperimentResponse = client.post(&path, &args.reason.body()).await?;
        client.print(&experiment, lines)?;
        Ok(ExitCode::SUCCESS)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn invalid_experiment_file_gives_code_position_and_hint() {
        let with = |variants: &str| format!("name: x\nvariants:\n  - {variants}\n");
        let baseline = "treatment: {kind: baseline}";
        for (text, code, line, column, words) in [
            ("name: x\nvariants: [\n  - a: }\n".into(), "CHI0103", 3, 3, ""),
            ("name: x\nname: y\n".into(), "CHI0112", 2, 1, "name"),
            (String::new(), "CHI0104", 1, 1, ""),
            ("name: x\nvariantz: []\n".into(), "CHI0123", 2, 1, "`variantz`"),
            ("hypothesis: y\n".into(), "CHI0122", 1, 1, "`name`"),
            (with(&format!("{{name: a, share: half, {baseline}}}")), "CHI0124", 3, 22, ""),
            (with("{name: a, share: 1, treatment: {kind: all}}"), "CHI0125", 3, 37, "`all`"),
        ] {
            let findings = body(text.as_bytes()).unwrap_err();
            let [found] = &findings[..] else { panic!("{text}: {findings:?}") };
            let place = (found.code.as_str(), found.line, found.column);
            assert_eq!(place, (code, line, column), "{text}: {found:?}");
            assert!(found.message.contains(words) && !found.hint.is_empty(), "{found:?}");
        }
        assert!(body(b"\xff").is_err_and(|found| found[0].code == "CHI0101"));
        let good = with(&format!("{{name: a, share: 0.5, {baseline}}}"));
        assert_eq!(body(good.as_bytes()).unwrap().variants[0].share, 0.5);
    }
}
