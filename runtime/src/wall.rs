use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use jiff::{SignedDuration, Timestamp};
use tokio::sync::Notify;

use crate::{Runtime, Task};

/// A difference of the clocks below this is measurement noise or slewing, not a jump.
const MIN_JUMP: SignedDuration = SignedDuration::from_secs(2);

/// The machine's clock at start plus monotonic elapsed time, and tasks on the current tokio runtime.
///
/// A jump of the machine's clock is reported by [`Runtime::clock_jump`] and not followed, so deadlines keep their distance.
pub struct Wall {
    start: Timestamp,
    started: Instant,
    /// The difference between the machine's clock and ours that was already reported.
    reported: Mutex<SignedDuration>,
    woken: Notify,
}

impl Wall {
    /// Starts at the machine's present time.
    pub fn new() -> Self {
        Self {
            start: Timestamp::now(),
            started: Instant::now(),
            reported: Mutex::new(SignedDuration::ZERO),
            woken: Notify::new(),
        }
    }
}

impl Default for Wall {
    fn default() -> Self {
        Self::new()
    }
}

#[async_trait]
impl Runtime for Wall {
    fn now(&self) -> Timestamp {
        let elapsed = SignedDuration::try_from(self.started.elapsed());
        self.start + elapsed.unwrap_or(SignedDuration::MAX)
    }

    async fn sleep_until(&self, deadline: Option<Timestamp>) {
        tokio::select! {
            () = sleep(self.now(), deadline) => {}
            () = self.woken.notified() => {}
        }
    }

    fn spawn(&self, task: Task) {
        tokio::spawn(task);
    }

    fn timer(&self, at: Timestamp) -> Task {
        let now = self.now();
        Box::pin(sleep(now, Some(at)))
    }

    fn wake(&self) {
        self.woken.notify_one();
    }

    fn clock_jump(&self) -> Option<SignedDuration> {
        let difference = Timestamp::now().duration_since(self.now());
        let mut reported = self.reported.lock().unwrap_or_else(PoisonError::into_inner);
        let jump = difference - *reported;
        (jump.abs() > MIN_JUMP).then(|| {
            *reported = difference;
            jump
        })
    }
}

/// Sleeps on tokio's clock for as long as `deadline` lies after `now`; for ever without a deadline.
async fn sleep(now: Timestamp, deadline: Option<Timestamp>) {
    match deadline {
        Some(at) => {
            let duration = Duration::try_from(at.duration_since(now)).unwrap_or(Duration::ZERO);
            tokio::time::sleep(duration).await;
        }
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[tokio::test]
    async fn sleep_until_past_deadline_returns_at_once() {
        let wall = Wall::new();
        wall.sleep_until(Some(Timestamp::MIN)).await;
    }

    #[tokio::test]
    async fn wake_ends_a_sleep_without_deadline() {
        let wall = Arc::new(Wall::new());
        let sleeper = {
            let wall = wall.clone();
            tokio::spawn(async move { wall.sleep_until(None).await })
        };
        wall.wake();
        sleeper.await.unwrap();
    }

    #[tokio::test]
    async fn spawned_task_runs_beside_the_caller() {
        let (done, finished) = tokio::sync::oneshot::channel();
        let wall = Wall::new();
        wall.spawn(Box::pin(async move { done.send(7).unwrap() }));
        assert_eq!(finished.await, Ok(7));
    }
}
