use serde::{Deserialize, Serialize};

use crate::{
    Cluster, Consistency, ListQuery, NotSent, ObjectRef, ReadFailure, ReadReply, list_all,
};

/// A query for one object or for a list.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", untagged)]
pub enum ObjectQuery {
    /// One object.
    One(ObjectRef),
    /// A list.
    Many(ListQuery),
}

/// Answers one query with the currently stored state, not from a cache.
pub async fn read(cluster: &dyn Cluster, query: &ObjectQuery) -> ReadReply {
    let reply = match query {
        ObjectQuery::One(object) => match check_target_cluster(cluster, object) {
            Err(not_sent) => Ok(ReadReply::NotSent(not_sent)),
            Ok(()) => cluster
                .get(object, Consistency::Latest)
                .await
                .map(|found| found.map_or(ReadReply::NotFound, ReadReply::Found)),
        },
        ObjectQuery::Many(query) => list_all(cluster, query.clone()).await.map(ReadReply::Listed),
    };
    reply.unwrap_or_else(|failure| match failure {
        ReadFailure::Refused { resource, code, message } => {
            ReadReply::Refused { code, message: format!("{resource}: {message}") }
        }
        ReadFailure::Unavailable { .. } | ReadFailure::Gone => {
            ReadReply::Unavailable { message: failure.to_string() }
        }
    })
}

/// Checks that a request for `object` may be sent to `cluster`. A reference without a cluster name matches every cluster.
///
/// # Errors
/// [`NotSent::OtherCluster`] if the reference names another cluster.
pub fn check_target_cluster(cluster: &dyn Cluster, object: &ObjectRef) -> Result<(), NotSent> {
    if object.cluster.is_empty() || object.cluster == cluster.name() {
        return Ok(());
    }
    Err(NotSent::OtherCluster {
        requested: object.cluster.clone(),
        connected: cluster.name().into(),
    })
}
