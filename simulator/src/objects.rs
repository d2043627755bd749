use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use cluster::{Kind, Object, WatchEvent};

use crate::api::{builtin, shelf};

/// How many changes a watch can go back before it has to list again.
const HISTORY: usize = 2048;

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

    /// The key of a stored object.
    pub(crate) fn of(object: &Object) -> Option<Self> {
        let shelf = shelf(object.kind());
        Some(Self::new(shelf, object.namespace().unwrap_or_default(), object.name()))
    }
}

/// The name of `kind`, if it is built in, in this version.
pub(crate) fn served(kind: &Kind) -> Option<&'static str> {
    builtin(kind).map(|resource| resource.shelf)
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
    before: Option<Object>,
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

    /// Whether there is any object of a kind.
    pub(crate) fn has_any(&self, kind: &str) -> bool {
        self.shelves.get(kind).is_some_and(|shelf| !shelf.is_empty())
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
        self.remember(key.kind, happened, before, object.clone());
        object
    }

    /// Removes the object under `key`, and gives its last state.
    pub(crate) fn remove(&mut self, key: &Key) -> Option<Object> {
        let shelf = Arc::make_mut(self.shelves.get_mut(key.kind)?);
        let object = shelf.remove(&(key.namespace.clone(), key.name.clone()))?;
        self.version += 1;
        let mut metadata = object.metadata().clone();
        metadata.resource_version = self.version.to_string();
        let last = object.with_metadata(metadata);
        self.remember(key.kind, Happened::Deleted, Some(object.clone()), last);
        Some(object)
    }

    fn remember(
        &mut self,
        kind: &'static str,
        happened: Happened,
        before: Option<Object>,
        object: Object,
    ) {
        let changes = Arc::make_mut(&mut self.changes);
        changes.push_back(Change { version: self.version, kind, happened, before, object });
        if changes.len() > HISTORY {
            self.compacted = changes.pop_front().map_or(self.compacted, |change| change.version);
        }
    }

    /// Forgets the changes up to now, as a compaction does.
    pub(crate) fn compact(&mut self) {
        self.changes = Arc::default();
        self.compacted = self.version;
    }

    /// The version of the last change that is forgotten.
    pub(crate) fn compacted(&self) -> u64 {
        self.compacted
    }

    /// Objects of a kind as they were at `version`, in order; none if that version is compacted.
    pub(crate) fn of_kind_at(
        &self,
        kind: &str,
        namespace: Option<&str>,
        version: u64,
    ) -> Option<Vec<Object>> {
        if version >= self.version {
            return Some(self.of_kind(kind, namespace).cloned().collect());
        }
        if version < self.compacted {
            return None;
        }
        let place = |object: &Object| {
            (object.namespace().unwrap_or_default().to_string(), object.name().to_string())
        };
        let mut objects: BTreeMap<_, Object> =
            self.of_kind(kind, namespace).map(|object| (place(object), object.clone())).collect();
        let start = self.changes.partition_point(|change| change.version <= version);
        for change in self.changes.range(start..).rev() {
            if change.kind != kind
                || namespace.is_some_and(|namespace| change.object.namespace() != Some(namespace))
            {
                continue;
            }
            match &change.before {
                Some(before) => objects.insert(place(before), before.clone()),
                None => objects.remove(&place(&change.object)),
            };
        }
        Some(objects.into_values().collect())
    }

    /// Changes of the wanted objects of a kind after `version`: what is no longer wanted is told as deleted, what is now
    /// as added. None if that version is compacted.
    pub(crate) fn changes_of(
        &self,
        kind: &str,
        namespace: Option<&str>,
        version: u64,
        is_wanted: impl Fn(&Object) -> bool,
    ) -> Option<Vec<WatchEvent>> {
        if version < self.compacted {
            return None;
        }
        let start = self.changes.partition_point(|change| change.version <= version);
        let matching = self.changes.range(start..).filter(|change| {
            change.kind == kind
                && namespace.is_none_or(|namespace| change.object.namespace() == Some(namespace))
        });
        let events = matching.filter_map(|change| {
            let object = change.object.clone();
            let was_wanted = change.before.as_ref().is_some_and(&is_wanted);
            match (change.happened, was_wanted, is_wanted(&object)) {
                (Happened::Added, _, true) | (Happened::Modified, false, true) => {
                    Some(WatchEvent::Added(object))
                }
                (Happened::Modified, true, true) => Some(WatchEvent::Modified(object)),
                (Happened::Deleted, true, _) | (Happened::Modified, true, false) => {
                    Some(WatchEvent::Deleted(object))
                }
                (Happened::Added | Happened::Modified | Happened::Deleted, _, _) => None,
            }
        });
        Some(events.collect())
    }
}
