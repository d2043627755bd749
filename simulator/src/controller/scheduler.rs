use std::collections::BTreeMap;

use cluster::Object;
use jiff::SignedDuration;
use serde_json::{Value, json};

use crate::objects::Key;
use crate::queue::Timer;
use crate::world::World;

impl World {
    /// Assigns a pod to the feasible node with the fewest pods.
    pub(crate) fn schedule(&mut self, key: &Key) {
        let Some(pod) = self.objects.get(key).cloned() else { return };
        let is_pending = pod.at("/status/phase").is_none_or(|phase| phase == "Pending");
        let is_scheduled = pod.at("/spec/nodeName").is_some();
        if is_scheduled || !is_pending || pod.metadata().deletion_timestamp.is_some() {
            return;
        }
        let mut load: BTreeMap<&str, usize> = BTreeMap::new();
        for node in
            self.objects.of_kind("Pod", None).filter_map(|pod| pod.at("/spec/nodeName")?.as_str())
        {
            *load.entry(node).or_default() += 1;
        }
        let nodes: Vec<&Object> = self.objects.of_kind("Node", None).collect();
        let feasible = nodes
            .iter()
            .filter(|node| is_feasible(node, &pod))
            .min_by_key(|node| (load.get(node.name()).copied().unwrap_or(0), node.name()));
        let Some(node) = feasible.map(|node| node.name().to_string()) else {
            let message = format!(
                "0/{} nodes are available: node(s) didn't match Pod's node affinity/selector or were unschedulable.",
                nodes.len()
            );
            self.record_event(&pod, "Warning", "FailedScheduling", &message, "default-scheduler");
            let mut status = pod.field("status").cloned().unwrap_or_default();
            status["conditions"] = json!([{"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": message,
                "lastTransitionTime": self.now_rfc3339()}]);
            self.objects.put(key, &pod.with_field("status", status));
            self.set_timer(SignedDuration::from_secs(30), Timer::Scheduler(key.clone()));
            return;
        };
        let mut spec = pod.field("spec").cloned().unwrap_or_default();
        spec["nodeName"] = node.clone().into();
        let pod = self.store(key, &pod.with_field("spec", spec));
        let message = format!("Successfully assigned {}/{} to {node}", key.namespace, key.name);
        self.record_event(&pod, "Normal", "Scheduled", &message, "default-scheduler");
    }
}

fn is_feasible(node: &Object, pod: &Object) -> bool {
    let is_schedulable = node.at("/spec/unschedulable").and_then(Value::as_bool) != Some(true);
    let selector = pod.at("/spec/nodeSelector").and_then(Value::as_object).into_iter().flatten();
    let mut selector = selector.clone();
    is_schedulable
        && selector.all(|(key, value)| {
            node.metadata().labels.get(key).map(String::as_str) == value.as_str()
        })
}
