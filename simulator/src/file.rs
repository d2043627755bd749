//! Worlds as files.

use std::collections::BTreeMap;

use cluster::Object;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use workflow::duration::Span;
use workflow::manifest::ManifestMetadata;

use crate::alertmanager::Grouping;
use crate::behaviour::Behaviour;
use crate::routine::Routine;
use crate::rule::Rule;
use crate::traffic::{Rhythm, Visitors};

/// A world as a file: objects, what the programs in them do, traffic, and the rules that fire alerts.
///
/// Names in it may be symbols, `$(class.word)`: see [`crate::Naming`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct WorldFile {
    /// `chiron.dev/v1alpha1`.
    pub api_version: String,
    /// `World`.
    pub kind: String,
    /// Its name, and what else is said about it.
    pub metadata: ManifestMetadata,
    /// What is in it.
    pub spec: WorldSpec,
}

/// What is in a world.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct WorldSpec {
    /// Name of the world that this one stands on: it has all that is in that one, and what is said here besides.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base: Option<String>,
    /// The objects that somebody made, in the order in which they are made: nodes, namespaces, Deployments, Services.
    #[serde(default)]
    pub objects: Vec<Object>,
    /// The images that can be pulled, by full name, and what their programs do.
    #[serde(default)]
    pub images: BTreeMap<String, Behaviour>,
    /// The workloads that a scenario can break, each with what the holes of a scenario are filled with.
    #[serde(default)]
    pub workloads: Vec<WorkloadEntry>,
    /// Requests from outside.
    #[serde(default)]
    pub traffic: Vec<Visitors>,
    /// How all traffic rises and falls; steady where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rhythm: Option<Rhythm>,
    /// What happens again and again: roll-outs, faults and their mending.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub routines: Vec<Routine>,
    /// How often metrics are scraped and rules evaluated; where absent, a second after anything changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scrape_every: Option<Span>,
    /// The rules that fire alerts.
    #[serde(default)]
    pub rules: Vec<Rule>,
    /// How alerts are put together into deliveries.
    #[serde(default)]
    pub alertmanager: Grouping,
}

/// One workload that a scenario can break: its parts by name, `service: cart`, `container: web`.
///
/// `$(target.PART)` in a scenario is the part of the workload that was drawn. `name` and `namespace` are always there.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct WorkloadEntry(pub BTreeMap<String, serde_json::Value>);

/// A world or scenario that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum BadFile {
    /// It does not read as what it should be.
    #[error("cannot read the {what}: {message}")]
    Unreadable {
        /// `world` or `scenario`.
        what: &'static str,
        /// What is wrong, with line and column.
        message: String,
    },
    /// It is of another kind or version.
    #[error(
        "expected apiVersion {expected_version} and kind {expected}, found {found_version} {found}"
    )]
    Kind {
        /// The version that is read.
        expected_version: &'static str,
        /// The kind that was expected.
        expected: &'static str,
        /// The version found.
        found_version: String,
        /// The kind found.
        found: String,
    },
    /// A symbol, an object or a patch in it makes no sense.
    #[error("in the {what}, {place}: {reason}")]
    Nonsense {
        /// `world` or `scenario`, with its name.
        what: String,
        /// Where.
        place: String,
        /// Why.
        reason: String,
    },
}

impl WorldFile {
    /// Reads a world.
    ///
    /// # Errors
    /// [`BadFile`] where it is not one, saying line and column.
    pub fn parse(text: &str) -> Result<Self, BadFile> {
        let file: Self = read("world", text)?;
        check_kind(&file.api_version, &file.kind, "World")?;
        let spans = file.spec.routines.iter().map(|routine| ("spec.routines", routine.every));
        let spans = spans.chain(file.spec.scrape_every.map(|every| ("spec.scrapeEvery", every)));
        let rhythm = file.spec.rhythm.as_ref();
        let spans = spans.chain(rhythm.map(|rhythm| ("spec.rhythm.every", rhythm.every)));
        let spans = spans.chain(rhythm.map(|rhythm| ("spec.rhythm.over", rhythm.over)));
        for (place, span) in spans {
            if span < Span::from_secs(1) {
                return Err(file.nonsense(place, "it must be a second or longer"));
            }
        }
        Ok(file)
    }

    /// This world upon the one that it stands on: everything in `base`, and what is said here besides. Grouping of alerts,
    /// rhythm and scraping are those of `base` only where nothing is said here.
    ///
    /// # Errors
    /// [`BadFile`] where it does not stand on `base`, or `base` itself stands on another.
    pub fn on(mut self, base: &Self) -> Result<Self, BadFile> {
        let name = &base.metadata.name;
        if self.spec.base.as_ref() != Some(name) {
            return Err(self.nonsense("spec.base", &format!("it does not stand on {name}")));
        }
        if base.spec.base.is_some() {
            return Err(self.nonsense("spec.base", "a world stands on one that stands on none"));
        }
        let (own, base) = (&mut self.spec, base.spec.clone());
        own.base = None;
        prepend(&mut own.objects, base.objects);
        prepend(&mut own.workloads, base.workloads);
        prepend(&mut own.traffic, base.traffic);
        prepend(&mut own.routines, base.routines);
        prepend(&mut own.rules, base.rules);
        own.images = base.images.into_iter().chain(std::mem::take(&mut own.images)).collect();
        own.rhythm = own.rhythm.take().or(base.rhythm);
        own.scrape_every = own.scrape_every.or(base.scrape_every);
        if own.alertmanager == Grouping::default() {
            own.alertmanager = base.alertmanager;
        }
        Ok(self)
    }

    pub(crate) fn nonsense(&self, place: &str, reason: &str) -> BadFile {
        BadFile::Nonsense {
            what: format!("world {}", self.metadata.name),
            place: place.into(),
            reason: reason.into(),
        }
    }
}

fn prepend<T>(own: &mut Vec<T>, before: Vec<T>) {
    own.splice(..0, before);
}

pub(crate) fn read<T: DeserializeOwned>(what: &'static str, text: &str) -> Result<T, BadFile> {
    serde_saphyr::from_str(text)
        .map_err(|error| BadFile::Unreadable { what, message: error.to_string() })
}

pub(crate) fn check_kind(version: &str, kind: &str, expected: &'static str) -> Result<(), BadFile> {
    if version == workflow::manifest::API_VERSION && kind == expected {
        return Ok(());
    }
    Err(BadFile::Kind {
        expected_version: workflow::manifest::API_VERSION,
        expected,
        found_version: version.into(),
        found: kind.into(),
    })
}
