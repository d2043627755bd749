//! World files.

use std::collections::BTreeMap;

use cluster::Object;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use workflow::duration::Duration;
use workflow::manifest::ManifestMetadata;

use crate::alertmanager::Grouping;
use crate::behaviour::Behaviour;
use crate::recurring::RecurringEvent;
use crate::rule::Rule;
use crate::traffic::{ClientTraffic, TrafficPattern};

/// A world file: objects, the behaviour of the programs in their containers, traffic, and alerting rules.
///
/// Names may be symbols, `$(class.word)`: see [`crate::Naming`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct WorldFile {
    /// `chiron.dev/v1alpha1`.
    pub api_version: String,
    /// `World`.
    pub kind: String,
    pub metadata: ManifestMetadata,
    pub spec: WorldSpec,
}

/// Contents of a world file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct WorldSpec {
    /// Name of the world that this one extends. See [`WorldFile::extend`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base: Option<String>,
    /// Objects to create at the start, in order: Nodes, Namespaces, Deployments, Services, …
    #[serde(default)]
    pub objects: Vec<Object>,
    /// Images that can be pulled, by full name, and the behaviour of their programs.
    #[serde(default)]
    pub images: BTreeMap<String, Behaviour>,
    /// Workloads that a scenario can select as its target, each with the values of the scenario's placeholders.
    #[serde(default)]
    pub workloads: Vec<WorkloadEntry>,
    /// Requests from outside the cluster.
    #[serde(default)]
    pub traffic: Vec<ClientTraffic>,
    /// Periodic variation of all traffic. Default: constant traffic.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub traffic_pattern: Option<TrafficPattern>,
    /// Events that repeat: rollouts, and faults with their reverts.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub recurring_events: Vec<RecurringEvent>,
    /// Time between two scrapes, after which the rules are evaluated. Default: one second after each change.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scrape_interval: Option<Duration>,
    /// Alerting rules.
    #[serde(default)]
    pub rules: Vec<Rule>,
    /// Grouping of alerts into notifications.
    #[serde(default)]
    pub alertmanager: Grouping,
}

/// A workload that a scenario can select as its target: its parts by name, `service: cart`, `container: web`.
///
/// `$(target.PART)` in a scenario is replaced by the part of the selected workload. `name` and `namespace` are
/// required.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct WorkloadEntry(pub BTreeMap<String, serde_json::Value>);

/// An invalid world or scenario file.
#[derive(Debug, thiserror::Error)]
pub enum InvalidFile {
    /// The file does not parse.
    #[error("cannot parse the {document}: {message}")]
    Parse {
        /// `world` or `scenario`.
        document: &'static str,
        /// Message of the parser, with line and column.
        message: String,
    },
    /// The file has another kind or version.
    #[error(
        "expected apiVersion {expected_version} and kind {expected}, found {found_version} {found}"
    )]
    UnexpectedKind {
        expected_version: &'static str,
        expected: &'static str,
        found_version: String,
        found: String,
    },
    /// A field, a symbol, an object or a patch is invalid.
    #[error("invalid {document}: {location}: {reason}")]
    Invalid {
        /// `world` or `scenario`, with its name.
        document: String,
        /// Path of the field, or the symbol.
        location: String,
        reason: String,
    },
}

impl WorldFile {
    /// Parses a world file.
    ///
    /// # Errors
    /// [`InvalidFile`] if it does not parse (with line and column), has another kind, or an interval is below 1 s.
    pub fn parse(text: &str) -> Result<Self, InvalidFile> {
        let file: Self = parse_yaml("world", text)?;
        check_kind(&file.api_version, &file.kind, "World")?;
        let events = file.spec.recurring_events.iter();
        let intervals = events.map(|event| ("spec.recurringEvents", event.every));
        let scrape = file.spec.scrape_interval.map(|every| ("spec.scrapeInterval", every));
        let pattern = file.spec.traffic_pattern.as_ref();
        let intervals = intervals
            .chain(scrape)
            .chain(pattern.map(|pattern| ("spec.trafficPattern.step", pattern.step)))
            .chain(pattern.map(|pattern| ("spec.trafficPattern.period", pattern.period)));
        for (location, interval) in intervals {
            if interval < Duration::from_secs(1) {
                return Err(file.invalid(location, "the interval must be at least 1s"));
            }
        }
        Ok(file)
    }

    /// Merges this world with its base: the lists of `base` come first, and images of this world replace those of
    /// `base`. `trafficPattern`, `scrapeInterval` and `alertmanager` of `base` apply if this world does not set them.
    ///
    /// # Errors
    /// [`InvalidFile`] if `spec.base` does not name `base`, or if `base` itself has a base.
    pub fn extend(mut self, base: &Self) -> Result<Self, InvalidFile> {
        let name = &base.metadata.name;
        if self.spec.base.as_ref() != Some(name) {
            return Err(self.invalid("spec.base", &format!("the world does not extend {name}")));
        }
        if base.spec.base.is_some() {
            return Err(self.invalid("spec.base", "the base world must not have a base itself"));
        }
        let (own, base) = (&mut self.spec, base.spec.clone());
        own.base = None;
        prepend(&mut own.objects, base.objects);
        prepend(&mut own.workloads, base.workloads);
        prepend(&mut own.traffic, base.traffic);
        prepend(&mut own.recurring_events, base.recurring_events);
        prepend(&mut own.rules, base.rules);
        own.images = base.images.into_iter().chain(std::mem::take(&mut own.images)).collect();
        own.traffic_pattern = own.traffic_pattern.take().or(base.traffic_pattern);
        own.scrape_interval = own.scrape_interval.or(base.scrape_interval);
        if own.alertmanager == Grouping::default() {
            own.alertmanager = base.alertmanager;
        }
        Ok(self)
    }

    pub(crate) fn invalid(&self, location: &str, reason: &str) -> InvalidFile {
        InvalidFile::Invalid {
            document: format!("world {}", self.metadata.name),
            location: location.into(),
            reason: reason.into(),
        }
    }
}

fn prepend<T>(own: &mut Vec<T>, before: Vec<T>) {
    own.splice(..0, before);
}

pub(crate) fn parse_yaml<T: DeserializeOwned>(
    document: &'static str,
    text: &str,
) -> Result<T, InvalidFile> {
    serde_saphyr::from_str(text)
        .map_err(|error| InvalidFile::Parse { document, message: error.to_string() })
}

pub(crate) fn check_kind(
    version: &str,
    kind: &str,
    expected: &'static str,
) -> Result<(), InvalidFile> {
    if version == workflow::manifest::API_VERSION && kind == expected {
        return Ok(());
    }
    Err(InvalidFile::UnexpectedKind {
        expected_version: workflow::manifest::API_VERSION,
        expected,
        found_version: version.into(),
        found: kind.into(),
    })
}
