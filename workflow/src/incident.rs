//! Incidents: deduplicated alerts about one problem. A pure fold of what came in.

mod decide;

use std::collections::{BTreeMap, BTreeSet};

use cluster::ObjectRef;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::alert::Alert;
use crate::duration::Span;
use crate::id::{AlertId, IncidentId};

pub use decide::{TENANT, decide};

/// An alert that fires again within this time of its end is the same episode; an incident closes this long after its
/// last alert ended.
pub const EPISODE_GAP: Span = Span::from_secs(300);

/// One incident.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Incident {
    /// Its id.
    pub id: IncidentId,
    /// The cluster.
    pub cluster: String,
    /// The namespace that the alerts name, empty if none.
    pub namespace: String,
    /// Label and value of the subject: `deployment=checkout`.
    pub subject: (String, String),
    /// The workload that evidence found to own the subject.
    pub owner: Option<ObjectRef>,
    /// The alert that began it.
    pub first: Alert,
    /// Alerts of it that fire now.
    pub firing: BTreeSet<AlertId>,
    /// Every alert of it.
    pub alerts: BTreeSet<AlertId>,
    /// The incident about the same subject before this one.
    pub previous: Option<IncidentId>,
    /// Set when it was merged into another: that one.
    pub merged_into: Option<IncidentId>,
    /// When it was opened.
    pub opened_at: Timestamp,
    /// When its last alert ended, while none fires.
    pub quiet_since: Option<Timestamp>,
    /// When it was closed.
    pub closed_at: Option<Timestamp>,
}

/// One alert episode, as the fold remembers it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Episode {
    /// Its alert's id.
    pub alert: AlertId,
    /// The incident that it belongs to.
    pub incident: IncidentId,
    /// How many episodes of this label set there were, this one included.
    pub n: u64,
    /// Whether it fires now.
    pub is_firing: bool,
    /// When it last ended.
    pub resolved_at: Option<Timestamp>,
    /// How often it was delivered.
    pub deliveries: u64,
}

/// All incidents, open and closed, and the alert episodes behind them.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Incidents {
    /// By id.
    pub incidents: BTreeMap<IncidentId, Incident>,
    /// Open incidents by incident key.
    pub open: BTreeMap<String, IncidentId>,
    /// The latest incident, open or closed, by incident key.
    pub latest: BTreeMap<String, IncidentId>,
    /// The latest episode by tenant, cluster and fingerprint.
    pub episodes: BTreeMap<String, Episode>,
    /// Delivery keys seen, with how often.
    pub delivered: BTreeMap<String, u64>,
    /// Delivery keys of ends that were heard of before their beginnings.
    pub unseen: BTreeSet<String>,
    /// Under what each alert's episode stands in [`Self::episodes`].
    places: BTreeMap<AlertId, String>,
    /// Open incidents of which nothing fires, each since when.
    quiet: BTreeSet<(Timestamp, IncidentId)>,
}

/// What can happen to incidents.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum IncidentInput {
    /// An alert was delivered.
    Alert(Alert),
    /// Evidence found the workload that owns an incident's subject.
    OwnerFound(IncidentId, ObjectRef),
    /// Time has passed.
    Deadline,
}

/// A recorded change of incidents.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", tag = "event")]
pub enum IncidentEvent {
    /// A new incident.
    Opened {
        /// The incident.
        incident: Box<Incident>,
    },
    /// An alert began to fire under an incident (a new episode, or an episode that went on).
    AlertFired {
        /// The incident.
        incident: IncidentId,
        /// The alert.
        alert: Box<Alert>,
        /// How many episodes of its label set there were, this one included.
        n: u64,
    },
    /// A delivery said what was known already.
    AlertRepeated {
        /// The incident.
        incident: IncidentId,
        /// The alert.
        alert: AlertId,
        /// How often, within this batch.
        count: u64,
        /// The delivery key.
        delivery: String,
    },
    /// An alert ended.
    AlertResolved {
        /// The incident.
        incident: IncidentId,
        /// The alert.
        alert: AlertId,
        /// The delivery key.
        delivery: String,
        /// When we heard of it.
        at: Timestamp,
    },
    /// An alert ended that we never saw firing: kept, nothing follows.
    ResolvedUnseen {
        /// The alert.
        alert: Box<Alert>,
        /// The delivery key.
        delivery: String,
    },
    /// Evidence found the owner.
    OwnerFound {
        /// The incident.
        incident: IncidentId,
        /// The workload.
        owner: ObjectRef,
    },
    /// An incident was found to be about the same workload as an older one.
    Merged {
        /// The incident that goes.
        incident: IncidentId,
        /// The incident that stays.
        into: IncidentId,
        /// When.
        at: Timestamp,
    },
    /// The gap after its last alert has passed.
    Closed {
        /// The incident.
        incident: IncidentId,
        /// When.
        at: Timestamp,
    },
}

impl IncidentEvent {
    /// The incident that it is about, if it is about one.
    pub fn incident(&self) -> Option<&IncidentId> {
        match self {
            Self::Opened { incident } => Some(&incident.id),
            Self::AlertFired { incident, .. }
            | Self::AlertRepeated { incident, .. }
            | Self::AlertResolved { incident, .. }
            | Self::OwnerFound { incident, .. }
            | Self::Merged { incident, .. }
            | Self::Closed { incident, .. } => Some(incident),
            Self::ResolvedUnseen { .. } => None,
        }
    }
}

impl Incident {
    /// Whether it is open.
    pub fn is_open(&self) -> bool {
        self.closed_at.is_none() && self.merged_into.is_none()
    }
}
