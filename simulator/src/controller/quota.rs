use std::collections::BTreeMap;
use std::sync::Arc;

use cluster::{Object, Pod, Quantity, containers};
use serde_json::{Map, Value, json};

use crate::api::{Named, Refusal, Resource, group};
use crate::objects::Key;
use crate::world::World;

impl World {
    /// Writes what each quota of a namespace allows, and what of it is used.
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

    /// How much of what a quota calls `name` exists; none where nothing is known under that name.
    fn used(&self, namespace: &str, name: &str) -> Option<Quantity> {
        let (plural, of_group) = counted(name)?;
        let resource = self.resource_named(of_group, plural)?;
        let objects = self.objects.of_kind(resource.shelf, Some(namespace));
        let demands = objects.filter_map(|object| demand(&resource, object, name));
        Some(demands.fold(Quantity::from_millis(0), |sum, one| sum.add(&one)))
    }

    /// Whether the quotas of its namespace have room for a new object.
    pub(crate) fn check_quotas(
        &self,
        resource: &Resource,
        named: &Named,
        object: &Object,
    ) -> Result<(), Refusal> {
        let Some(namespace) = object.namespace().filter(|_| self.objects.has_any("ResourceQuota"))
        else {
            return Ok(());
        };
        for quota in self.objects.of_kind("ResourceQuota", Some(namespace)) {
            // Until its controller has looked at a quota, it limits nothing.
            let hard = quota.at("/status/hard").and_then(Value::as_object).into_iter().flatten();
            let (mut requested, mut used, mut limited) = (Vec::new(), Vec::new(), Vec::new());
            let mut unsaid: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
            for (name, limit) in hard {
                if resource.shelf == "Pod" && figure(name).is_some() {
                    let without = containers(object).filter(|one| asked(one, name).is_none());
                    let without: Vec<&str> = without.map(|one| one.name()).collect();
                    if !without.is_empty() {
                        unsaid.insert(name, without);
                        continue;
                    }
                }
                let Some(wanted) =
                    demand(resource, object, name).filter(|wanted| !wanted.is_zero())
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
            if !unsaid.is_empty() {
                let unsaid: Vec<String> = unsaid
                    .iter()
                    .map(|(name, who)| format!("{name} for: {}", who.join(",")))
                    .collect();
                let why =
                    format!("failed quota: {}: must specify {}", quota.name(), unsaid.join("; "));
                return Err(Refusal::forbidden(named, &why));
            }
            if !requested.is_empty() {
                let why = format!(
                    "exceeded quota: {}, requested: {}, used: {}, limited: {}",
                    quota.name(),
                    requested.join(","),
                    used.join(","),
                    limited.join(",")
                );
                return Err(Refusal::forbidden(named, &why));
            }
        }
        Ok(())
    }
}

/// The resource, by its plural and group, whose objects count under `name`.
fn counted(name: &str) -> Option<(&str, &str)> {
    if let Some(counted) = name.strip_prefix("count/") {
        return Some(counted.split_once('.').unwrap_or((counted, "")));
    }
    if figure(name).is_some() {
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

/// Which figure of a container counts: `requests` or `limits`, and of what.
fn figure(name: &str) -> Option<(&'static str, &'static str)> {
    match name {
        "cpu" | "requests.cpu" => Some(("requests", "cpu")),
        "memory" | "requests.memory" => Some(("requests", "memory")),
        "limits.cpu" => Some(("limits", "cpu")),
        "limits.memory" => Some(("limits", "memory")),
        _ => None,
    }
}

fn asked(container: &cluster::Container<'_>, name: &str) -> Option<Quantity> {
    let (list, of) = figure(name)?;
    if list == "requests" {
        container.request(of).or_else(|| container.limit(of))
    } else {
        container.limit(of)
    }
}

/// What one object counts under `name`.
fn demand(resource: &Resource, object: &Object, name: &str) -> Option<Quantity> {
    let (plural, of_group) = counted(name)?;
    if resource.plural != plural || group(&resource.kind) != of_group {
        return None;
    }
    let one = Quantity::from_millis(1000);
    let is_over = Pod::of(object).is_some_and(|pod| pod.is_over());
    if is_over && !name.starts_with("count/") {
        return None;
    }
    if figure(name).is_some() {
        let figures = containers(object).filter_map(|container| asked(&container, name));
        return Some(figures.fold(Quantity::from_millis(0), |sum, one| sum.add(&one)));
    }
    let kind = object.at("/spec/type").and_then(Value::as_str).unwrap_or_default();
    let is_counted = match name {
        "services.loadbalancers" => kind == "LoadBalancer",
        "services.nodeports" => matches!(kind, "NodePort" | "LoadBalancer"),
        _ => true,
    };
    is_counted.then_some(one)
}
