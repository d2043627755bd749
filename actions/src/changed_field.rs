use cluster::{Container, Object, ObjectRef};
use serde_json::Value;
use workflow::fact::{Fact, Predicate};

/// A field of an object that changed.
#[derive(Clone, Copy, Debug)]
pub struct ChangedField<'a> {
    /// The object in its current state.
    pub object: &'a Object,
    /// JSON pointer to the field.
    pub pointer: &'a str,
    /// The value before the change, null if there was none.
    pub before: &'a Value,
}

impl ChangedField<'_> {
    /// Returns the name of the container that the field belongs to.
    pub(crate) fn container(&self) -> Option<String> {
        let pointer = self.pointer.split('/').take(6).collect::<Vec<_>>().join("/");
        Some(Container::of(self.object.at(&pointer)?).name().to_string())
    }

    /// Returns the last member of the pointer, still escaped.
    pub(crate) fn leaf(&self) -> &str {
        self.pointer.rsplit('/').next().unwrap_or_default()
    }
}

/// Returns the fact that `value` is the known-good value of a field. `None` if the field did not exist.
pub(crate) fn known_good_fact(
    subject: &ObjectRef,
    predicate: Predicate,
    key: &str,
    value: Option<&Value>,
) -> Option<Fact> {
    let value = value.filter(|value| !value.is_null())?.clone();
    Some(Fact { subject: subject.clone(), predicate, key: key.into(), value })
}
