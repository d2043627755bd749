use crate::{Cluster, ListQuery, Object, ReadFailure};

/// Maximum number of pages of one list. With the adapter's page size of 500 this covers all pods of the largest cluster
/// that Kubernetes supports (150,000).
const MAX_PAGES: usize = 300;

/// Maximum number of attempts for a list whose continue token expires before the last page is read.
const MAX_ATTEMPTS: usize = 3;

/// Reads all pages of a list and returns its objects.
///
/// # Errors
/// As [`Cluster::list`]; [`ReadFailure::Refused`] with code 413 if the list has more than 300 pages.
pub async fn list_all(cluster: &dyn Cluster, query: ListQuery) -> Result<Vec<Object>, ReadFailure> {
    for _ in 1..MAX_ATTEMPTS {
        match read_pages(cluster, query.clone()).await {
            // The continue token expired. Only a new list is a consistent snapshot of the cluster.
            Err(ReadFailure::Gone) => {}
            read => return read,
        }
    }
    read_pages(cluster, query).await
}

async fn read_pages(
    cluster: &dyn Cluster,
    mut query: ListQuery,
) -> Result<Vec<Object>, ReadFailure> {
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
        resource: format!("all {}s", query.kind.kind),
        code: 413,
        message: format!("the list has more than {MAX_PAGES} pages"),
    })
}
