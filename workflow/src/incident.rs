//! Incidents: deduplicated alerts about one problem, folded from the recorded events.

mod decide;
mod episode;
mod fold;

use std::collections::{BTreeMap, BTreeSet};

use cluster::ObjectRef;
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::alert::Alert;
use crate::duration::Duration;
use crate::id::{AlertId, IncidentId};

pub use decide::decide;
pub use episode::Episode;

/// An alert that fires again within this time after it resolved stays in the same episode. An incident closes this long
/// after its last alert resolved.
pub const EPISODE_GAP: Duration = Duration::from_secs(300);

/// A set of alerts about one problem.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Incident {
    /// Id, derived from the incident key and the time of the first alert.
    pub id: IncidentId,
    /// Name of the cluster that the alerts name, empty if none.
    pub cluster: String,
    /// The namespace that the alerts name, empty if none.
    pub namespace: String,
    /// Name and value of the label that identifies the subject: `deployment=checkout`.
    pub subject: (String, String),
    /// The workload that owns the subject, once evidence has found it.
    pub owner: Option<ObjectRef>,
    /// The alert that opened the incident.
    pub first: Alert,
    /// Alerts that fire now.
    pub firing: BTreeSet<AlertId>,
    /// All alerts, including those of merged incidents.
    pub alerts: BTreeSet<AlertId>,
    /// The previous incident about the same subject.
    pub previous: Option<IncidentId>,
    /// The incident that this one was merged into, if any.
    pub merged_into: Option<IncidentId>,
    /// When the incident was opened.
    pub opened_at: Timestamp,
    /// When the last alert resolved. Absent while an alert fires.
    pub quiet_since: Option<Timestamp>,
    /// When the incident was closed or merged.
    pub closed_at: Option<Timestamp>,
}

/// All incidents, open and closed, with their alert episodes.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Incidents {
    /// Every incident by id.
    pub incidents: BTreeMap<IncidentId, Incident>,
    /// Open incidents by incident key.
    pub open: BTreeMap<String, IncidentId>,
    /// The latest incident, open or closed, by incident key.
    pub latest: BTreeMap<String, IncidentId>,
    /// Every episode by its alert.
    pub episodes: BTreeMap<AlertId, Episode>,
    /// The alert of the latest episode by digest of cluster and fingerprint.
    pub latest_episode: BTreeMap<String, AlertId>,
    /// Number of deliveries by delivery key.
    pub delivered: BTreeMap<String, u64>,
    /// Delivery keys of alerts that resolved before any firing delivery arrived.
    pub resolved_before_firing: BTreeSet<String>,
    /// Number of incidents opened so far.
    opened: u64,
    /// Open incidents without firing alerts, ordered by when the last alert resolved.
    quiet: BTreeSet<(Timestamp, IncidentId)>,
}

/// Input of [`decide`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum IncidentInput {
    /// An alert was delivered.
    Alert(Alert),
    /// Evidence found the workload that owns the subject of an incident.
    OwnerFound(IncidentId, ObjectRef),
    /// A deadline may have passed: incidents that are due are closed.
    Deadline,
}

/// A recorded change of an incident.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", tag = "event")]
pub enum IncidentEvent {
    /// An incident was opened.
    Opened {
        /// The new incident, before its first alert is added.
        incident: Box<Incident>,
    },
    /// An alert started to fire: a new episode, or the continuation of one.
    AlertFired {
        /// The incident.
        incident: IncidentId,
        /// The alert.
        alert: Box<Alert>,
        /// Number of the episode among those of its label set, from 1.
        episode: u64,
    },
    /// A delivery repeated a known state.
    AlertRepeated {
        /// The incident.
        incident: IncidentId,
        /// The alert.
        alert: AlertId,
        /// Number of repeats within this batch.
        count: u64,
        /// Key of the delivery. See [`Alert::delivery_key`].
        delivery: String,
    },
    /// An alert resolved.
    AlertResolved {
        /// The incident.
        incident: IncidentId,
        /// The alert.
        alert: AlertId,
        /// Key of the delivery. See [`Alert::delivery_key`].
        delivery: String,
        /// When the delivery was received.
        at: Timestamp,
    },
    /// An alert resolved without a firing delivery. It is recorded, but opens no incident.
    ResolvedWithoutFiring {
        /// The alert.
        alert: Box<Alert>,
        /// Key of the delivery. See [`Alert::delivery_key`].
        delivery: String,
    },
    /// Evidence found the workload that owns the subject.
    OwnerFound {
        /// The incident.
        incident: IncidentId,
        /// The workload.
        owner: ObjectRef,
    },
    /// An incident was merged into an older incident about the same workload.
    Merged {
        /// The incident that was merged.
        incident: IncidentId,
        /// The older incident.
        into: IncidentId,
        /// When the event was decided.
        at: Timestamp,
    },
    /// An incident was closed, [`EPISODE_GAP`] after its last alert resolved.
    Closed {
        /// The incident.
        incident: IncidentId,
        /// When the event was decided.
        at: Timestamp,
    },
}

impl IncidentEvent {
    /// Returns the incident of the event. `None` for [`Self::ResolvedWithoutFiring`].
    pub fn incident(&self) -> Option<&IncidentId> {
        match self {
            Self::Opened { incident } => Some(&incident.id),
            Self::AlertFired { incident, .. }
            | Self::AlertRepeated { incident, .. }
            | Self::AlertResolved { incident, .. }
            | Self::OwnerFound { incident, .. }
            | Self::Merged { incident, .. }
            | Self::Closed { incident, .. } => Some(incident),
            Self::ResolvedWithoutFiring { .. } => None,
        }
    }

    /// Returns the alert of the event, if it is about one.
    pub fn alert(&self) -> Option<&AlertId> {
        match self {
            Self::AlertFired { alert, .. } | Self::ResolvedWithoutFiring { alert, .. } => {
                Some(&alert.id)
            }
            Self::AlertRepeated { alert, .. } | Self::AlertResolved { alert, .. } => Some(alert),
            Self::Opened { .. }
            | Self::OwnerFound { .. }
            | Self::Merged { .. }
            | Self::Closed { .. } => None,
        }
    }

    /// Returns the number of deliveries that the event stands for.
    pub fn deliveries(&self) -> u64 {
        match self {
            Self::AlertFired { .. }
            | Self::AlertResolved { .. }
            | Self::ResolvedWithoutFiring { .. } => 1,
            Self::AlertRepeated { count, .. } => *count,
            Self::Opened { .. }
            | Self::OwnerFound { .. }
            | Self::Merged { .. }
            | Self::Closed { .. } => 0,
        }
    }
}

impl Incident {
    /// Returns whether the incident is neither closed nor merged.
    pub fn is_open(&self) -> bool {
        self.closed_at.is_none() && self.merged_into.is_none()
    }
}
