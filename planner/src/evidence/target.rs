use cluster::{Kind, Object, ObjectRef};
use workflow::{Incident, fact};

use super::reader::{Reader, Unread};

/// Kinds that are read around every target.
const AROUND: [&str; 7] =
    ["Deployment", "ReplicaSet", "Pod", "Service", "EndpointSlice", "ConfigMap", "Event"];

/// Reads the namespace of an incident and finds the object that its hints lead to, or says why there is none.
pub(super) async fn find(
    reader: &mut Reader<'_>,
    incident: &Incident,
) -> Result<ObjectRef, String> {
    let (label, name) = (incident.subject.0.as_str(), incident.subject.1.as_str());
    let Some(kind) = kind_of(label) else {
        return Err("the alert names no object: a person must say what it is about".into());
    };
    if !is_name(name) {
        return Err(format!(
            "the alert's label `{label}` holds {} characters that are no name of an object",
            name.chars().count()
        ));
    }
    let is_cluster_scoped = Kind::builtin(kind).is_some_and(|kind| kind.is_cluster_scoped());
    let namespace = incident.namespace.as_str();
    if !is_cluster_scoped {
        if !is_name(namespace) {
            return Err(format!(
                "the alert names {kind} {name} and no namespace in which to look for it"
            ));
        }
        for kind in AROUND {
            reader.list(kind, namespace).await;
        }
        if !AROUND.contains(&kind) && matches!(kind, "StatefulSet" | "DaemonSet") {
            reader.list(kind, namespace).await;
        }
    }
    // What evidence found before is asked for by its uid: a namesake is another object. A Service stands for itself: the
    // workload behind it owns its incident, and is not what its alert is about.
    if let Some(owner) = incident.owner.as_ref().filter(|_| kind != "Service") {
        let there = reader.get(owner).await;
        return match there {
            Ok(Some(object)) => Ok(object.reference(reader.cluster.name())),
            Ok(None) => Err(format!(
                "{owner} is gone, or was made again since the incident began: nothing is guessed"
            )),
            Err(Unread) => Err(unseen(owner)),
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
                "{hinted}, which the alert names, does not exist: nothing is guessed"
            ));
        }
        Err(Unread) => return Err(unseen(&hinted)),
    };
    let began = incident.first.starts_at;
    if kind != "Pod" && object.metadata().creation_timestamp.is_some_and(|made| made > began) {
        return Err(format!(
            "{hinted} was made again after the alert began: it is not the object that the alert is about"
        ));
    }
    let owner = owner_of(&object, reader);
    Ok(owner.unwrap_or(&object).reference(reader.cluster.name()))
}

/// What is said of an object that may well be there.
fn unseen(object: &ObjectRef) -> String {
    format!("{object} could not be looked at: nothing is guessed")
}

/// The workload that a pod or a ReplicaSet belongs to; a Service and a workload stand for themselves.
fn owner_of<'a>(object: &Object, reader: &'a Reader<'_>) -> Option<&'a Object> {
    let seen = reader.objects.iter().find(|seen| seen.is_same_value(object))?;
    fact::workload_of(seen, &reader.objects)
}

/// The kind that a label of an alert names, of the labels that design D2 knows.
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

/// Whether a text can name an object (RFC 1123): whatever else a label holds never reaches a cluster or a sentence.
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
    fn only_names_of_objects_are_looked_up() {
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
