use crate::{Cluster, ListQuery, Object, ReadFailure};

/// Most pages that are read of one list. With pages of 500, as the adapter reads them, all the pods of the largest cluster
/// that Kubernetes supports (150,000).
const MAX_PAGES: usize = 300;

/// How often a list is begun anew because it went on for longer than the server keeps its version.
const MAX_TRIES: usize = 3;

/// All objects of a list, page by page.
///
/// # Errors
/// As [`Cluster::list`]; [`ReadFailure::Refused`] with 413 where there are more than 300 pages.
pub async fn list_all(cluster: &dyn Cluster, query: ListQuery) -> Result<Vec<Object>, ReadFailure> {
    for _ in 1..MAX_TRIES {
        match pages(cluster, query.clone()).await {
            // What the server has forgotten meanwhile is gone for good: only a new list sees one state of the cluster.
            Err(ReadFailure::Gone) => {}
            read => return read,
        }
    }
    pages(cluster, query).await
}

async fn pages(cluster: &dyn Cluster, mut query: ListQuery) -> Result<Vec<Object>, ReadFailure> {
    let mut objects = Vec::new();
    for _ in 0..MAX_PAGES {
        let page = cluster.list(&query).await?;
        objects.extend(page.items);
        query.continue_token = page.continue_token;
        if query.continue_token.is_none() {
            return Ok(objects);
        }
    }
    Err(ReadFailure::Refused {
        what: format!("all {}s", query.kind.kind),
        code: 413,
        message: format!("there are more than {MAX_PAGES} pages of them"),
    })
}
