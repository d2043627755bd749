use cluster::{Difference, ObjectChange, ObjectRef};
use serde_json::Value;
use workflow::run::ObjectQuery;
use workflow::{ActionSpec, Args, Condition, ErrorCode, Fact, Facts};

use crate::change::{ChangeInput, Proposed, read_then_patch};
use crate::postcondition::is_rolled_out;
use crate::refused::Refused;
use crate::{ChangedField, FieldClass, Next, Reply, Symptom};

/// An action of the catalogue: everything that Chiron knows about it.
///
/// An action with a target implements [`propose`](Self::propose), an action without one implements
/// [`next`](Self::next). The other methods have defaults for an action that has nothing to add.
pub trait Action: Send + Sync {
    /// Name in workflows: `rollout-restart`.
    fn name(&self) -> &'static str;

    /// Returns the declaration.
    fn spec(&self) -> ActionSpec;

    /// Returns the change that sets the desired state.
    ///
    /// # Errors
    /// [`Refused`] if the change cannot be made. The default refuses every change.
    fn propose(&self, _input: &ChangeInput<'_>) -> Result<Proposed, Refused> {
        Err(Refused {
            code: ErrorCode::NoTarget,
            message: format!("`{}` changes no object", self.name()),
        })
    }

    /// Returns what is read together with the target. Default: nothing.
    fn also_read(&self, _target: &ObjectRef) -> Vec<ObjectQuery> {
        Vec::new()
    }

    /// Returns the next request; see [`crate::next`], which checks the arguments first.
    ///
    /// Default: reads the target, sends the change that [`propose`](Self::propose) returns, and reads again after a
    /// conflict.
    fn next(&self, spec: &ActionSpec, args: &Args, key: &str, replies: &[Reply]) -> Next {
        read_then_patch(
            spec,
            args,
            replies,
            |target| self.also_read(target),
            |object, also_read| self.propose(&ChangeInput { args, key, object, also_read }),
        )
    }

    /// Returns the number of replicas that the action sets on its target. Default: it sets none.
    fn replicas_after(&self, _args: &Args) -> Option<u64> {
        None
    }

    /// Returns the image that the action sets, which must be one that the workload ran before. Default: it sets none.
    fn image<'a>(&self, _args: &'a Args) -> Option<&'a str> {
        None
    }

    /// Returns the default post-conditions, on the target and on the workload that the step remediates if that is another
    /// object. Default: the target, or else the workload, is rolled out and ready.
    fn postconditions(
        &self,
        target: &ObjectRef,
        _args: &Args,
        workload: Option<&ObjectRef>,
    ) -> Vec<Condition> {
        is_rolled_out(target).or_else(|| is_rolled_out(workload?)).into_iter().collect()
    }

    /// Returns the symptoms that the action usually treats. Default: none.
    fn treats(&self) -> &'static [Symptom] {
        &[]
    }

    /// Returns the classes of fields that the action sets. Default: none.
    fn modified_fields(&self) -> &'static [FieldClass] {
        &[]
    }

    /// Returns whether these arguments select the field at the display path `path`, a field of the target in one of the
    /// classes of [`modified_fields`](Self::modified_fields). Default: every such field.
    fn selects(&self, _args: &Args, _path: &str) -> bool {
        true
    }

    /// Returns whether the action with these arguments sets the field of `difference`.
    fn modifies(&self, args: &Args, difference: &Difference) -> bool {
        let ObjectChange::Field { path, .. } = &difference.change else { return false };
        let Some(target) = args.get("target") else { return false };
        let text = |field: &str| target.get(field).and_then(Value::as_str);
        text("kind") == Some(&difference.object.kind)
            && text("name") == Some(&difference.object.name)
            && FieldClass::of(difference)
                .is_some_and(|field| self.modified_fields().contains(&field))
            && self.selects(args, path)
    }

    /// Returns the arguments, without the target, that set a field of one of the classes of
    /// [`modified_fields`](Self::modified_fields) back to its earlier value. At most one action restores each class.
    /// Default: the action restores no field.
    fn restore(&self, _field: &ChangedField<'_>) -> Option<Args> {
        None
    }

    /// Returns the known-good value that arguments of [`restore`](Self::restore) contain, as a fact about `subject`, which
    /// templates match. Default: none.
    fn known_good_fact(&self, _subject: &ObjectRef, _args: &Args) -> Option<Fact> {
        None
    }

    /// Returns the arguments, without the target, for repeating the action of a past incident on `object`, from the facts
    /// of the current one. Default: the action is repeated only if it restores a changed field.
    fn derive_arguments(&self, _object: &ObjectRef, _facts: &Facts) -> Option<Args> {
        None
    }
}
