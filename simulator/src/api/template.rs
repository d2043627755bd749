//! What Kubernetes takes where a pod's specification, or a Service's, says nothing.

use serde_json::{Map, Value, json};

type Members = Map<String, Value>;

/// Sets a field that says nothing.
pub(super) fn default(map: &mut Members, field: &str, value: Value) {
    if map.get(field).is_none_or(Value::is_null) {
        map.insert(field.into(), value);
    }
}

/// Fills the specification of a pod, or of a template of pods.
pub(super) fn fill_pod(spec: &mut Members) {
    default(spec, "dnsPolicy", json!("ClusterFirst"));
    default(spec, "restartPolicy", json!("Always"));
    default(spec, "schedulerName", json!("default-scheduler"));
    default(spec, "securityContext", json!({}));
    default(spec, "terminationGracePeriodSeconds", json!(30));
    // The older of two names for one thing is written beside the newer.
    if let Some(account) = spec.get("serviceAccountName").cloned() {
        default(spec, "serviceAccount", account);
    }
    for field in ["initContainers", "containers"] {
        members_of(spec, field).for_each(fill_container);
    }
    members_of(spec, "volumes").for_each(fill_volume);
}

/// Fills what a pod gets when it is admitted, over what its template says.
pub(super) fn admit_pod(spec: &mut Members) {
    default(spec, "enableServiceLinks", json!(true));
    default(spec, "preemptionPolicy", json!("PreemptLowerPriority"));
    default(spec, "priority", json!(0));
    default(spec, "serviceAccountName", json!("default"));
    fill_pod(spec);
    // It stays for five minutes on a node that is not heard of.
    let toleration = |key: &str| json!({"key": key, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 300});
    let usual = json!([
        toleration("node.kubernetes.io/not-ready"),
        toleration("node.kubernetes.io/unreachable")
    ]);
    default(spec, "tolerations", usual);
}

/// The elements of a list that are objects.
fn members_of<'a>(map: &'a mut Members, field: &str) -> impl Iterator<Item = &'a mut Members> {
    let list = map.get_mut(field).and_then(Value::as_array_mut);
    list.into_iter().flatten().filter_map(Value::as_object_mut)
}

fn fill_container(container: &mut Members) {
    let image = container.get("image").and_then(Value::as_str).unwrap_or_default();
    if let Some(policy) = default_of_image(image) {
        default(container, "imagePullPolicy", policy.into());
    }
    default(container, "resources", json!({}));
    default(container, "terminationMessagePath", json!("/dev/termination-log"));
    default(container, "terminationMessagePolicy", json!("File"));
    members_of(container, "ports").for_each(|port| default(port, "protocol", json!("TCP")));
    for field in ["livenessProbe", "readinessProbe", "startupProbe"] {
        if let Some(Value::Object(probe)) = container.get_mut(field) {
            fill_probe(probe);
        }
    }
    for variable in members_of(container, "env") {
        let field = variable.get_mut("valueFrom").and_then(|from| from.get_mut("fieldRef"));
        if let Some(Value::Object(field)) = field {
            default(field, "apiVersion", json!("v1"));
        }
    }
}

/// When an image is pulled, by its tag: what may move is looked at each time.
fn default_of_image(image: &str) -> Option<&'static str> {
    let name = image.rsplit('/').next().filter(|name| !name.is_empty())?;
    let is_fixed =
        name.contains('@') || name.split_once(':').is_some_and(|(_, tag)| tag != "latest");
    Some(if is_fixed { "IfNotPresent" } else { "Always" })
}

fn fill_probe(probe: &mut Members) {
    default(probe, "timeoutSeconds", json!(1));
    default(probe, "periodSeconds", json!(10));
    default(probe, "successThreshold", json!(1));
    default(probe, "failureThreshold", json!(3));
    if let Some(Value::Object(http)) = probe.get_mut("httpGet") {
        default(http, "path", json!("/"));
        default(http, "scheme", json!("HTTP"));
    }
}

fn fill_volume(volume: &mut Members) {
    for field in ["configMap", "secret", "projected", "downwardAPI"] {
        if let Some(Value::Object(source)) = volume.get_mut(field) {
            default(source, "defaultMode", json!(420));
        }
    }
}

/// Fills the specification of a Service, but for the addresses that it is given.
pub(super) fn fill_service(spec: &mut Members) {
    default(spec, "type", json!("ClusterIP"));
    default(spec, "sessionAffinity", json!("None"));
    let is_external = spec.get("type").and_then(Value::as_str) == Some("ExternalName");
    if !is_external {
        default(spec, "internalTrafficPolicy", json!("Cluster"));
        default(spec, "ipFamilies", json!(["IPv4"]));
        default(spec, "ipFamilyPolicy", json!("SingleStack"));
        if let Some(address) = spec.get("clusterIP").filter(|address| !address.is_null()).cloned() {
            default(spec, "clusterIPs", json!([address]));
        }
    }
    for port in members_of(spec, "ports") {
        default(port, "protocol", json!("TCP"));
        if let Some(number) = port.get("port").cloned() {
            default(port, "targetPort", number);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(value: Value) -> Members {
        value.as_object().cloned().unwrap()
    }

    #[test]
    fn images_that_may_move_are_pulled_each_time() {
        for (image, policy) in [
            ("web", "Always"),
            ("web:latest", "Always"),
            ("registry.example:5000/web", "Always"),
            ("registry.example/web:1", "IfNotPresent"),
            ("web@sha256:ab", "IfNotPresent"),
        ] {
            assert_eq!(default_of_image(image), Some(policy), "{image}");
        }
    }

    #[test]
    fn what_is_filled_once_stays_the_same() {
        let mut spec = object(
            json!({"containers": [{"name": "c", "image": "i:1", "ports": [{"containerPort": 80}],
            "readinessProbe": {"httpGet": {"port": 80}, "periodSeconds": 5}}]}),
        );
        fill_pod(&mut spec);
        let once = spec.clone();
        fill_pod(&mut spec);
        assert_eq!(spec, once);
        assert_eq!(spec["containers"][0]["readinessProbe"]["periodSeconds"], 5);
        assert_eq!(spec["containers"][0]["readinessProbe"]["failureThreshold"], 3);
        assert_eq!(spec["restartPolicy"], "Always");
    }
}
