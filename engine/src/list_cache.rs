use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use async_trait::async_trait;
use cluster::{Cluster, Delegate, Kind, ListQuery, Object, Page, ReadFailure};

/// Whole lists by API version, kind and namespace.
type Lists = BTreeMap<(String, String, Option<String>), Vec<Object>>;

/// A cluster that caches whole lists for the duration of one health scan.
///
/// All workloads of a namespace need the same lists; without the cache each list would be read once per workload.
pub(crate) struct ListCache<'a> {
    cluster: &'a dyn Cluster,
    lists: Mutex<Lists>,
}

impl<'a> ListCache<'a> {
    pub(crate) fn new(cluster: &'a dyn Cluster) -> Self {
        Self { cluster, lists: Mutex::default() }
    }
}

#[async_trait]
impl Delegate for ListCache<'_> {
    fn inner(&self) -> &dyn Cluster {
        self.cluster
    }

    /// Returns a whole list in one page if the query is for the whole list; other queries are not cached.
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
        // No watch starts from a cached list, so it needs no resource version.
        Ok(Page { items, resource_version: String::new(), continue_token: None })
    }
}
