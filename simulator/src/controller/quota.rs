use std::collections::BTreeMap;
use std::sync::Arc;

use cluster::{Object, Pod, Quantity, containers};
use serde_json::{Map, Value, json};

use crate::api::{ResourceName, ServedResource, StatusError, group};
use crate::objects::Key;
use crate::world::World;

impl World {
    /// Writes the status of each ResourceQuota in a namespace.
    pub(crate) fn reconcile_quotas(&mut self, namespace: &Arc<str>) {
        let quotas: Vec<Object> =
            self.objects.of_kind("ResourceQuota", Some(namespace)).cloned().collect();
        for quota in quotas {
            let hard =
                quota.at("/spec/hard").and_then(Value::as_object).cloned().unwrap_or_default();
            let used: Map<String, Value> = hard
                .keys()
                .filter_map(|name| {
                    Some((name.clone(), self.used(namespace, name)?.to_string().into()))
                })
                .collect();
            let status = json!({"hard": hard, "used": used});
            if quota.field("status") != Some(&status) {
                let key = Key::new("ResourceQuota", namespace, quota.name());
                self.store(&key, &quota.with_field("status", status));
            }
        }
    }

    /// Returns the current usage of the quota resource `name`, or `None` for an unknown name.
    fn used(&self, namespace: &str, name: &str) -> Option<Quantity> {
        let (plural, group_name) = counted_resource(name)?;
        let resource = self.resource_named(group_name, plural)?;
        let objects = self.objects.of_kind(resource.storage_kind, Some(namespace));
        let usages = objects.filter_map(|object| usage_of(&resource, object, name));
        Some(usages.fold(Quantity::from_millis(0), |sum, one| sum.add(&one)))
    }

    /// Checks that a new object fits into the quotas of its namespace.
    pub(crate) fn check_quotas(
        &self,
        resource: &ServedResource,
        target: &ResourceName,
        object: &Object,
    ) -> Result<(), StatusError> {
        let Some(namespace) = object.namespace().filter(|_| self.objects.has_any("ResourceQuota"))
        else {
            return Ok(());
        };
        for quota in self.objects.of_kind("ResourceQuota", Some(namespace)) {
            // A quota without a status is not enforced yet.
            let hard = quota.at("/status/hard").and_then(Value::as_object).into_iter().flatten();
            let (mut requested, mut used, mut limited) = (Vec::new(), Vec::new(), Vec::new());
            let mut unspecified: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
            for (name, limit) in hard {
                if resource.storage_kind == "Pod" && compute_resource(name).is_some() {
                    let without =
                        containers(object).filter(|one| container_quantity(one, name).is_none());
                    let without: Vec<&str> = without.map(|one| one.name()).collect();
                    if !without.is_empty() {
                        unspecified.insert(name, without);
                        continue;
                    }
                }
                let Some(wanted) =
                    usage_of(resource, object, name).filter(|wanted| !wanted.is_zero())
                else {
                    continue;
                };
                let limit = limit.as_str().map_or_else(|| limit.to_string(), String::from);
                let have = self.used(namespace, name).unwrap_or_else(|| Quantity::from_millis(0));
                if Quantity::parse(&limit).is_ok_and(|limit| have.add(&wanted) > limit) {
                    requested.push(format!("{name}={wanted}"));
                    used.push(format!("{name}={have}"));
                    limited.push(format!("{name}={limit}"));
                }
            }
            if !unspecified.is_empty() {
                let unspecified: Vec<String> = unspecified
                    .iter()
                    .map(|(name, containers)| format!("{name} for: {}", containers.join(",")))
                    .collect();
                let message = format!(
                    "failed quota: {}: must specify {}",
                    quota.name(),
                    unspecified.join("; ")
                );
                return Err(StatusError::forbidden(target, &message));
            }
            if !requested.is_empty() {
                let message = format!(
                    "exceeded quota: {}, requested: {}, used: {}, limited: {}",
                    quota.name(),
                    requested.join(","),
                    used.join(","),
                    limited.join(",")
                );
                return Err(StatusError::forbidden(target, &message));
            }
        }
        Ok(())
    }
}

/// Returns the plural and group of the resource that counts towards the quota resource `name`.
fn counted_resource(name: &str) -> Option<(&str, &str)> {
    if let Some(counted_resource) = name.strip_prefix("count/") {
        return Some(counted_resource.split_once('.').unwrap_or((counted_resource, "")));
    }
    if compute_resource(name).is_some() {
        return Some(("pods", ""));
    }
    match name {
        "services.loadbalancers" | "services.nodeports" => Some(("services", "")),
        "pods"
        | "services"
        | "configmaps"
        | "secrets"
        | "persistentvolumeclaims"
        | "replicationcontrollers"
        | "resourcequotas" => Some((name, "")),
        _ => None,
    }
}

/// Returns the container field that counts towards `name`: `requests` or `limits`, and the resource.
fn compute_resource(name: &str) -> Option<(&'static str, &'static str)> {
    match name {
        "cpu" | "requests.cpu" => Some(("requests", "cpu")),
        "memory" | "requests.memory" => Some(("requests", "memory")),
        "limits.cpu" => Some(("limits", "cpu")),
        "limits.memory" => Some(("limits", "memory")),
        _ => None,
    }
}

fn container_quantity(container: &cluster::Container<'_>, name: &str) -> Option<Quantity> {
    let (list, of) = compute_resource(name)?;
    if list == "requests" {
        container.request(of).or_else(|| container.limit(of))
    } else {
        container.limit(of)
    }
}

/// Returns how much one object counts towards `name`.
fn usage_of(resource: &ServedResource, object: &Object, name: &str) -> Option<Quantity> {
    let (plural, group_name) = counted_resource(name)?;
    if resource.plural != plural || group(&resource.kind) != group_name {
        return None;
    }
    let one = Quantity::from_millis(1000);
    let is_over = Pod::of(object).is_some_and(|pod| pod.is_finished());
    if is_over && !name.starts_with("count/") {
        return None;
    }
    if compute_resource(name).is_some() {
        let quantities =
            containers(object).filter_map(|container| container_quantity(&container, name));
        return Some(quantities.fold(Quantity::from_millis(0), |sum, one| sum.add(&one)));
    }
    let kind = object.at("/spec/type").and_then(Value::as_str).unwrap_or_default();
    let is_counted = match name {
        "services.loadbalancers" => kind == "LoadBalancer",
        "services.nodeports" => matches!(kind, "NodePort" | "LoadBalancer"),
        _ => true,
    };
    is_counted.then_some(one)
}
