use std::collections::BTreeMap;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD as BASE64;
use cluster::{Container, EnvSource, Object};
use serde_json::Value;

use crate::objects::Key;
use crate::world::World;

impl World {
    /// Returns the environment of a container at its start, or the kubelet's message about a missing reference.
    pub(super) fn environment(
        &self,
        pod: &Object,
        container: &Container<'_>,
    ) -> Result<BTreeMap<String, String>, String> {
        let namespace = pod.namespace().unwrap_or_default();
        let mut env = BTreeMap::new();
        let maps = container.env_from_config_maps().map(|name| ("ConfigMap", name));
        let secrets = container.env_from_secrets().map(|name| ("Secret", name));
        for (kind, name) in maps.chain(secrets) {
            let object = self
                .objects
                .get(&Key::new(kind, namespace, name))
                .ok_or_else(|| not_found(kind, name))?;
            for (key, _) in object.field("data").and_then(Value::as_object).into_iter().flatten() {
                env.extend(value_of(object, key).map(|value| (key.clone(), value)));
            }
        }
        for variable in container.env() {
            let (kind, name, key, is_optional) = match variable.source {
                EnvSource::Value(value) => {
                    env.insert(variable.name.into(), value.into());
                    continue;
                }
                EnvSource::Pod => {
                    env.insert(variable.name.into(), pod.name().into());
                    continue;
                }
                EnvSource::ConfigMap { name, key, is_optional } => {
                    ("ConfigMap", name, key, is_optional)
                }
                EnvSource::Secret { name, key, is_optional } => ("Secret", name, key, is_optional),
            };
            let object = self.objects.get(&Key::new(kind, namespace, name));
            match object.and_then(|object| value_of(object, key)) {
                Some(value) => {
                    env.insert(variable.name.into(), value);
                }
                None if is_optional => {}
                None if object.is_some() => {
                    return Err(format!("couldn't find key {key} in {kind} {namespace}/{name}"));
                }
                None => return Err(not_found(kind, name)),
            }
        }
        Ok(env)
    }
}

fn not_found(kind: &str, name: &str) -> String {
    format!("{} {name:?} not found", kind.to_lowercase())
}

fn value_of(object: &Object, key: &str) -> Option<String> {
    let text = object.field("data")?.get(key)?.as_str()?;
    if object.kind().kind == "ConfigMap" {
        return Some(text.into());
    }
    Some(String::from_utf8_lossy(&BASE64.decode(text).ok()?).into_owned())
}
