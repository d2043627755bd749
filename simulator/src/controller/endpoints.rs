use cluster::{Kind, Object, Pod, PortRef, Service};
use serde_json::{Value, json};

use super::deployment::owner_reference;
use crate::objects::Key;
use crate::world::World;

impl World {
    /// Writes the EndpointSlice of a Service: the addresses and ports of the selected pods.
    pub(crate) fn reconcile_endpoints(&mut self, key: &Key) {
        let Some(object) = self.objects.get(key).cloned() else { return };
        let service = Service::of(&object).expect("a Service is stored under its kind");
        if service.selector().is_empty() {
            return;
        }
        let pods: Vec<Object> = self
            .objects
            .of_kind("Pod", Some(&key.namespace))
            .filter(|pod| {
                service.selects(&pod.metadata().labels)
                    && Pod::of(pod).is_some_and(|pod| pod.ip().is_some())
            })
            .cloned()
            .collect();
        let ports: Vec<Value> = service
            .ports()
            .filter_map(|port| {
                let number = match port.target_port {
                    PortRef::Number(number) => Some(number),
                    PortRef::Name(_) => pods.iter().find_map(|pod| {
                        let pod = Pod::of(pod)?;
                        pod.containers()
                            .find_map(|container| port.target_port.number_in(&container))
                    }),
                };
                Some(json!({"name": port.name, "port": number?, "protocol": port.protocol}))
            })
            .collect();
        let publishes_all =
            object.at("/spec/publishNotReadyAddresses").and_then(Value::as_bool) == Some(true);
        let endpoints: Vec<Value> = pods
            .iter()
            .map(|object| {
                let pod = Pod::of(object).expect("a Pod is stored under its kind");
                let is_ready = publishes_all || pod.is_ready() && !pod.is_terminating();
                json!({
                    "addresses": [pod.ip()],
                    "conditions": {"ready": is_ready, "serving": pod.is_ready(), "terminating": pod.is_terminating()},
                    "nodeName": pod.node(),
                    "targetRef": {"kind": "Pod", "namespace": object.namespace(), "name": object.name(), "uid": object.metadata().uid},
                })
            })
            .collect();

        let hash = crate::rng::template_hash(&object.metadata().uid.clone().into());
        let slice_key =
            Key::new("EndpointSlice", &key.namespace, &format!("{}-{}", key.name, &hash[..5]));
        let (ports, endpoints) = (Value::Array(ports), Value::Array(endpoints));
        match self.objects.get(&slice_key).cloned() {
            Some(slice)
                if slice.field("ports") == Some(&ports)
                    && slice.field("endpoints") == Some(&endpoints) => {}
            Some(slice) => {
                self.store(
                    &slice_key,
                    &slice.with_field("ports", ports).with_field("endpoints", endpoints),
                );
            }
            None => {
                let value = json!({
                    "apiVersion": Kind::builtin("EndpointSlice").expect("EndpointSlice is built in").api_version,
                    "kind": "EndpointSlice",
                    "metadata": {
                        "name": &*slice_key.name,
                        "namespace": &*key.namespace,
                        "labels": {"kubernetes.io/service-name": &*key.name, "endpointslice.kubernetes.io/managed-by": "endpointslice-controller.k8s.io"},
                        "ownerReferences": [owner_reference(&object)],
                    },
                    "addressType": "IPv4",
                    "ports": ports,
                    "endpoints": endpoints,
                });
                let slice = Object::from_value(value).expect("the literal is a valid object");
                // The create fails only if the namespace is terminating; the slice is then not needed.
                let _ = self.create_object(slice);
            }
        }
    }
}
