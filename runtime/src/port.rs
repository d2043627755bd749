use std::future::Future;
use std::pin::Pin;

use async_trait::async_trait;
use jiff::{SignedDuration, Timestamp};

/// A future that runs beside its spawner; it reports its result through a channel of its own.
pub type Task = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Time and tasks.
///
/// # Guarantees
/// `now` never decreases. A spawned task runs until it ends or the runtime is dropped; under simulated time it progresses only
/// while [`Runtime::sleep_until`] is awaited.
#[async_trait]
pub trait Runtime: Send + Sync {
    /// The present time.
    fn now(&self) -> Timestamp;

    /// Waits until `deadline`, or without one until there is a reason to return.
    ///
    /// Returns early after [`Runtime::wake`], after a task ended, and after simulated time produced output. Dropping the
    /// returned future before it completes loses nothing. One caller at a time.
    async fn sleep_until(&self, deadline: Option<Timestamp>);

    /// Runs `task` beside the caller.
    fn spawn(&self, task: Task);

    /// A future for use inside a task: completes at `at`.
    fn timer(&self, at: Timestamp) -> Task;

    /// Makes the present or the next [`Runtime::sleep_until`] return, so that deadlines are computed again.
    fn wake(&self);

    /// Offset between the wall clock and the monotonic clock since the last call, if above two seconds.
    fn clock_jump(&self) -> Option<SignedDuration>;
}
