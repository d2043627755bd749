use actions::Next;
use cluster::{Agent, Cluster, Consistency, Mode, ObjectRef, ReadFailure, Reply, Request};
use workflow::run::ObjectQuery;
use workflow::{Candidate, Catalogue, Step};

/// How many rounds of reading and asking one step may take.
const ROUNDS: usize = 16;

/// Asks the cluster whether it would take each change of a candidate, storing nothing; the answers to the changes in
/// order, up to the first that stands in the way.
///
/// Each step is asked of the cluster as it is now. A later step on an object that an earlier one changes may find
/// itself wanting that change first: that is left for the run to see.
pub async fn dry_run(
    cluster: &dyn Cluster,
    candidate: &Candidate,
    catalogue: &Catalogue,
) -> Vec<Reply> {
    let mut answers = Vec::new();
    let mut changed: Vec<ObjectRef> = Vec::new();
    for step in &candidate.workflow.spec.steps {
        let is_open = step.arguments.values().any(|value| value.to_string().contains("${{"));
        let Some(spec) =
            catalogue.get(&step.action).filter(|spec| spec.target.is_some() && !is_open)
        else {
            continue;
        };
        let target = actions::target(spec, &step.arguments, cluster.name());
        let depends =
            target.as_ref().is_some_and(|target| changed.iter().any(|other| other.is_same(target)));
        if let Some(objection) = ask(cluster, step, catalogue, &mut answers).await {
            if depends {
                continue;
            }
            answers.push(objection);
            return answers;
        }
        changed.extend(target);
    }
    answers
}

/// Walks one step; what stands in its way, if something does.
async fn ask(
    cluster: &dyn Cluster,
    step: &Step,
    catalogue: &Catalogue,
    answers: &mut Vec<Reply>,
) -> Option<Reply> {
    let spec = catalogue.get(&step.action)?;
    let mut replies: Vec<Reply> = Vec::new();
    // Without a cluster of its own an argument means the cluster that is asked.
    let mut arguments = step.arguments.clone();
    if let Some(target) = spec
        .target
        .as_ref()
        .and_then(|name| arguments.get_mut(name))
        .and_then(|target| target.as_object_mut())
    {
        target.entry("cluster").or_insert_with(|| cluster.name().into());
    }
    for _ in 0..ROUNDS {
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
                    | Reply::Listed(_) => answers.push(reply.clone()),
                    Reply::Absent
                    | Reply::Refused { .. }
                    | Reply::Throttled { .. }
                    | Reply::Unknown { .. } => return Some(reply),
                }
                replies.push(reply);
            }
            Next::Wait(_) | Next::Ask(_) => replies.push(Reply::Absent),
            Next::Done { .. } => return None,
            Next::Refused { code, why, .. } => {
                return Some(Reply::Refused { code: 422, reason: code, message: why });
            }
        }
    }
    Some(Reply::Unknown {
        message: format!("`{}` came to no end within {ROUNDS} rounds", step.action),
    })
}

async fn read(cluster: &dyn Cluster, query: &ObjectQuery) -> Reply {
    let failed = |failure: ReadFailure| match failure {
        ReadFailure::Refused { what, code, message } => Reply::Refused {
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
            Ok(None) => Reply::Absent,
            Err(failure) => failed(failure),
        },
        ObjectQuery::Many(query) => match cluster::list_all(cluster, query.clone()).await {
            Ok(items) => Reply::Listed(items),
            Err(failure) => failed(failure),
        },
    }
}
