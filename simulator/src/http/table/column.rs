//! Which columns a kind has, and who fills them.

use cluster::Object;
use jiff::Timestamp;
use serde_json::{Value, json};

use super::custom::Printed;
use super::{cell, core, pod, policy, workload};
use crate::api::Resource;
use crate::world::World;

/// Where a column is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::http) enum Shown {
    Always,
    /// With `-o wide` alone.
    Wide,
}

/// One column: its name, its type, and where it is shown.
#[derive(Clone, Copy, Debug)]
pub(in crate::http) struct Column {
    pub(super) name: &'static str,
    pub(super) kind: &'static str,
    pub(super) shown: Shown,
}

/// A column of texts.
pub(super) const fn always(name: &'static str) -> Column {
    Column { name, kind: "string", shown: Shown::Always }
}

/// A column of texts that `-o wide` shows.
pub(super) const fn wide(name: &'static str) -> Column {
    Column { name, kind: "string", shown: Shown::Wide }
}

/// A column of whole numbers.
pub(super) const fn whole(name: &'static str) -> Column {
    Column { name, kind: "integer", shown: Shown::Always }
}

type Fill = fn(&Object, Timestamp) -> Vec<Value>;

/// The columns of one kind.
pub(in crate::http) enum Columns {
    /// Of a kind that is built in.
    BuiltIn(&'static [Column], Fill),
    /// Of a custom kind, as its definition says.
    Custom(Vec<Printed>),
}

impl Columns {
    /// The columns of `resource`.
    pub(in crate::http) fn of(world: &World, resource: &Resource) -> Self {
        let (columns, fill): (&'static [Column], Fill) = match resource.kind.kind.as_str() {
            "Pod" => (pod::COLUMNS, pod::cells),
            "Deployment" => (workload::DEPLOYMENT, workload::deployment),
            "ReplicaSet" | "ReplicationController" => {
                (workload::REPLICA_SET, workload::replica_set)
            }
            "StatefulSet" => (workload::STATEFUL_SET, workload::stateful_set),
            "DaemonSet" => (workload::DAEMON_SET, workload::daemon_set),
            "Job" => (workload::JOB, workload::job),
            "CronJob" => (workload::CRON_JOB, workload::cron_job),
            "ControllerRevision" => (workload::REVISION, workload::revision),
            "HorizontalPodAutoscaler" => (workload::AUTOSCALER, workload::autoscaler),
            "Service" => (core::SERVICE, core::service),
            "Endpoints" => (core::ENDPOINTS, core::endpoints),
            "EndpointSlice" => (core::ENDPOINT_SLICE, core::endpoint_slice),
            "Node" => (core::NODE, core::node),
            "Namespace" => (core::NAMESPACE, core::namespace),
            "ConfigMap" => (core::CONFIG_MAP, core::config_map),
            "Secret" => (core::SECRET, core::secret),
            "Event" => (core::EVENT, core::event),
            "PersistentVolumeClaim" => (core::CLAIM, core::claim),
            "PodDisruptionBudget" => (policy::BUDGET, policy::budget),
            "ResourceQuota" => (policy::QUOTA, policy::quota),
            "Lease" => (policy::LEASE, policy::lease),
            "RoleBinding" | "ClusterRoleBinding" => (policy::BINDING, policy::binding),
            "Role" | "ClusterRole" | "CustomResourceDefinition" | "LimitRange" => {
                (policy::CREATED_AT, policy::created_at)
            }
            "Ingress" => (policy::INGRESS, policy::ingress),
            "NetworkPolicy" => (policy::NETWORK_POLICY, policy::network_policy),
            "PriorityClass" => (policy::PRIORITY, policy::priority),
            "ValidatingWebhookConfiguration" | "MutatingWebhookConfiguration" => {
                (policy::WEBHOOKS, policy::webhooks)
            }
            _ => match Printed::of(world, resource) {
                Some(printed) => return Self::Custom(printed),
                None => (NAME_AND_AGE, name_and_age),
            },
        };
        Self::BuiltIn(columns, fill)
    }

    pub(super) fn cells(&self, object: &Object, now: Timestamp) -> Vec<Value> {
        match self {
            Self::BuiltIn(_, fill) => fill(object, now),
            Self::Custom(printed) => printed.iter().map(|one| one.cell(object, now)).collect(),
        }
    }

    pub(super) fn definitions(&self) -> Value {
        let define = |name: &str, kind: &str, shown: Shown| {
            let format = if name == "Name" { "name" } else { "" };
            let priority = match shown {
                Shown::Always => 0,
                Shown::Wide => 1,
            };
            json!({"name": name, "type": kind, "format": format, "description": "", "priority": priority})
        };
        match self {
            Self::BuiltIn(columns, _) => {
                columns.iter().map(|one| define(one.name, one.kind, one.shown)).collect()
            }
            Self::Custom(printed) => {
                printed.iter().map(|one| define(&one.name, &one.kind, one.shown)).collect()
            }
        }
    }
}

const NAME_AND_AGE: &[Column] = &[always("Name"), always("Age")];

fn name_and_age(object: &Object, now: Timestamp) -> Vec<Value> {
    vec![object.name().into(), cell::age(object, now)]
}
