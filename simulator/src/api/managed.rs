//! Field ownership: `metadata.managedFields`.
//!
//! Only the entries of named managers are stored. The entries of the built-in controllers are derived on read, so that
//! their frequent small changes do not update `managedFields`.

use cluster::Object;
use jiff::Timestamp;
use serde_json::{Value, json};

use super::fields::{Changes, FieldSet};
use super::status_error::{StatusCause, StatusError};

const MANAGED_FIELDS: &str = "managedFields";
const CONTROLLERS: &str = "kube-controller-manager";
const KUBELET: &str = "kubelet";
/// The manager of the objects in a world file.
const INITIAL_MANAGER: &str = "kubectl-create";
/// Fields without an owner.
const UNOWNED_FIELDS: &[&[&str]] = &[
    &["f:apiVersion"],
    &["f:kind"],
    &["f:metadata", "f:name"],
    &["f:metadata", "f:namespace"],
    &["f:metadata", "f:uid"],
    &["f:metadata", "f:resourceVersion"],
    &["f:metadata", "f:generation"],
    &["f:metadata", "f:generateName"],
    &["f:metadata", "f:creationTimestamp"],
    &["f:metadata", "f:deletionTimestamp"],
    &["f:metadata", "f:deletionGracePeriodSeconds"],
    &["f:metadata", "f:selfLink"],
    &["f:metadata", "f:managedFields"],
];

/// `managedFields[].operation`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum ManagerOperation {
    Apply,
    Update,
}

/// One entry of `managedFields`: a manager and the fields that it owns.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct ManagedFieldsEntry {
    name: String,
    operation: ManagerOperation,
    api_version: String,
    subresource: String,
    time: Option<Timestamp>,
    pub(super) fields: FieldSet,
}

/// The field manager of one call.
#[derive(Clone, Copy, Debug)]
pub(super) struct FieldManager<'a> {
    pub(super) name: &'a str,
    pub(super) subresource: Option<&'a str>,
    pub(super) now: Timestamp,
}

/// Returns the fields of `value` that can have an owner.
pub(super) fn owned_fields(value: &Value, is_new: bool) -> FieldSet {
    FieldSet::of(value, is_new).without(UNOWNED_FIELDS)
}

impl ManagedFieldsEntry {
    fn new(
        name: &str,
        operation: ManagerOperation,
        object: &Object,
        subresource: &str,
        time: Option<Timestamp>,
        fields: FieldSet,
    ) -> Self {
        Self {
            name: name.into(),
            operation,
            api_version: object.kind().api_version.clone(),
            subresource: subresource.into(),
            time: time.and_then(|time| Timestamp::from_second(time.as_second()).ok()),
            fields,
        }
    }

    pub(super) fn belongs_to(
        &self,
        manager: &FieldManager<'_>,
        operation: ManagerOperation,
    ) -> bool {
        self.name == manager.name
            && self.operation == operation
            && self.subresource == manager.subresource.unwrap_or_default()
    }

    /// Whether this is an entry of a built-in controller, which is derived and not stored.
    fn is_derived(&self) -> bool {
        self.operation == ManagerOperation::Update
            && matches!(self.name.as_str(), CONTROLLERS | KUBELET)
    }

    fn from_value(value: &Value) -> Option<Self> {
        let text = |member: &str| value.get(member).and_then(Value::as_str);
        Some(Self {
            name: text("manager").unwrap_or_default().into(),
            operation: match text("operation")? {
                "Apply" => ManagerOperation::Apply,
                "Update" => ManagerOperation::Update,
                _ => return None,
            },
            api_version: text("apiVersion")?.into(),
            subresource: text("subresource").unwrap_or_default().into(),
            time: text("time").and_then(|time| time.parse().ok()),
            fields: FieldSet::from_fields_v1(value.get("fieldsV1")?),
        })
    }

    fn to_value(&self) -> Value {
        let mut value = json!({
            "manager": self.name,
            "operation": match self.operation { ManagerOperation::Apply => "Apply", ManagerOperation::Update => "Update" },
            "apiVersion": self.api_version,
            "fieldsType": "FieldsV1",
            "fieldsV1": self.fields.to_fields_v1(),
        });
        if let Some(time) = self.time {
            value["time"] = time.to_string().into();
        }
        if !self.subresource.is_empty() {
            value["subresource"] = self.subresource.clone().into();
        }
        value
    }

    /// Describes the entry as conflict messages do.
    fn describe(&self) -> String {
        let mut text = format!("{:?}", self.name);
        if !self.subresource.is_empty() {
            text.push_str(&format!(" with subresource {:?}", self.subresource));
        }
        if self.operation == ManagerOperation::Update {
            text.push_str(&format!(" using {}", self.api_version));
        }
        text
    }
}

/// Removes the fields that the server sets on create, which have no owner.
fn without_server_defaults(object: &Object, fields: FieldSet) -> FieldSet {
    if object.kind().kind != "Service" || object.kind().api_version != "v1" {
        return fields;
    }
    fields.without(&[
        &["f:spec", "f:clusterIP"],
        &["f:spec", "f:clusterIPs"],
        &["f:spec", "f:ipFamilies"],
        &["f:spec", "f:ipFamilyPolicy"],
        &["f:status", "f:loadBalancer"],
    ])
}

/// Returns the stored entries.
fn stored_managers(object: &Object) -> Option<Vec<ManagedFieldsEntry>> {
    let list = object.metadata().rest.get(MANAGED_FIELDS)?.as_array()?;
    Some(list.iter().filter_map(ManagedFieldsEntry::from_value).collect())
}

/// Returns all entries of an object: the stored and the derived ones.
pub(super) fn managers(object: &Object) -> Vec<ManagedFieldsEntry> {
    let value = object.to_value();
    let all = owned_fields(&value, true);
    let stored = stored_managers(object);
    let has_stored = stored.is_some();
    let mut managers: Vec<ManagedFieldsEntry> = stored.unwrap_or_default();
    for entry in &mut managers {
        entry.fields = entry.fields.intersection(&all);
    }
    let owned =
        managers.iter().fold(FieldSet::default(), |owned, entry| owned.union(&entry.fields));
    let (status, mut rest) =
        without_server_defaults(object, all.difference(&owned)).split("f:status");
    if has_stored {
        // Fields that no manager set are server defaults without an owner, except metadata, which controllers write.
        let fields = owned_fields(&value, false).difference(&owned);
        rest = fields.split("f:metadata").0;
    }
    let created_at = object.metadata().creation_timestamp;
    let is_made_by_controller = object.controller().is_some() || has_stored;
    let (creator, status_manager) = match object.kind().kind.as_str() {
        "Node" => (KUBELET, KUBELET),
        "Pod" if is_made_by_controller => (CONTROLLERS, KUBELET),
        "Pod" => (INITIAL_MANAGER, KUBELET),
        "EndpointSlice" | "Event" => (CONTROLLERS, CONTROLLERS),
        _ if is_made_by_controller => (CONTROLLERS, CONTROLLERS),
        _ => (INITIAL_MANAGER, CONTROLLERS),
    };
    let (status, rest) = match has_stored {
        // A controller writes metadata together with the status.
        true => (status.union(&rest), FieldSet::default()),
        false => (status, rest),
    };
    if !rest.is_empty() {
        managers.push(ManagedFieldsEntry::new(
            creator,
            ManagerOperation::Update,
            object,
            "",
            created_at,
            rest,
        ));
    }
    if !status.is_empty() {
        let time = last_condition_time(object).or(created_at);
        managers.push(ManagedFieldsEntry::new(
            status_manager,
            ManagerOperation::Update,
            object,
            "status",
            time,
            status,
        ));
    }
    managers.retain(|entry| !entry.fields.is_empty());
    managers
}

/// Returns the time of the most recent condition.
fn last_condition_time(object: &Object) -> Option<Timestamp> {
    let conditions = object.at("/status/conditions").and_then(Value::as_array)?;
    let times =
        conditions.iter().flat_map(|one| [&one["lastUpdateTime"], &one["lastTransitionTime"]]);
    times.filter_map(|time| time.as_str()?.parse().ok()).max()
}

/// Returns the object as the API shows it: with the stored and the derived entries of `managedFields`.
pub fn with_managed_fields(object: &Object) -> Object {
    with_managers(object, &managers(object))
}

pub(super) fn with_managers(object: &Object, managers: &[ManagedFieldsEntry]) -> Object {
    let mut metadata = object.metadata().clone();
    if managers.is_empty() {
        metadata.rest.remove(MANAGED_FIELDS);
    } else {
        let mut managers: Vec<&ManagedFieldsEntry> = managers.iter().collect();
        managers.sort_by_key(|one| (one.operation, one.time, &one.name, &one.subresource));
        metadata.rest.insert(
            MANAGED_FIELDS.into(),
            managers.into_iter().map(ManagedFieldsEntry::to_value).collect(),
        );
    }
    object.with_metadata(metadata)
}

/// Returns `object` with the stored entries of `other`.
pub(super) fn with_managers_of(object: &Object, other: &Object) -> Object {
    let (own, wanted) =
        (object.metadata().rest.get(MANAGED_FIELDS), other.metadata().rest.get(MANAGED_FIELDS));
    if own == wanted {
        return object.clone();
    }
    let mut metadata = object.metadata().clone();
    match wanted {
        Some(wanted) => metadata.rest.insert(MANAGED_FIELDS.into(), wanted.clone()),
        None => metadata.rest.remove(MANAGED_FIELDS),
    };
    object.with_metadata(metadata)
}

/// Returns the new object with `manager` as the owner of `fields`.
pub(super) fn record_create(
    object: &Object,
    manager: &FieldManager<'_>,
    operation: ManagerOperation,
    fields: FieldSet,
) -> Object {
    if manager.name.is_empty() {
        return with_managers(object, &[]);
    }
    let (_, fields) = fields.split("f:status");
    let fields = match operation {
        ManagerOperation::Apply => fields,
        ManagerOperation::Update => without_server_defaults(object, fields),
    };
    let creator =
        ManagedFieldsEntry::new(manager.name, operation, object, "", Some(manager.now), fields);
    let managers = if creator.fields.is_empty() { Vec::new() } else { vec![creator] };
    with_managers(object, &managers)
}

/// Returns the updated object with `manager` as the owner of the changed fields.
pub(super) fn record_update(before: &Object, after: &Object, manager: &FieldManager<'_>) -> Object {
    if manager.name.is_empty() {
        return after.clone();
    }
    let mut managers = managers(before);
    let changes = Changes::between(&before.to_value(), &after.to_value());
    let changed = changes.changed.without(UNOWNED_FIELDS);
    for entry in &mut managers {
        entry.fields = entry.fields.difference(&changes.removed);
        if !entry.belongs_to(manager, ManagerOperation::Update) {
            entry.fields = entry.fields.difference(&changed);
        }
    }
    if !changed.is_empty() {
        let own =
            managers.iter_mut().find(|entry| entry.belongs_to(manager, ManagerOperation::Update));
        let subresource = manager.subresource.unwrap_or_default();
        // Kubernetes sets no time on the entry of the scale subresource.
        let time = (subresource != "scale").then_some(manager.now);
        let new = ManagedFieldsEntry::new(
            manager.name,
            ManagerOperation::Update,
            after,
            subresource,
            time,
            changed,
        );
        match own {
            Some(own) => *own = ManagedFieldsEntry { fields: own.fields.union(&new.fields), ..new },
            None => managers.push(new),
        }
    }
    managers.retain(|entry| !entry.fields.is_empty() && !entry.is_derived());
    with_managers(after, &managers)
}

/// Returns the fields that `manager` applied before.
pub(super) fn previously_applied(
    managers: &[ManagedFieldsEntry],
    manager: &FieldManager<'_>,
) -> FieldSet {
    let own = managers.iter().find(|entry| entry.belongs_to(manager, ManagerOperation::Apply));
    own.map(|own| own.fields.clone()).unwrap_or_default()
}

/// Returns the fields that other entries own.
pub(super) fn owned_by_others(
    managers: &[ManagedFieldsEntry],
    manager: &FieldManager<'_>,
) -> FieldSet {
    let others =
        managers.iter().filter(|entry| !entry.belongs_to(manager, ManagerOperation::Apply));
    others.fold(FieldSet::default(), |all, entry| all.union(&entry.fields))
}

/// Returns `after` with updated entries. `managers` are the entries before `manager` applied `fields`.
///
/// # Errors
/// Returns 409 if a changed field belongs to another manager, unless `forced`.
pub(super) fn record_apply(
    before: &Object,
    after: &Object,
    mut managers: Vec<ManagedFieldsEntry>,
    manager: &FieldManager<'_>,
    fields: FieldSet,
    forced: bool,
) -> Result<Object, StatusError> {
    let changes = Changes::between(&before.to_value(), &after.to_value());
    let changed = changes.changed.without(UNOWNED_FIELDS);
    let mut conflicts: Vec<(String, String)> = Vec::new();
    for entry in &mut managers {
        if entry.belongs_to(manager, ManagerOperation::Apply) {
            continue;
        }
        let theirs = entry.fields.intersection(&changed);
        conflicts.extend(theirs.paths().into_iter().map(|path| (entry.describe(), path)));
        entry.fields = entry.fields.difference(&theirs).difference(&changes.removed);
    }
    if !forced && !conflicts.is_empty() {
        return Err(conflict(conflicts));
    }
    let subresource = manager.subresource.unwrap_or_default();
    let mut new = ManagedFieldsEntry::new(
        manager.name,
        ManagerOperation::Apply,
        after,
        subresource,
        Some(manager.now),
        fields,
    );
    match managers.iter_mut().find(|entry| entry.belongs_to(manager, ManagerOperation::Apply)) {
        Some(own) => {
            if own.fields == new.fields && changed.is_empty() && changes.removed.is_empty() {
                new.time = own.time;
            }
            *own = new;
        }
        None => managers.push(new),
    }
    managers.retain(|entry| !entry.fields.is_empty() && !entry.is_derived());
    Ok(with_managers(after, &managers))
}

fn conflict(mut conflicts: Vec<(String, String)>) -> StatusError {
    conflicts.sort();
    let message = if let [(manager, path)] = &conflicts[..] {
        format!("Apply failed with 1 conflict: conflict with {manager}: {path}")
    } else {
        let mut lines: Vec<String> = Vec::new();
        let mut last = None;
        for (manager, path) in &conflicts {
            if last != Some(manager) {
                lines.push(format!("conflicts with {manager}:"));
                last = Some(manager);
            }
            lines.push(format!("- {path}"));
        }
        format!("Apply failed with {} conflicts: {}", conflicts.len(), lines.join("\n"))
    };
    let causes = conflicts.iter().map(|(manager, path)| {
        StatusCause::new("FieldManagerConflict", path, format!("conflict with {manager}"))
    });
    StatusError { causes: causes.collect(), ..StatusError::new(409, "Conflict", message) }
}
