use cluster::{
    Deployment, Digest, JsonOp, Kind, ListQuery, Object, ReplicaSet, Reply, canonical_json,
};
use serde_json::{Value, json};
use workflow::catalogue::Permission;
use workflow::fact::Predicate;
use workflow::run::ObjectQuery;
use workflow::{ActionClass, ActionSpec, Args};

use crate::Next;
use crate::argument::whole;
use crate::change::{Making, Proposal, change};
use crate::declaration::{fact, permission, priors, reversible};
use crate::rollout_restart::{is_paused, paused};

pub(crate) const NAME: &str = "rollout-undo";

/// Revisions that a ReplicaSet stood for before it came back, comma-separated.
const HISTORY: &str = "deployment.kubernetes.io/revision-history";
/// The label by which the Deployment's controller tells its ReplicaSets apart; no part of the template.
const HASH: &str = "pod-template-hash";

pub(crate) fn spec() -> ActionSpec {
    let arguments = json!({
        "revision": {"type": "integer", "minimum": 1, "description": "The revision to go back to, by its number; never `the previous one`."},
        "expect": {"type": "string", "pattern": "^sha256:[0-9a-f]{64}$", "description": "Digest of the pod template that must stand there now; anything else is left as it is."},
    });
    let list: Permission = permission("list", "ReplicaSet");
    // The template is replaced whole: what it asks for may be anything afterwards.
    let changed = [
        Predicate::Image,
        Predicate::Env,
        Predicate::MemoryLimit,
        Predicate::ProbePath,
        Predicate::ProbePort,
        Predicate::ListensOn,
        Predicate::ReadsKey,
    ];
    let base = reversible(
        NAME,
        "Brings a Deployment back to the pod template of an earlier revision.",
        &["Deployment"],
        arguments,
        &["revision"],
    );
    ActionSpec {
        class: ActionClass::B,
        reads: vec![fact(Predicate::Revision, None, None)],
        needs: vec![
            fact(Predicate::Exists, None, Some(json!(true))),
            fact(Predicate::RevisionAvailable, None, Some(json!("$revision"))),
        ],
        effects: changed.into_iter().map(|predicate| fact(predicate, None, None)).collect(),
        permissions: base.permissions.iter().cloned().chain([list]).collect(),
        priors: priors(60, 7.0, 3.0, 90.0),
        ..base
    }
}

pub(crate) fn next(spec: &ActionSpec, args: &Args, _key: &str, replies: &[Reply]) -> Next {
    let sets = |target: &cluster::ObjectRef| {
        vec![ObjectQuery::Many(ListQuery::latest(
            Kind::new("apps/v1", "ReplicaSet"),
            target.namespace.as_deref(),
        ))]
    };
    change(spec, args, replies, sets, |object, beside| propose(args, object, beside))
}

fn propose(args: &Args, object: &Object, beside: &[Reply]) -> Proposal {
    let revision = match whole(args, "revision") {
        Ok(revision) => revision,
        Err(refused) => return refused,
    };
    if is_paused(object) {
        return paused();
    }
    let [Reply::Listed(sets)] = beside else {
        return Proposal::Refuse {
            code: "unreadable",
            why: "its ReplicaSets could not be listed, so its revisions are not known".into(),
        };
    };
    let own: Vec<&Object> = sets
        .iter()
        .filter(|set| set.controller().is_some_and(|owner| owner.uid == object.metadata().uid))
        .collect();
    let Some(template) =
        own.iter().find(|set| stands_for(set, revision)).and_then(|set| template_of(set))
    else {
        let known: Vec<String> = own
            .iter()
            .filter_map(|set| Some(ReplicaSet::of(set)?.revision()?.to_string()))
            .collect();
        return Proposal::Refuse {
            code: "no-revision",
            why: format!("it has no revision {revision} any more; it has {}", known.join(", ")),
        };
    };
    let current = object.at("/spec/template").cloned().unwrap_or_default();
    let (before, after) = (digest(&current), digest(&template));
    if before == after {
        return Proposal::Already { value: after };
    }
    if args.get("expect").is_some_and(|expected| *expected != before) {
        return Proposal::Refuse {
            code: "drifted",
            why: "its pod template was changed by somebody else since, so it is left as it is"
                .into(),
        };
    }
    let present = Deployment::of(object).and_then(|deployment| deployment.revision());
    let undo = present.map(|revision| Args::from_iter([("revision".to_string(), revision.into())]));
    Proposal::Make(Making {
        operations: vec![JsonOp::Replace { path: "/spec/template".into(), value: template }],
        before,
        after,
        undo,
    })
}

/// Whether a ReplicaSet stands, or stood before it came back, for this revision.
fn stands_for(set: &Object, revision: u64) -> bool {
    let past = set.metadata().annotations.get(HISTORY);
    ReplicaSet::of(set).and_then(|view| view.revision()) == Some(revision)
        || past
            .is_some_and(|list| list.split(',').any(|number| number.trim().parse() == Ok(revision)))
}

/// The template that the Deployment had when it made this ReplicaSet.
fn template_of(set: &Object) -> Option<Value> {
    let mut template = set.at("/spec/template")?.clone();
    if let Some(labels) = template.pointer_mut("/metadata/labels").and_then(Value::as_object_mut) {
        labels.remove(HASH);
    }
    Some(template)
}

fn digest(template: &Value) -> Value {
    canonical_json(template)
        .map_or(Value::Null, |text| Digest::of(text.as_bytes()).to_string().into())
}
