//! Who owns which fields of an object: `metadata.managedFields`.
//!
//! Only what named managers change is written into an object. What the world's own controllers own is worked out when
//! somebody reads it, so that their many small changes cost nothing.

use cluster::Object;
use jiff::Timestamp;
use serde_json::{Value, json};

use super::fields::{Changes, FieldSet};
use super::refusal::{Cause, Refusal};

const FIELD: &str = "managedFields";
const CONTROLLERS: &str = "kube-controller-manager";
const KUBELET: &str = "kubelet";
/// Whoever made what stands in a world's file.
const FIRST: &str = "kubectl-create";
/// Parts of an object that nobody owns.
const UNOWNED: &[&[&str]] = &[
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

/// Whether a manager says what it wants, or changes what it finds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Operation {
    Apply,
    Update,
}

/// One manager and the fields that it owns.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Manager {
    name: String,
    operation: Operation,
    api_version: String,
    subresource: String,
    time: Option<Timestamp>,
    pub(super) fields: FieldSet,
}

/// Who acts, in one call.
#[derive(Clone, Copy, Debug)]
pub(super) struct Actor<'a> {
    pub(super) name: &'a str,
    pub(super) subresource: Option<&'a str>,
    pub(super) now: Timestamp,
}

/// The fields of a value that somebody can own.
pub(super) fn owned_fields(value: &Value, is_new: bool) -> FieldSet {
    FieldSet::of(value, is_new).without(UNOWNED)
}

impl Manager {
    fn new(
        name: &str,
        operation: Operation,
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

    pub(super) fn is(&self, actor: &Actor<'_>, operation: Operation) -> bool {
        self.name == actor.name
            && self.operation == operation
            && self.subresource == actor.subresource.unwrap_or_default()
    }

    /// Whether this is one of the world's own, whose fields are worked out and not written.
    fn is_worked_out(&self) -> bool {
        self.operation == Operation::Update && matches!(self.name.as_str(), CONTROLLERS | KUBELET)
    }

    fn of_wire(value: &Value) -> Option<Self> {
        let text = |member: &str| value.get(member).and_then(Value::as_str);
        Some(Self {
            name: text("manager").unwrap_or_default().into(),
            operation: match text("operation")? {
                "Apply" => Operation::Apply,
                "Update" => Operation::Update,
                _ => return None,
            },
            api_version: text("apiVersion")?.into(),
            subresource: text("subresource").unwrap_or_default().into(),
            time: text("time").and_then(|time| time.parse().ok()),
            fields: FieldSet::from_wire(value.get("fieldsV1")?),
        })
    }

    fn to_wire(&self) -> Value {
        let mut value = json!({
            "manager": self.name,
            "operation": match self.operation { Operation::Apply => "Apply", Operation::Update => "Update" },
            "apiVersion": self.api_version,
            "fieldsType": "FieldsV1",
            "fieldsV1": self.fields.to_wire(),
        });
        if let Some(time) = self.time {
            value["time"] = time.to_string().into();
        }
        if !self.subresource.is_empty() {
            value["subresource"] = self.subresource.clone().into();
        }
        value
    }

    /// As messages name it.
    fn told(&self) -> String {
        let mut told = format!("{:?}", self.name);
        if !self.subresource.is_empty() {
            told.push_str(&format!(" with subresource {:?}", self.subresource));
        }
        if self.operation == Operation::Update {
            told.push_str(&format!(" using {}", self.api_version));
        }
        told
    }
}

/// Without what the server gives an object, and nobody owns.
fn unasked(object: &Object, fields: FieldSet) -> FieldSet {
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

/// The managers that are written into the object.
fn written(object: &Object) -> Option<Vec<Manager>> {
    let list = object.metadata().rest.get(FIELD)?.as_array()?;
    Some(list.iter().filter_map(Manager::of_wire).collect())
}

/// Every manager of an object: those that are written, and those that can be told from what it is.
pub(super) fn managers(object: &Object) -> Vec<Manager> {
    let value = object.to_value();
    let all = owned_fields(&value, true);
    let known = written(object);
    let is_known = known.is_some();
    let mut managers: Vec<Manager> = known.unwrap_or_default();
    for manager in &mut managers {
        manager.fields = manager.fields.intersection(&all);
    }
    let owned =
        managers.iter().fold(FieldSet::default(), |owned, manager| owned.union(&manager.fields));
    let (status, mut rest) = unasked(object, all.difference(&owned)).split("f:status");
    if is_known {
        // What nobody asked for is a default of the server, and nobody's; metadata is what controllers write.
        let fields = owned_fields(&value, false).difference(&owned);
        rest = fields.split("f:metadata").0;
    }
    let birth = object.metadata().creation_timestamp;
    let is_made_by_controller = object.controller().is_some() || is_known;
    let (maker, keeper) = match object.kind().kind.as_str() {
        "Node" => (KUBELET, KUBELET),
        "Pod" if is_made_by_controller => (CONTROLLERS, KUBELET),
        "Pod" => (FIRST, KUBELET),
        "EndpointSlice" | "Event" => (CONTROLLERS, CONTROLLERS),
        _ if is_made_by_controller => (CONTROLLERS, CONTROLLERS),
        _ => (FIRST, CONTROLLERS),
    };
    let (status, rest) = match is_known {
        // A controller writes what it says of an object together with its status.
        true => (status.union(&rest), FieldSet::default()),
        false => (status, rest),
    };
    if !rest.is_empty() {
        managers.push(Manager::new(maker, Operation::Update, object, "", birth, rest));
    }
    if !status.is_empty() {
        let time = last_told(object).or(birth);
        managers.push(Manager::new(keeper, Operation::Update, object, "status", time, status));
    }
    managers.retain(|manager| !manager.fields.is_empty());
    managers
}

/// When the latest of its conditions was written.
fn last_told(object: &Object) -> Option<Timestamp> {
    let conditions = object.at("/status/conditions").and_then(Value::as_array)?;
    let times =
        conditions.iter().flat_map(|one| [&one["lastUpdateTime"], &one["lastTransitionTime"]]);
    times.filter_map(|time| time.as_str()?.parse().ok()).max()
}

/// The object as a reader of the whole API sees it: with all its managers, those of the world's own among them.
pub fn shown(object: &Object) -> Object {
    with_managers(object, &managers(object))
}

pub(super) fn with_managers(object: &Object, managers: &[Manager]) -> Object {
    let mut metadata = object.metadata().clone();
    if managers.is_empty() {
        metadata.rest.remove(FIELD);
    } else {
        let mut managers: Vec<&Manager> = managers.iter().collect();
        managers.sort_by_key(|one| (one.operation, one.time, &one.name, &one.subresource));
        metadata.rest.insert(FIELD.into(), managers.into_iter().map(Manager::to_wire).collect());
    }
    object.with_metadata(metadata)
}

/// The object with the managers that are written into another state of it.
pub(super) fn with_managers_of(object: &Object, other: &Object) -> Object {
    let (own, wanted) = (object.metadata().rest.get(FIELD), other.metadata().rest.get(FIELD));
    if own == wanted {
        return object.clone();
    }
    let mut metadata = object.metadata().clone();
    match wanted {
        Some(wanted) => metadata.rest.insert(FIELD.into(), wanted.clone()),
        None => metadata.rest.remove(FIELD),
    };
    object.with_metadata(metadata)
}

/// The new object as `actor` makes it, who owns `fields` of it.
pub(super) fn made(
    object: &Object,
    actor: &Actor<'_>,
    operation: Operation,
    fields: FieldSet,
) -> Object {
    if actor.name.is_empty() {
        return with_managers(object, &[]);
    }
    let (_, fields) = fields.split("f:status");
    let fields = match operation {
        Operation::Apply => fields,
        Operation::Update => unasked(object, fields),
    };
    let maker = Manager::new(actor.name, operation, object, "", Some(actor.now), fields);
    let managers = if maker.fields.is_empty() { Vec::new() } else { vec![maker] };
    with_managers(object, &managers)
}

/// The changed object, whose changed fields `actor` owns from now on.
pub(super) fn updated(before: &Object, after: &Object, actor: &Actor<'_>) -> Object {
    if actor.name.is_empty() {
        return after.clone();
    }
    let mut managers = managers(before);
    let changes = Changes::between(&before.to_value(), &after.to_value());
    let changed = changes.changed.without(UNOWNED);
    for manager in &mut managers {
        manager.fields = manager.fields.difference(&changes.removed);
        if !manager.is(actor, Operation::Update) {
            manager.fields = manager.fields.difference(&changed);
        }
    }
    if !changed.is_empty() {
        let own = managers.iter_mut().find(|manager| manager.is(actor, Operation::Update));
        let subresource = actor.subresource.unwrap_or_default();
        // Kubernetes does not note when something was scaled.
        let time = (subresource != "scale").then_some(actor.now);
        let fresh = Manager::new(actor.name, Operation::Update, after, subresource, time, changed);
        match own {
            Some(own) => *own = Manager { fields: own.fields.union(&fresh.fields), ..fresh },
            None => managers.push(fresh),
        }
    }
    managers.retain(|manager| !manager.fields.is_empty() && !manager.is_worked_out());
    with_managers(after, &managers)
}

/// What `actor` owned as an applier until now.
pub(super) fn applied_before(managers: &[Manager], actor: &Actor<'_>) -> FieldSet {
    let own = managers.iter().find(|manager| manager.is(actor, Operation::Apply));
    own.map(|own| own.fields.clone()).unwrap_or_default()
}

/// What all others own.
pub(super) fn owned_by_others(managers: &[Manager], actor: &Actor<'_>) -> FieldSet {
    let others = managers.iter().filter(|manager| !manager.is(actor, Operation::Apply));
    others.fold(FieldSet::default(), |all, manager| all.union(&manager.fields))
}

/// `after` with its managers, who were `managers` before `actor` applied `fields` and that changed `before` to it.
///
/// # Errors
/// 409 where a field changes that another manager owns, unless it is `forced`.
pub(super) fn applied(
    before: &Object,
    after: &Object,
    mut managers: Vec<Manager>,
    actor: &Actor<'_>,
    fields: FieldSet,
    forced: bool,
) -> Result<Object, Refusal> {
    let changes = Changes::between(&before.to_value(), &after.to_value());
    let changed = changes.changed.without(UNOWNED);
    let mut conflicts: Vec<(String, String)> = Vec::new();
    for manager in &mut managers {
        if manager.is(actor, Operation::Apply) {
            continue;
        }
        let theirs = manager.fields.intersection(&changed);
        conflicts.extend(theirs.paths().into_iter().map(|path| (manager.told(), path)));
        manager.fields = manager.fields.difference(&theirs).difference(&changes.removed);
    }
    if !forced && !conflicts.is_empty() {
        return Err(conflict(conflicts));
    }
    let subresource = actor.subresource.unwrap_or_default();
    let mut fresh =
        Manager::new(actor.name, Operation::Apply, after, subresource, Some(actor.now), fields);
    match managers.iter_mut().find(|manager| manager.is(actor, Operation::Apply)) {
        Some(own) => {
            if own.fields == fresh.fields && changed.is_empty() && changes.removed.is_empty() {
                fresh.time = own.time;
            }
            *own = fresh;
        }
        None => managers.push(fresh),
    }
    managers.retain(|manager| !manager.fields.is_empty() && !manager.is_worked_out());
    Ok(with_managers(after, &managers))
}

fn conflict(mut conflicts: Vec<(String, String)>) -> Refusal {
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
        Cause::new("FieldManagerConflict", path, format!("conflict with {manager}"))
    });
    Refusal { causes: causes.collect(), ..Refusal::new(409, "Conflict", message) }
}
