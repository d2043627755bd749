use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use async_trait::async_trait;
use cluster::{
    Cluster, Consistency, Kind, ListQuery, LogQuery, Object, ObjectRef, Page, ReadFailure, Reply,
    Request, WatchEvent,
};

/// Whole lists by API version, kind and namespace.
type Lists = BTreeMap<(String, String, Option<String>), Vec<Object>>;

/// A cluster as it is in one glance: a list that was read once is not asked for again.
///
/// Every workload of a namespace has the same lists around it; without this each of them would be read once a workload.
pub(crate) struct Glance<'a> {
    cluster: &'a dyn Cluster,
    lists: Mutex<Lists>,
}

impl<'a> Glance<'a> {
    /// A glance that begins now.
    pub(crate) fn new(cluster: &'a dyn Cluster) -> Self {
        Self { cluster, lists: Mutex::default() }
    }
}

#[async_trait]
impl Cluster for Glance<'_> {
    fn name(&self) -> &str {
        self.cluster.name()
    }

    async fn get(
        &self,
        object: &ObjectRef,
        consistency: Consistency,
    ) -> Result<Option<Object>, ReadFailure> {
        self.cluster.get(object, consistency).await
    }

    /// A whole list in one page, where all of it was asked for.
    async fn list(&self, query: &ListQuery) -> Result<Page, ReadFailure> {
        if *query != ListQuery::latest(query.kind.clone(), query.namespace.as_deref()) {
            return self.cluster.list(query).await;
        }
        let Kind { api_version, kind } = query.kind.clone();
        let key = (api_version, kind, query.namespace.clone());
        let read = self.lists.lock().unwrap_or_else(PoisonError::into_inner).get(&key).cloned();
        let items = match read {
            Some(items) => items,
            None => {
                let items = cluster::list_all(self.cluster, query.clone()).await?;
                let mut lists = self.lists.lock().unwrap_or_else(PoisonError::into_inner);
                lists.insert(key, items.clone());
                items
            }
        };
        // Nobody watches from a glance: it has no version.
        Ok(Page { items, resource_version: String::new(), continue_token: None })
    }

    async fn changes(
        &self,
        kind: &Kind,
        namespace: Option<&str>,
        resource_version: &str,
    ) -> Result<Vec<WatchEvent>, ReadFailure> {
        self.cluster.changes(kind, namespace, resource_version).await
    }

    async fn send(&self, request: &Request) -> Reply {
        self.cluster.send(request).await
    }

    async fn logs(&self, query: &LogQuery) -> Result<Vec<String>, ReadFailure> {
        self.cluster.logs(query).await
    }

    async fn may(
        &self,
        verb: &str,
        kind: &Kind,
        namespace: Option<&str>,
    ) -> Result<bool, ReadFailure> {
        self.cluster.may(verb, kind, namespace).await
    }
}
