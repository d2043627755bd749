use actions::{Next, Reply};
use cluster::{Agent, Cluster, Mode, NotSent, ObjectRef, Request, WriteReply};
use workflow::{ActionSpec, Candidate, Catalogue, Step};

/// Maximum number of rounds of reads and sends for one step.
const MAX_ROUND_TRIPS: usize = 16;

/// Why the dry run of a candidate did not succeed.
#[derive(Clone, Debug, PartialEq)]
pub enum DryRunFailure {
    /// The cluster or the action refuses a change.
    Refused { message: String },
    /// It is unknown whether the cluster would accept a change.
    Unknown { message: String },
}

/// Result of the dry run of a candidate.
pub type DryRunResult = Result<(), DryRunFailure>;

/// Sends each change of a candidate to the cluster as a server-side dry run, which stores nothing.
///
/// Each step is tried against the current state of the cluster. A step that fails on an object which an earlier step
/// changes is skipped, because it may depend on that change; the run finds out.
///
/// # Errors
/// [`DryRunFailure`] of the first change that fails.
pub async fn dry_run(
    cluster: &dyn Cluster,
    candidate: &Candidate,
    catalogue: &Catalogue,
) -> DryRunResult {
    let mut changed: Vec<ObjectRef> = Vec::new();
    for step in &candidate.workflow.spec.steps {
        let has_placeholder =
            step.arguments.values().any(|value| value.to_string().contains("${{"));
        let Some(spec) =
            catalogue.get(&step.action).filter(|spec| spec.target.is_some() && !has_placeholder)
        else {
            continue;
        };
        let target = actions::target(spec, &step.arguments, cluster.name());
        let is_changed_before =
            target.as_ref().is_some_and(|target| changed.iter().any(|other| other.is_same(target)));
        match dry_run_step(cluster, step, spec).await {
            Err(_) if is_changed_before => {}
            Err(failure) => return Err(failure),
            Ok(()) => changed.extend(target),
        }
    }
    Ok(())
}

async fn dry_run_step(cluster: &dyn Cluster, step: &Step, spec: &ActionSpec) -> DryRunResult {
    let mut replies: Vec<Reply> = Vec::new();
    // A target without a cluster name refers to the connected cluster.
    let mut arguments = step.arguments.clone();
    if let Some(target) = spec
        .target
        .as_ref()
        .and_then(|name| arguments.get_mut(name))
        .and_then(|target| target.as_object_mut())
    {
        target.entry("cluster").or_insert_with(|| cluster.name().into());
    }
    for _ in 0..MAX_ROUND_TRIPS {
        match actions::next(spec, &arguments, "dry-run", &replies) {
            Next::Read(queries) => {
                for query in queries {
                    replies.push(Reply::Read(cluster::read(cluster, &query).await));
                }
            }
            Next::Send { target, verb, preconditions } => {
                let request = Request {
                    target,
                    verb,
                    preconditions,
                    mode: Mode::DryRun,
                    agent: Agent::default(),
                };
                let reply = cluster.send(&request).await;
                check_reply(&reply)?;
                replies.push(reply.into());
            }
            Next::Wait(_) => replies.push(Reply::Waited),
            Next::RequestApproval(_) => replies.push(Reply::Approved),
            Next::Done { .. } => return Ok(()),
            Next::Refused { message, .. } => {
                return Err(DryRunFailure::Refused {
                    message: format!("the action cannot be done: {message}"),
                });
            }
        }
    }
    Err(DryRunFailure::Unknown {
        message: format!(
            "the dry run of `{}` did not finish within {MAX_ROUND_TRIPS} round trips",
            step.action
        ),
    })
}

/// Checks that the cluster accepted a change. After a conflict the action reads the object again and makes another attempt.
fn check_reply(reply: &WriteReply) -> DryRunResult {
    match reply {
        WriteReply::Accepted(_) | WriteReply::Deleted | WriteReply::Conflict { .. } => Ok(()),
        WriteReply::Refused { code, reason, message } => Err(DryRunFailure::Refused {
            message: format!("the dry run was refused by the cluster: {code} {reason}: {message}"),
        }),
        WriteReply::NotFound => Err(DryRunFailure::Refused {
            message: "the dry run failed: an object to change no longer exists".into(),
        }),
        WriteReply::Throttled { retry_after_seconds } => Err(DryRunFailure::Unknown {
            message: format!(
                "the cluster throttled the dry run and asked to retry after {retry_after_seconds} s"
            ),
        }),
        WriteReply::Unknown { message } => Err(DryRunFailure::Unknown {
            message: format!("the result of the dry run is unknown: {message}"),
        }),
        WriteReply::NotSent(not_sent) => {
            let message = format!("the dry run was not sent: {not_sent}");
            Err(match not_sent {
                NotSent::OtherCluster { .. } | NotSent::InvalidRequest { .. } => {
                    DryRunFailure::Refused { message }
                }
                NotSent::Unavailable { .. } | NotSent::JournalFailed { .. } => {
                    DryRunFailure::Unknown { message }
                }
            })
        }
    }
}
