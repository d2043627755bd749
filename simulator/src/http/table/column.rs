//! The columns of each kind, and the functions that compute their cells.

use cluster::Object;
use jiff::Timestamp;
use serde_json::{Value, json};

use super::custom::PrinterColumn;
use super::{cell, core, pod, policy, workload};
use crate::api::ServedResource;
use crate::world::World;

/// The priority of a column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::http) enum ColumnPriority {
    Always,
    /// Only shown with `-o wide`.
    Wide,
}

/// One column.
#[derive(Clone, Copy, Debug)]
pub(in crate::http) struct Column {
    pub(super) name: &'static str,
    pub(super) kind: &'static str,
    pub(super) priority: ColumnPriority,
}

/// Returns a string column.
pub(super) const fn always(name: &'static str) -> Column {
    Column { name, kind: "string", priority: ColumnPriority::Always }
}

/// Returns a string column that only `-o wide` shows.
pub(super) const fn wide(name: &'static str) -> Column {
    Column { name, kind: "string", priority: ColumnPriority::Wide }
}

/// Returns an integer column.
pub(super) const fn integer(name: &'static str) -> Column {
    Column { name, kind: "integer", priority: ColumnPriority::Always }
}

type CellsFn = fn(&Object, Timestamp) -> Vec<Value>;

/// The columns of one kind.
pub(in crate::http) enum TableColumns {
    /// The columns of a built-in kind.
    BuiltIn(&'static [Column], CellsFn),
    /// The columns of a custom kind, from its CustomResourceDefinition.
    Custom(Vec<PrinterColumn>),
}

impl TableColumns {
    /// Returns the columns of `resource`.
    pub(in crate::http) fn of(world: &World, resource: &ServedResource) -> Self {
        let (columns, cells): (&'static [Column], CellsFn) = match resource.kind.kind.as_str() {
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
            _ => match PrinterColumn::of(world, resource) {
                Some(columns) => return Self::Custom(columns),
                None => (NAME_AND_AGE, name_and_age),
            },
        };
        Self::BuiltIn(columns, cells)
    }

    pub(super) fn cells(&self, object: &Object, now: Timestamp) -> Vec<Value> {
        match self {
            Self::BuiltIn(_, cells) => cells(object, now),
            Self::Custom(columns) => columns.iter().map(|one| one.cell(object, now)).collect(),
        }
    }

    pub(super) fn definitions(&self) -> Value {
        let define = |name: &str, kind: &str, priority: ColumnPriority| {
            let format = if name == "Name" { "name" } else { "" };
            let priority = match priority {
                ColumnPriority::Always => 0,
                ColumnPriority::Wide => 1,
            };
            json!({"name": name, "type": kind, "format": format, "description": "", "priority": priority})
        };
        match self {
            Self::BuiltIn(columns, _) => {
                columns.iter().map(|one| define(one.name, one.kind, one.priority)).collect()
            }
            Self::Custom(columns) => {
                columns.iter().map(|one| define(&one.name, &one.kind, one.priority)).collect()
            }
        }
    }
}

const NAME_AND_AGE: &[Column] = &[always("Name"), always("Age")];

fn name_and_age(object: &Object, now: Timestamp) -> Vec<Value> {
    vec![object.name().into(), cell::age(object, now)]
}
