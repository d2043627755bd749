use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use cluster::{Kind, Object, WatchEvent};

/// The kinds that the simulated cluster serves.
const KINDS: [&str; 14] = [
    "ConfigMap",
    "Deployment",
    "EndpointSlice",
    "Event",
    "Lease",
    "Namespace",
    "Node",
    "Pod",
    "PodDisruptionBudget",
    "ReplicaSet",
    "ResourceQuota",
    "Secret",
    "Service",
    "ServiceAccount",
];

/// How many changes a watch can go back before it has to list again.
const HISTORY: usize = 4096;

/// Where an object lives: kind, namespace (empty outside namespaces), name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Key {
    pub(crate) kind: &'static str,
    pub(crate) namespace: Arc<str>,
    pub(crate) name: Arc<str>,
}

impl Key {
    pub(crate) fn new(kind: &'static str, namespace: &str, name: &str) -> Self {
        Self { kind, namespace: namespace.into(), name: name.into() }
    }

    /// The key of `object`, if its kind is served.
    pub(crate) fn of(object: &Object) -> Option<Self> {
        Some(Self::new(
            served(object.kind())?,
            object.namespace().unwrap_or_default(),
            object.name(),
        ))
    }
}

/// The name of `kind`, if the simulated cluster serves it in this version.
pub(crate) fn served(kind: &Kind) -> Option<&'static str> {
    let name = KINDS.into_iter().find(|name| *name == kind.kind)?;
    (Kind::builtin(name).is_some_and(|builtin| builtin.api_version == kind.api_version))
        .then_some(name)
}

/// What happened to an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Happened {
    Added,
    Modified,
    Deleted,
}

/// One change, as a watch sees it.
#[derive(Clone, Debug)]
struct Change {
    version: u64,
    kind: &'static str,
    happened: Happened,
    object: Object,
}

type Shelf = BTreeMap<(Arc<str>, Arc<str>), Object>;

/// The objects that the cluster stores, and the latest changes of them. Copying it copies pointers.
#[derive(Clone, Debug, Default)]
pub(crate) struct Objects {
    shelves: BTreeMap<&'static str, Arc<Shelf>>,
    version: u64,
    changes: Arc<VecDeque<Change>>,
    compacted: u64,
}

impl Objects {
    pub(crate) fn get(&self, key: &Key) -> Option<&Object> {
        self.shelves.get(key.kind)?.get(&(key.namespace.clone(), key.name.clone()))
    }

    /// Objects of a kind in order of namespace and name; of all namespaces where none is named.
    pub(crate) fn of_kind<'a>(
        &'a self,
        kind: &str,
        namespace: Option<&str>,
    ) -> impl Iterator<Item = &'a Object> + use<'a> {
        let namespace: Option<Arc<str>> = namespace.map(Into::into);
        let start = (namespace.clone().unwrap_or_else(|| "".into()), Arc::<str>::from(""));
        self.shelves
            .get(kind)
            .into_iter()
            .flat_map(move |shelf| shelf.range(start.clone()..))
            .take_while(move |((at, _), _)| {
                namespace.as_ref().is_none_or(|namespace| at == namespace)
            })
            .map(|(_, object)| object)
    }

    /// Every object, in order of kind, namespace and name.
    pub(crate) fn all(&self) -> impl Iterator<Item = &Object> {
        self.shelves.values().flat_map(|shelf| shelf.values())
    }

    /// The version of the latest change.
    pub(crate) fn version(&self) -> u64 {
        self.version
    }

    /// Stores `object` under its key with the next resource version, and gives it as stored.
    pub(crate) fn put(&mut self, key: &Key, object: &Object) -> Object {
        self.version += 1;
        let mut metadata = object.metadata().clone();
        metadata.resource_version = self.version.to_string();
        let object = object.with_metadata(metadata);
        let shelf = Arc::make_mut(self.shelves.entry(key.kind).or_default());
        let before = shelf.insert((key.namespace.clone(), key.name.clone()), object.clone());
        let happened = if before.is_some() { Happened::Modified } else { Happened::Added };
        self.remember(key.kind, happened, object.clone());
        object
    }

    /// Removes the object under `key`, and gives its last state.
    pub(crate) fn remove(&mut self, key: &Key) -> Option<Object> {
        let shelf = Arc::make_mut(self.shelves.get_mut(key.kind)?);
        let object = shelf.remove(&(key.namespace.clone(), key.name.clone()))?;
        self.version += 1;
        let mut metadata = object.metadata().clone();
        metadata.resource_version = self.version.to_string();
        self.remember(key.kind, Happened::Deleted, object.with_metadata(metadata));
        Some(object)
    }

    fn remember(&mut self, kind: &'static str, happened: Happened, object: Object) {
        let changes = Arc::make_mut(&mut self.changes);
        changes.push_back(Change { version: self.version, kind, happened, object });
        if changes.len() > HISTORY {
            self.compacted = changes.pop_front().map_or(self.compacted, |change| change.version);
        }
    }

    /// Forgets the changes up to now, as a compaction does.
    pub(crate) fn compact(&mut self) {
        self.changes = Arc::default();
        self.compacted = self.version;
    }

    /// Changes of a kind after `version`; none if that version is compacted.
    pub(crate) fn changes(
        &self,
        kind: &str,
        namespace: Option<&str>,
        version: u64,
    ) -> Option<Vec<WatchEvent>> {
        if version < self.compacted {
            return None;
        }
        let start = self.changes.partition_point(|change| change.version <= version);
        let matching = self.changes.range(start..).filter(|change| {
            change.kind == kind
                && namespace.is_none_or(|namespace| change.object.namespace() == Some(namespace))
        });
        let events = matching.map(|change| match change.happened {
            Happened::Added => WatchEvent::Added(change.object.clone()),
            Happened::Modified => WatchEvent::Modified(change.object.clone()),
            Happened::Deleted => WatchEvent::Deleted(change.object.clone()),
        });
        Some(events.collect())
    }
}
