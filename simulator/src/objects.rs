use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use cluster::{Kind, Object, WatchEvent};

use crate::api::{builtin, storage_kind};

/// Number of changes kept for watches. A watch from an older version fails, and the client must list again.
const MAX_CHANGES: usize = 2048;

/// Key of an object: kind, namespace (empty for cluster-scoped kinds), name.
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

    /// Returns the key of a stored object.
    pub(crate) fn of(object: &Object) -> Option<Self> {
        let kind = storage_kind(object.kind());
        Some(Self::new(kind, object.namespace().unwrap_or_default(), object.name()))
    }
}

/// Returns the storage kind of a built-in `kind`, or `None` for another kind or version.
pub(crate) fn builtin_storage_kind(kind: &Kind) -> Option<&'static str> {
    builtin(kind).map(|resource| resource.storage_kind)
}

/// Type of a change of an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ChangeType {
    Added,
    Modified,
    Deleted,
}

/// One change of an object, for watches.
#[derive(Clone, Debug)]
struct WatchChange {
    version: u64,
    kind: &'static str,
    change_type: ChangeType,
    before: Option<Object>,
    object: Object,
}

type ObjectMap = BTreeMap<(Arc<str>, Arc<str>), Object>;

/// The stored objects and their latest changes. A clone shares the data copy-on-write.
#[derive(Clone, Debug, Default)]
pub(crate) struct Objects {
    by_kind: BTreeMap<&'static str, Arc<ObjectMap>>,
    version: u64,
    changes: Arc<VecDeque<WatchChange>>,
    compacted: u64,
}

impl Objects {
    pub(crate) fn get(&self, key: &Key) -> Option<&Object> {
        self.by_kind.get(key.kind)?.get(&(key.namespace.clone(), key.name.clone()))
    }

    /// Returns the objects of a kind in order of namespace and name. `None` means all namespaces.
    pub(crate) fn of_kind<'a>(
        &'a self,
        kind: &str,
        namespace: Option<&str>,
    ) -> impl Iterator<Item = &'a Object> + use<'a> {
        let namespace: Option<Arc<str>> = namespace.map(Into::into);
        let start = (namespace.clone().unwrap_or_else(|| "".into()), Arc::<str>::from(""));
        self.by_kind
            .get(kind)
            .into_iter()
            .flat_map(move |objects| objects.range(start.clone()..))
            .take_while(move |((at, _), _)| {
                namespace.as_ref().is_none_or(|namespace| at == namespace)
            })
            .map(|(_, object)| object)
    }

    /// Returns whether any object of a kind exists.
    pub(crate) fn has_any(&self, kind: &str) -> bool {
        self.by_kind.get(kind).is_some_and(|objects| !objects.is_empty())
    }

    /// Returns every object, in order of kind, namespace and name.
    pub(crate) fn all(&self) -> impl Iterator<Item = &Object> {
        self.by_kind.values().flat_map(|objects| objects.values())
    }

    /// Returns the version of the latest change.
    pub(crate) fn version(&self) -> u64 {
        self.version
    }

    /// Stores `object` under its key with the next resource version, and returns the stored object.
    pub(crate) fn put(&mut self, key: &Key, object: &Object) -> Object {
        self.version += 1;
        let mut metadata = object.metadata().clone();
        metadata.resource_version = self.version.to_string();
        let object = object.with_metadata(metadata);
        let objects = Arc::make_mut(self.by_kind.entry(key.kind).or_default());
        let before = objects.insert((key.namespace.clone(), key.name.clone()), object.clone());
        let happened = if before.is_some() { ChangeType::Modified } else { ChangeType::Added };
        self.push_change(key.kind, happened, before, object.clone());
        object
    }

    /// Removes the object under `key`, and returns its last state.
    pub(crate) fn remove(&mut self, key: &Key) -> Option<Object> {
        let objects = Arc::make_mut(self.by_kind.get_mut(key.kind)?);
        let object = objects.remove(&(key.namespace.clone(), key.name.clone()))?;
        self.version += 1;
        let mut metadata = object.metadata().clone();
        metadata.resource_version = self.version.to_string();
        let last = object.with_metadata(metadata);
        self.push_change(key.kind, ChangeType::Deleted, Some(object.clone()), last);
        Some(object)
    }

    fn push_change(
        &mut self,
        kind: &'static str,
        happened: ChangeType,
        before: Option<Object>,
        object: Object,
    ) {
        let changes = Arc::make_mut(&mut self.changes);
        changes.push_back(WatchChange {
            version: self.version,
            kind,
            change_type: happened,
            before,
            object,
        });
        if changes.len() > MAX_CHANGES {
            self.compacted = changes.pop_front().map_or(self.compacted, |change| change.version);
        }
    }

    /// Discards all changes so far, as a compaction of etcd does.
    pub(crate) fn compact(&mut self) {
        self.changes = Arc::default();
        self.compacted = self.version;
    }

    /// Returns the version of the last discarded change.
    pub(crate) fn compacted(&self) -> u64 {
        self.compacted
    }

    /// Returns the objects of a kind as they were at `version`, in order, or `None` if that version is compacted.
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
        let key_of = |object: &Object| {
            (object.namespace().unwrap_or_default().to_string(), object.name().to_string())
        };
        let mut objects: BTreeMap<_, Object> =
            self.of_kind(kind, namespace).map(|object| (key_of(object), object.clone())).collect();
        let start = self.changes.partition_point(|change| change.version <= version);
        for change in self.changes.range(start..).rev() {
            if change.kind != kind
                || namespace.is_some_and(|namespace| change.object.namespace() != Some(namespace))
            {
                continue;
            }
            match &change.before {
                Some(before) => objects.insert(key_of(before), before.clone()),
                None => objects.remove(&key_of(&change.object)),
            };
        }
        Some(objects.into_values().collect())
    }

    /// Returns the changes after `version` of objects of a kind that match a selector. An object that no longer
    /// matches is reported as deleted, one that starts to match as added. Returns `None` if that version is
    /// compacted.
    pub(crate) fn changes_of(
        &self,
        kind: &str,
        namespace: Option<&str>,
        version: u64,
        matches: impl Fn(&Object) -> bool,
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
            let matched = change.before.as_ref().is_some_and(&matches);
            match (change.change_type, matched, matches(&object)) {
                (ChangeType::Added, _, true) | (ChangeType::Modified, false, true) => {
                    Some(WatchEvent::Added(object))
                }
                (ChangeType::Modified, true, true) => Some(WatchEvent::Modified(object)),
                (ChangeType::Deleted, true, _) | (ChangeType::Modified, true, false) => {
                    Some(WatchEvent::Deleted(object))
                }
                (ChangeType::Added | ChangeType::Modified | ChangeType::Deleted, _, _) => None,
            }
        });
        Some(events.collect())
    }
}
