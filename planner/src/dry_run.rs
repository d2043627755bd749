use actions::Next;
use cluster::{Agent, Cluster, Consistency, Mode, ObjectRef, ReadFailure, Reply, Request};
use workflow::run::ObjectQuery;
use workflow::{Candidate, Catalogue, Step};

/// Maximum number of rounds of reads and sends for one step.
const MAX_ROUND_TRIPS: usize = 16;

/// Sends each change of a candidate to the cluster as a server-side dry run, which stores nothing.
///
/// Returns the replies to the changes in order, up to and including the first failure. Each step is tried against the
/// current state of the cluster. A step that fails on an object which an earlier step changes is skipped, because it
/// may depend on that change; the run finds out.
pub async fn dry_run(
    cluster: &dyn Cluster,
    candidate: &Candidate,
    catalogue: &Catalogue,
) -> Vec<Reply> {
    let mut accepted = Vec::new();
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
        if let Some(failure) = dry_run_step(cluster, step, catalogue, &mut accepted).await {
            if is_changed_before {
                continue;
            }
            accepted.push(failure);
            return accepted;
        }
        changed.extend(target);
    }
    accepted
}

/// Dry-runs one step. Adds the replies to its changes to `accepted` and returns the reply that failed, if any.
async fn dry_run_step(
    cluster: &dyn Cluster,
    step: &Step,
    catalogue: &Catalogue,
    accepted: &mut Vec<Reply>,
) -> Option<Reply> {
    let spec = catalogue.get(&step.action)?;
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
                    replies.push(read(cluster, &query).await);
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
                match &reply {
                    Reply::Accepted(_)
                    | Reply::Found(_)
                    | Reply::Deleted
                    | Reply::Conflict { .. }
                    | Reply::Listed(_) => accepted.push(reply.clone()),
                    Reply::NotFound
                    | Reply::Refused { .. }
                    | Reply::Throttled { .. }
                    | Reply::Unknown { .. } => return Some(reply),
                }
                replies.push(reply);
            }
            Next::Wait(_) | Next::RequestApproval(_) => replies.push(Reply::NotFound),
            Next::Done { .. } => return None,
            Next::Refused { code, message: why, .. } => {
                return Some(Reply::Refused { code: 422, reason: code, message: why });
            }
        }
    }
    Some(Reply::Unknown {
        message: format!(
            "the dry run of `{}` did not finish within {MAX_ROUND_TRIPS} round trips",
            step.action
        ),
    })
}

async fn read(cluster: &dyn Cluster, query: &ObjectQuery) -> Reply {
    let failed = |failure: ReadFailure| match failure {
        ReadFailure::Refused { resource: what, code, message } => Reply::Refused {
            code,
            reason: "Forbidden".into(),
            message: format!("{what}: {message}"),
        },
        ReadFailure::Unavailable { .. } | ReadFailure::Gone => {
            Reply::Unknown { message: failure.to_string() }
        }
    };
    match query {
        ObjectQuery::One(object) => match cluster.get(object, Consistency::Latest).await {
            Ok(Some(found)) => Reply::Found(found),
            Ok(None) => Reply::NotFound,
            Err(failure) => failed(failure),
        },
        ObjectQuery::Many(query) => match cluster::list_all(cluster, query.clone()).await {
            Ok(items) => Reply::Listed(items),
            Err(failure) => failed(failure),
        },
    }
}
