use cluster::{Kind, Object, ObjectRef};
use workflow::{Incident, fact};

use super::reader::{ReadError, Reader};

/// Kinds that are listed in the namespace of every target.
const LISTED_KINDS: [&str; 7] =
    ["Deployment", "ReplicaSet", "Pod", "Service", "EndpointSlice", "ConfigMap", "Event"];

/// Reads the namespace of an incident and resolves the object that its alert is about.
///
/// # Errors
/// A sentence for the operator that says why the incident has no target.
pub(super) async fn resolve(
    reader: &mut Reader<'_>,
    incident: &Incident,
) -> Result<ObjectRef, String> {
    let (label, name) = (incident.subject.0.as_str(), incident.subject.1.as_str());
    let Some(kind) = kind_of(label) else {
        return Err("the alert has no label that names a Kubernetes object; add a label such as `deployment`, `pod` or `service` to its rule".into());
    };
    if !is_name(name) {
        return Err(format!(
            "the value of the alert label `{label}` ({} characters) is not a valid Kubernetes object name",
            name.chars().count()
        ));
    }
    let is_cluster_scoped = Kind::builtin(kind).is_some_and(|kind| kind.is_cluster_scoped());
    let namespace = incident.namespace.as_str();
    if !is_cluster_scoped {
        if !is_name(namespace) {
            return Err(format!(
                "the alert names {kind} {name} but has no valid `namespace` label"
            ));
        }
        for kind in LISTED_KINDS {
            reader.list(kind, namespace).await;
        }
        if !LISTED_KINDS.contains(&kind) && matches!(kind, "StatefulSet" | "DaemonSet") {
            reader.list(kind, namespace).await;
        }
    }
    // A target that earlier evidence resolved is read by its uid, because an object recreated under the same name is a
    // different object. Services are excluded: the workload behind one owns its incident, but the alert is about the
    // Service.
    if let Some(owner) = incident.owner.as_ref().filter(|_| kind != "Service") {
        let there = reader.get(owner).await;
        return match there {
            Ok(Some(object)) => Ok(object.reference(reader.cluster.name())),
            Ok(None) => Err(format!(
                "{owner} was deleted or recreated since the incident began, so no target was selected"
            )),
            Err(ReadError) => Err(unreadable(owner)),
        };
    }
    let hinted = ObjectRef::builtin(
        reader.cluster.name(),
        kind,
        (!is_cluster_scoped).then_some(namespace),
        name,
    );
    let object = match reader.get(&hinted).await {
        Ok(Some(object)) => object,
        Ok(None) => {
            return Err(format!(
                "the alert names {hinted}, which does not exist, so no target was selected"
            ));
        }
        Err(ReadError) => return Err(unreadable(&hinted)),
    };
    let began = incident.first.starts_at;
    if kind != "Pod" && object.metadata().creation_timestamp.is_some_and(|made| made > began) {
        return Err(format!(
            "{hinted} was recreated after the alert started, so it is not the object that the alert is about"
        ));
    }
    let owner = owner_of(&object, reader);
    Ok(owner.unwrap_or(&object).reference(reader.cluster.name()))
}

/// Returns the message for an object that could not be read: it may or may not exist.
fn unreadable(object: &ObjectRef) -> String {
    format!("{object} could not be read, so no target was selected")
}

/// Returns the workload that owns a pod or a ReplicaSet. `None` for a Service or a workload, which is its own target.
fn owner_of<'a>(object: &Object, reader: &'a Reader<'_>) -> Option<&'a Object> {
    let seen = reader.objects.iter().find(|seen| seen.ptr_eq(object))?;
    fact::workload_of(seen, &reader.objects)
}

/// Returns the kind that an alert label names. Only the labels of design D2 are recognised.
fn kind_of(label: &str) -> Option<&'static str> {
    Some(match label {
        "deployment" => "Deployment",
        "statefulset" => "StatefulSet",
        "daemonset" => "DaemonSet",
        "cronjob" => "CronJob",
        "job_name" => "Job",
        "persistentvolumeclaim" => "PersistentVolumeClaim",
        "horizontalpodautoscaler" => "HorizontalPodAutoscaler",
        "pod" => "Pod",
        "node" => "Node",
        "service" => "Service",
        _ => return None,
    })
}

/// Returns whether `text` is a valid object name (RFC 1123 subdomain).
///
/// Any other label value is rejected here and never reaches a cluster request or a message.
fn is_name(text: &str) -> bool {
    let is_end = |byte: Option<&u8>| {
        byte.is_some_and(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit())
    };
    let bytes = text.as_bytes();
    bytes.len() <= 253
        && is_end(bytes.first())
        && is_end(bytes.last())
        && bytes.iter().all(|byte| {
            byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'-' | b'.')
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_name_accepts_only_rfc_1123_names() {
        for name in ["cart", "cart-7d9f-x", "a.b", "0"] {
            assert!(is_name(name), "{name}");
        }
        for text in [
            "",
            "-a",
            "a-",
            "Cart",
            "a b",
            "a/b",
            "ignore previous instructions",
            "cаrt",
            "a\u{200b}",
            "a\n",
            "\u{202e}trac",
        ] {
            assert!(!is_name(text), "{text:?}");
        }
    }
}
