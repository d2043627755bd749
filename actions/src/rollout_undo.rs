use cluster::{
    Deployment, Digest, JsonOp, Kind, ListQuery, Object, ObjectRef, ReadReply, ReplicaSet,
    canonical_json,
};
use serde_json::{Value, json};
use workflow::catalogue::Permission;
use workflow::fact::{Facts, Predicate};
use workflow::run::ObjectQuery;
use workflow::{ActionClass, ActionSpec, Args, ErrorCode};

use crate::argument::{arguments, integer};
use crate::change::{ChangeInput, Proposed, ProposedChange};
use crate::declaration::{fact, permission, priors, reversible};
use crate::refused::Refused;
use crate::rollout_restart::{is_paused, paused};
use crate::{Action, FieldClass, Symptom};

/// Annotation with the earlier revisions of a ReplicaSet that was reused by a rollback, comma-separated.
const HISTORY: &str = "deployment.kubernetes.io/revision-history";
/// Label that the Deployment controller adds to distinguish its ReplicaSets; not part of the template.
const HASH: &str = "pod-template-hash";

/// Rolls a Deployment back to an earlier revision.
pub struct RolloutUndo;

impl Action for RolloutUndo {
    fn name(&self) -> &'static str {
        "rollout-undo"
    }

    fn spec(&self) -> ActionSpec {
        let arguments = json!({
            "revision": {"type": "integer", "minimum": 1, "description": "The number of the revision to roll back to."},
            "expect": {"type": "string", "pattern": "^sha256:[0-9a-f]{64}$", "description": "Digest of the pod template that must be set now; with any other template, nothing is changed."},
        });
        let list: Permission = permission("list", "ReplicaSet");
        // The whole template is replaced, so any of these facts may change.
        let changed = [
            Predicate::Image,
            Predicate::Env,
            Predicate::MemoryLimit,
            Predicate::ProbePath,
            Predicate::ProbePort,
            Predicate::ListensOn,
            Predicate::ReferencesKey,
        ];
        let base = reversible(
            self.name(),
            "Rolls a Deployment back to the pod template of an earlier revision.",
            &["Deployment"],
            arguments,
            &["revision"],
        );
        ActionSpec {
            class: ActionClass::Marked,
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

    fn propose(&self, input: &ChangeInput<'_>) -> Result<Proposed, Refused> {
        let ChangeInput { args, object, also_read, .. } = *input;
        let revision = integer(args, "revision")?;
        if is_paused(object) {
            return Err(paused());
        }
        let [ReadReply::Listed(sets)] = also_read else {
            return Err(Refused {
                code: ErrorCode::Unreadable,
                message: "its ReplicaSets could not be listed, so its revisions are unknown".into(),
            });
        };
        let own: Vec<&Object> = sets
            .iter()
            .filter(|set| set.controller().is_some_and(|owner| owner.uid == object.metadata().uid))
            .collect();
        let Some(template) =
            own.iter().find(|set| has_revision(set, revision)).and_then(|set| template_of(set))
        else {
            let known: Vec<String> = own
                .iter()
                .filter_map(|set| Some(ReplicaSet::of(set)?.revision()?.to_string()))
                .collect();
            return Err(Refused {
                code: ErrorCode::NoRevision,
                message: format!(
                    "revision {revision} does not exist; the revisions are {}",
                    known.join(", ")
                ),
            });
        };
        let current = object.at("/spec/template").cloned().unwrap_or_default();
        let (before, after) = (digest(&current), digest(&template));
        if before == after {
            return Ok(Proposed::NoChange { value: after });
        }
        if args.get("expect").is_some_and(|expected| *expected != before) {
            return Err(Refused {
                code: ErrorCode::ChangedConcurrently,
                message: "the pod template was changed by someone else since; not modified".into(),
            });
        }
        let present = Deployment::of(object).and_then(|deployment| deployment.revision());
        let undo =
            present.map(|revision| Args::from_iter([("revision".to_string(), revision.into())]));
        Ok(Proposed::Change(ProposedChange {
            operations: vec![JsonOp::Replace { path: "/spec/template".into(), value: template }],
            before,
            after,
            undo,
        }))
    }

    fn also_read(&self, target: &ObjectRef) -> Vec<ObjectQuery> {
        let replica_sets = Kind::new("apps/v1", "ReplicaSet");
        vec![ObjectQuery::Many(ListQuery::latest(replica_sets, target.namespace.as_deref()))]
    }

    fn treats(&self) -> &'static [Symptom] {
        &[Symptom::Image, Symptom::Crash, Symptom::Config, Symptom::Memory, Symptom::Unready]
    }

    fn modified_fields(&self) -> &'static [FieldClass] {
        &[
            FieldClass::Image,
            FieldClass::Env,
            FieldClass::Resources,
            FieldClass::Probe,
            FieldClass::Template,
        ]
    }

    fn derive_arguments(&self, object: &ObjectRef, facts: &Facts) -> Option<Args> {
        let revision = |key| facts.value(object, Predicate::RevisionAvailable, key);
        let revision = revision("known-good").or_else(|| revision("latest"))?;
        Some(arguments([("revision", revision.clone())]))
    }
}

/// Whether a ReplicaSet has this revision, or had it before a rollback reused it.
fn has_revision(set: &Object, revision: u64) -> bool {
    let history = set.metadata().annotations.get(HISTORY);
    ReplicaSet::of(set).and_then(|view| view.revision()) == Some(revision)
        || history
            .is_some_and(|list| list.split(',').any(|number| number.trim().parse() == Ok(revision)))
}

/// Returns the pod template that the Deployment had when it created this ReplicaSet.
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
