//! A simulated cluster whose changes are intercepted.

use std::sync::Arc;

use async_trait::async_trait;
use cluster::{Cluster, Delegate, Request, WriteReply};
use simulator::SimulatedCluster;

/// Calls a function before each change, dry runs included.
pub(crate) struct InterceptedCluster {
    pub(crate) inner: Arc<SimulatedCluster>,
    pub(crate) before_send: Box<dyn Fn(&Request) + Send + Sync>,
}

#[async_trait]
impl Delegate for InterceptedCluster {
    fn inner(&self) -> &dyn Cluster {
        &*self.inner
    }

    async fn send(&self, request: &Request) -> WriteReply {
        (self.before_send)(request);
        self.inner.send(request).await
    }
}
