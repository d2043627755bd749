//! Defaults of the specs of pods and Services.

use serde_json::{Map, Value, json};

type Members = Map<String, Value>;

/// Sets a field that is absent or null.
pub(super) fn set_default(map: &mut Members, field: &str, value: Value) {
    if map.get(field).is_none_or(Value::is_null) {
        map.insert(field.into(), value);
    }
}

/// Sets the defaults of a pod spec, or of the spec in a pod template.
pub(super) fn default_pod(spec: &mut Members) {
    set_default(spec, "dnsPolicy", json!("ClusterFirst"));
    set_default(spec, "restartPolicy", json!("Always"));
    set_default(spec, "schedulerName", json!("default-scheduler"));
    set_default(spec, "securityContext", json!({}));
    set_default(spec, "terminationGracePeriodSeconds", json!(30));
    // `serviceAccount` is the deprecated alias of `serviceAccountName`; Kubernetes sets both.
    if let Some(account) = spec.get("serviceAccountName").cloned() {
        set_default(spec, "serviceAccount", account);
    }
    for field in ["initContainers", "containers"] {
        members_of(spec, field).for_each(default_container);
    }
    members_of(spec, "volumes").for_each(default_volume);
}

/// Sets the fields that admission adds to a pod, and the defaults.
pub(super) fn admit_pod(spec: &mut Members) {
    set_default(spec, "enableServiceLinks", json!(true));
    set_default(spec, "preemptionPolicy", json!("PreemptLowerPriority"));
    set_default(spec, "priority", json!(0));
    set_default(spec, "serviceAccountName", json!("default"));
    default_pod(spec);
    // A pod stays on an unreachable node for five minutes.
    let toleration = |key: &str| json!({"key": key, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 300});
    let tolerations = json!([
        toleration("node.kubernetes.io/not-ready"),
        toleration("node.kubernetes.io/unreachable")
    ]);
    set_default(spec, "tolerations", tolerations);
}

/// Returns the elements of a list that are objects.
fn members_of<'a>(map: &'a mut Members, field: &str) -> impl Iterator<Item = &'a mut Members> {
    let list = map.get_mut(field).and_then(Value::as_array_mut);
    list.into_iter().flatten().filter_map(Value::as_object_mut)
}

fn default_container(container: &mut Members) {
    let image = container.get("image").and_then(Value::as_str).unwrap_or_default();
    if let Some(policy) = default_pull_policy(image) {
        set_default(container, "imagePullPolicy", policy.into());
    }
    set_default(container, "resources", json!({}));
    set_default(container, "terminationMessagePath", json!("/dev/termination-log"));
    set_default(container, "terminationMessagePolicy", json!("File"));
    members_of(container, "ports").for_each(|port| set_default(port, "protocol", json!("TCP")));
    for field in ["livenessProbe", "readinessProbe", "startupProbe"] {
        if let Some(Value::Object(probe)) = container.get_mut(field) {
            default_probe(probe);
        }
    }
    for variable in members_of(container, "env") {
        let field = variable.get_mut("valueFrom").and_then(|from| from.get_mut("fieldRef"));
        if let Some(Value::Object(field)) = field {
            set_default(field, "apiVersion", json!("v1"));
        }
    }
}

/// Returns the default pull policy of an image: `Always` for a mutable tag (`latest` or none).
fn default_pull_policy(image: &str) -> Option<&'static str> {
    let name = image.rsplit('/').next().filter(|name| !name.is_empty())?;
    let is_fixed =
        name.contains('@') || name.split_once(':').is_some_and(|(_, tag)| tag != "latest");
    Some(if is_fixed { "IfNotPresent" } else { "Always" })
}

fn default_probe(probe: &mut Members) {
    set_default(probe, "timeoutSeconds", json!(1));
    set_default(probe, "periodSeconds", json!(10));
    set_default(probe, "successThreshold", json!(1));
    set_default(probe, "failureThreshold", json!(3));
    if let Some(Value::Object(http)) = probe.get_mut("httpGet") {
        set_default(http, "path", json!("/"));
        set_default(http, "scheme", json!("HTTP"));
    }
}

fn default_volume(volume: &mut Members) {
    for field in ["configMap", "secret", "projected", "downwardAPI"] {
        if let Some(Value::Object(source)) = volume.get_mut(field) {
            set_default(source, "defaultMode", json!(420));
        }
    }
}

/// Sets the defaults of a Service spec, except the addresses.
pub(super) fn default_service(spec: &mut Members) {
    set_default(spec, "type", json!("ClusterIP"));
    set_default(spec, "sessionAffinity", json!("None"));
    let is_external = spec.get("type").and_then(Value::as_str) == Some("ExternalName");
    if !is_external {
        set_default(spec, "internalTrafficPolicy", json!("Cluster"));
        set_default(spec, "ipFamilies", json!(["IPv4"]));
        set_default(spec, "ipFamilyPolicy", json!("SingleStack"));
        if let Some(address) = spec.get("clusterIP").filter(|address| !address.is_null()).cloned() {
            set_default(spec, "clusterIPs", json!([address]));
        }
    }
    for port in members_of(spec, "ports") {
        set_default(port, "protocol", json!("TCP"));
        if let Some(number) = port.get("port").cloned() {
            set_default(port, "targetPort", number);
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
    fn mutable_image_tags_default_to_pull_always() {
        for (image, policy) in [
            ("web", "Always"),
            ("web:latest", "Always"),
            ("registry.example:5000/web", "Always"),
            ("registry.example/web:1", "IfNotPresent"),
            ("web@sha256:ab", "IfNotPresent"),
        ] {
            assert_eq!(default_pull_policy(image), Some(policy), "{image}");
        }
    }

    #[test]
    fn pod_defaults_are_idempotent() {
        let mut spec = object(
            json!({"containers": [{"name": "c", "image": "i:1", "ports": [{"containerPort": 80}],
            "readinessProbe": {"httpGet": {"port": 80}, "periodSeconds": 5}}]}),
        );
        default_pod(&mut spec);
        let once = spec.clone();
        default_pod(&mut spec);
        assert_eq!(spec, once);
        assert_eq!(spec["containers"][0]["readinessProbe"]["periodSeconds"], 5);
        assert_eq!(spec["containers"][0]["readinessProbe"]["failureThreshold"], 3);
        assert_eq!(spec["restartPolicy"], "Always");
    }
}
