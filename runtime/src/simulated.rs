use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Wake, Waker};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use futures::task::AtomicWaker;
use jiff::{SignedDuration, Timestamp};

use crate::{Runtime, Task};

/// Something whose time can be moved forward: a simulated world.
pub trait Timeline: Send + Sync {
    /// The present simulated time.
    fn now(&self) -> Timestamp;

    /// Time of the next scheduled event, if there is one.
    fn next_event(&self) -> Option<Timestamp>;

    /// Moves time to `until`, or to the first moment before it at which there is output.
    ///
    /// The output itself goes wherever the implementation sends it; an `until` in the past changes nothing.
    fn advance(&self, until: Timestamp) -> Advanced;
}

/// Why [`Timeline::advance`] returned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Advanced {
    /// `until` was reached without output.
    Reached,
    /// There was output: time may be earlier than asked.
    Output,
}

/// How fast simulated time passes.
#[derive(Clone, Copy, Debug)]
pub enum Speed {
    /// As fast as it can: nothing ever sleeps.
    Unlimited,
    /// A fixed number of simulated seconds per second, counted from a moment of both clocks.
    Paced {
        /// Simulated seconds per second, above 0.
        factor: f64,
        /// Simulated time at that moment.
        start: Timestamp,
        /// The machine's time at that moment.
        started: Instant,
    },
}

impl Speed {
    /// From now on, `factor` simulated seconds per second, with simulated time at `start`.
    pub fn paced(factor: f64, start: Timestamp) -> Self {
        Self::Paced { factor, start, started: Instant::now() }
    }
}

/// Simulated time, and tasks in a fixed order.
///
/// Tasks are polled by [`Runtime::sleep_until`], those that are ready at one moment in the order in which they were spawned.
/// Time stands still while a task waits for something that is not a [`Runtime::timer`] (a socket, a thread), and later
/// tasks wait for it, so equal inputs give equal orders of results.
pub struct Simulated<T> {
    timeline: T,
    speed: Mutex<Speed>,
    shared: Arc<Shared>,
}

/// What tasks, timers and wakers reach.
struct Shared {
    tasks: Mutex<Tasks>,
    /// Wakes the future of the pending `sleep_until`.
    sleeper: AtomicWaker,
    is_woken: AtomicBool,
}

#[derive(Default)]
struct Tasks {
    next_id: u64,
    /// Live tasks by id, which is the order of spawning. The future is absent while it is being polled.
    live: BTreeMap<u64, (Option<Task>, Arc<TaskWaker>)>,
    /// Timers that have not fired: when, of which task, and which one of it.
    timers: BTreeMap<(Timestamp, u64, u64), Waker>,
    next_timer: u64,
    /// The task that is being polled.
    polled: u64,
}

struct TaskWaker {
    is_ready: AtomicBool,
    shared: Arc<Shared>,
}

/// Result of polling all ready tasks.
#[derive(PartialEq, Eq)]
enum Polled {
    /// At least one task ended.
    Ended,
    /// A task waits for something outside simulated time.
    External,
    /// Every live task waits for a timer.
    Idle,
}

impl Wake for TaskWaker {
    fn wake(self: Arc<Self>) {
        self.is_ready.store(true, Ordering::Release);
        self.shared.sleeper.wake();
    }
}

impl Shared {
    fn tasks(&self) -> MutexGuard<'_, Tasks> {
        // No code runs under this lock but this file's; a panic of a task does not leave it half-changed.
        self.tasks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T: Timeline> Simulated<T> {
    /// Runs on `timeline` at `speed`.
    pub fn new(timeline: T, speed: Speed) -> Self {
        let shared = Shared {
            tasks: Mutex::default(),
            sleeper: AtomicWaker::new(),
            is_woken: AtomicBool::new(false),
        };
        Self { timeline, speed: Mutex::new(speed), shared: Arc::new(shared) }
    }

    /// Changes how fast time passes from now on.
    pub fn set_speed(&self, speed: Speed) {
        *self.speed.lock().unwrap_or_else(PoisonError::into_inner) = speed;
        self.wake();
    }

    fn speed(&self) -> Speed {
        *self.speed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Polls every ready task once, in order, until one waits for something outside simulated time.
    fn poll_tasks(&self, cx: &Context<'_>) -> Polled {
        self.shared.sleeper.register(cx.waker());
        let mut has_ended = false;
        let mut last = None;
        loop {
            let (id, future, waker) = {
                let mut tasks = self.shared.tasks();
                let from = last.map_or(0, |id: u64| id + 1);
                let Some((&id, (future, waker))) = tasks.live.range_mut(from..).next() else {
                    break;
                };
                let waker = waker.clone();
                let future =
                    if waker.is_ready.swap(false, Ordering::AcqRel) { future.take() } else { None };
                tasks.polled = id;
                (id, future, waker)
            };
            last = Some(id);
            if let Some(mut future) = future {
                // The lock is released: a task may spawn, and its wakers may be called.
                let task_waker = Waker::from(waker);
                match future.as_mut().poll(&mut Context::from_waker(&task_waker)) {
                    Poll::Ready(()) => {
                        self.shared.tasks().live.remove(&id);
                        has_ended = true;
                        continue;
                    }
                    Poll::Pending => {
                        if let Some((slot, _)) = self.shared.tasks().live.get_mut(&id) {
                            *slot = Some(future);
                        }
                    }
                }
            }
            let is_waiting_for_timer = {
                let tasks = self.shared.tasks();
                // A task that was woken while it was polled is polled again before time moves.
                let is_ready = tasks
                    .live
                    .get(&id)
                    .is_some_and(|(_, waker)| waker.is_ready.load(Ordering::Acquire));
                !is_ready && tasks.timers.keys().any(|(_, task, _)| *task == id)
            };
            if !is_waiting_for_timer {
                return if has_ended { Polled::Ended } else { Polled::External };
            }
        }
        if has_ended { Polled::Ended } else { Polled::Idle }
    }

    /// Moves time to `until` and fires the timers that are due then.
    fn advance(&self, until: Timestamp) -> Advanced {
        let advanced = self.timeline.advance(until.max(self.timeline.now()));
        let now = self.timeline.now();
        let due = {
            let mut tasks = self.shared.tasks();
            let later = tasks.timers.split_off(&(now, u64::MAX, u64::MAX));
            std::mem::replace(&mut tasks.timers, later)
        };
        due.into_values().for_each(Waker::wake);
        advanced
    }

    fn next_timer(&self) -> Option<Timestamp> {
        self.shared.tasks().timers.keys().next().map(|(at, ..)| *at)
    }

    /// Waits until a task can go on, or [`Runtime::wake`] was called.
    async fn changed(&self) {
        std::future::poll_fn(|cx| {
            self.shared.sleeper.register(cx.waker());
            let is_ready = self
                .shared
                .tasks()
                .live
                .values()
                .any(|(_, waker)| waker.is_ready.load(Ordering::Acquire));
            if is_ready || self.shared.is_woken.load(Ordering::Acquire) {
                Poll::Ready(())
            } else {
                Poll::Pending
            }
        })
        .await;
    }
}

impl<T> Drop for Simulated<T> {
    /// Drops the tasks, which reference what they share with the runtime.
    fn drop(&mut self) {
        let tasks = std::mem::take(&mut *self.shared.tasks());
        // The lock is released: a dropped timer takes it.
        drop(tasks);
    }
}

#[async_trait]
impl<T: Timeline> Runtime for Simulated<T> {
    fn now(&self) -> Timestamp {
        self.timeline.now()
    }

    async fn sleep_until(&self, deadline: Option<Timestamp>) {
        loop {
            let polled = std::future::poll_fn(|cx| Poll::Ready(self.poll_tasks(cx))).await;
            if self.shared.is_woken.swap(false, Ordering::AcqRel) {
                return;
            }
            match polled {
                Polled::Ended => return,
                Polled::External => {
                    self.changed().await;
                    continue;
                }
                Polled::Idle => {}
            }
            let now = self.timeline.now();
            if deadline.is_some_and(|at| at <= now) {
                return;
            }
            let due = [deadline, self.next_timer()].into_iter().flatten().min();
            match self.speed() {
                Speed::Unlimited => match due.or(self.timeline.next_event()) {
                    Some(until) => {
                        if self.advance(until) == Advanced::Output {
                            return;
                        }
                    }
                    None => self.changed().await,
                },
                Speed::Paced { factor, start, started } => {
                    let reached = start + scaled(started.elapsed(), factor);
                    if now < reached {
                        let until = due.map_or(reached, |at| at.min(reached));
                        if self.advance(until) == Advanced::Output {
                            return;
                        }
                        if due.is_some_and(|at| at <= until) {
                            continue;
                        }
                    }
                    let next = [due, self.timeline.next_event()].into_iter().flatten().min();
                    match next {
                        Some(at) => {
                            let apart =
                                Duration::try_from(at.duration_since(reached)).unwrap_or_default();
                            tokio::select! {
                                () = tokio::time::sleep(apart.div_f64(factor)) => {}
                                () = self.changed() => {}
                            }
                        }
                        None => self.changed().await,
                    }
                }
            }
        }
    }

    fn spawn(&self, task: Task) {
        let mut tasks = self.shared.tasks();
        let id = tasks.next_id;
        tasks.next_id += 1;
        let waker = TaskWaker { is_ready: AtomicBool::new(true), shared: self.shared.clone() };
        tasks.live.insert(id, (Some(task), Arc::new(waker)));
        drop(tasks);
        self.shared.sleeper.wake();
    }

    fn timer(&self, at: Timestamp) -> Task {
        // A timer is polled for the first time before time moves on, so what is due by then is due at creation.
        let is_due = at <= self.timeline.now();
        Box::pin(Timer { at, is_due, key: None, shared: self.shared.clone() })
    }

    fn wake(&self) {
        self.shared.is_woken.store(true, Ordering::Release);
        self.shared.sleeper.wake();
    }

    fn clock_jump(&self) -> Option<SignedDuration> {
        None
    }
}

/// Completes when simulated time has reached `at`.
struct Timer {
    at: Timestamp,
    is_due: bool,
    /// Its entry among the timers once it was polled.
    key: Option<(Timestamp, u64, u64)>,
    shared: Arc<Shared>,
}

impl Future for Timer {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if self.is_due {
            return Poll::Ready(());
        }
        let mut tasks = self.shared.tasks();
        let key = match self.key {
            // It is removed when it fires.
            Some(key) if !tasks.timers.contains_key(&key) => return Poll::Ready(()),
            Some(key) => key,
            None => {
                tasks.next_timer += 1;
                (self.at, tasks.polled, tasks.next_timer)
            }
        };
        tasks.timers.insert(key, cx.waker().clone());
        drop(tasks);
        self.key = Some(key);
        Poll::Pending
    }
}

impl Drop for Timer {
    fn drop(&mut self) {
        if let Some(key) = self.key {
            self.shared.tasks().timers.remove(&key);
        }
    }
}

fn scaled(elapsed: Duration, factor: f64) -> SignedDuration {
    SignedDuration::from_secs_f64(elapsed.as_secs_f64() * factor)
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: &str = "2026-01-01T00:00:00Z";

    /// A timeline with events at fixed seconds after its start, each of them output.
    struct Line {
        now: Mutex<Timestamp>,
        events: Vec<Timestamp>,
    }

    impl Timeline for Line {
        fn now(&self) -> Timestamp {
            *self.now.lock().unwrap()
        }

        fn next_event(&self) -> Option<Timestamp> {
            let now = self.now();
            self.events.iter().copied().find(|at| *at > now)
        }

        fn advance(&self, until: Timestamp) -> Advanced {
            match self.next_event().filter(|at| *at <= until) {
                Some(at) => {
                    *self.now.lock().unwrap() = at;
                    Advanced::Output
                }
                None => {
                    let mut now = self.now.lock().unwrap();
                    *now = until.max(*now);
                    Advanced::Reached
                }
            }
        }
    }

    fn start() -> Timestamp {
        START.parse().unwrap()
    }

    fn at(seconds: i64) -> Timestamp {
        start() + SignedDuration::from_secs(seconds)
    }

    fn simulated(events: &[i64], speed: Speed) -> Arc<Simulated<Line>> {
        let events = events.iter().map(|seconds| at(*seconds)).collect();
        Arc::new(Simulated::new(Line { now: Mutex::new(start()), events }, speed))
    }

    /// Runs `runtime` until `until`, and gives what `log` received.
    async fn run(runtime: &Simulated<Line>, until: Timestamp) {
        while runtime.now() < until {
            runtime.sleep_until(Some(until)).await;
        }
    }

    #[tokio::test]
    async fn sleep_until_moves_time_to_the_deadline_and_stops_at_output() {
        let runtime = simulated(&[5], Speed::Unlimited);
        runtime.sleep_until(Some(at(3))).await;
        assert_eq!(runtime.now(), at(3));
        runtime.sleep_until(Some(at(9))).await;
        assert_eq!(runtime.now(), at(5), "the output at 5 s comes first");
        runtime.sleep_until(Some(at(9))).await;
        assert_eq!(runtime.now(), at(9));
    }

    #[tokio::test]
    async fn tasks_end_in_the_order_of_due_time_then_spawning() {
        let runtime = simulated(&[], Speed::Unlimited);
        let log = Arc::new(Mutex::new(Vec::new()));
        for (name, seconds) in [("a", 4), ("b", 2), ("c", 2), ("d", 0)] {
            let (timer, log) = (runtime.timer(at(seconds)), log.clone());
            let runtime_of_task = runtime.clone();
            runtime.spawn(Box::pin(async move {
                timer.await;
                log.lock().unwrap().push((name, runtime_of_task.now()));
            }));
        }
        run(&runtime, at(10)).await;
        assert_eq!(*log.lock().unwrap(), [("d", at(0)), ("b", at(2)), ("c", at(2)), ("a", at(4))]);
    }

    #[tokio::test]
    async fn time_stands_still_while_a_task_waits_for_a_thread() {
        let runtime = simulated(&[], Speed::Unlimited);
        let log = Arc::new(Mutex::new(Vec::new()));
        for name in ["slow", "quick"] {
            let (runtime_of_task, log) = (runtime.clone(), log.clone());
            runtime.spawn(Box::pin(async move {
                if name == "slow" {
                    let wait = || std::thread::sleep(Duration::from_millis(20));
                    tokio::task::spawn_blocking(wait).await.unwrap();
                }
                log.lock().unwrap().push((name, runtime_of_task.now()));
            }));
        }
        run(&runtime, at(60)).await;
        assert_eq!(*log.lock().unwrap(), [("slow", at(0)), ("quick", at(0))]);
    }

    #[tokio::test]
    async fn a_task_may_spawn_and_wait_twice() {
        let runtime = simulated(&[], Speed::Unlimited);
        let log = Arc::new(Mutex::new(Vec::new()));
        let (inner, log_of_task) = (runtime.clone(), log.clone());
        runtime.spawn(Box::pin(async move {
            inner.timer(at(1)).await;
            let log_of_child = log_of_task.clone();
            inner.spawn(Box::pin(async move { log_of_child.lock().unwrap().push("child") }));
            inner.timer(at(2)).await;
            log_of_task.lock().unwrap().push("parent");
        }));
        run(&runtime, at(5)).await;
        assert_eq!(*log.lock().unwrap(), ["child", "parent"]);
    }

    #[tokio::test]
    async fn dropped_timer_does_not_hold_time_back() {
        let runtime = simulated(&[], Speed::Unlimited);
        let (timer, ended) = (runtime.timer(at(100)), Arc::new(AtomicBool::new(false)));
        let (inner, ended_of_task) = (runtime.clone(), ended.clone());
        runtime.spawn(Box::pin(async move {
            futures::future::select(timer, inner.timer(at(1))).await;
            ended_of_task.store(true, Ordering::Release);
        }));
        run(&runtime, at(2)).await;
        assert!(ended.load(Ordering::Acquire));
        assert_eq!(runtime.next_timer(), None);
    }

    #[tokio::test]
    async fn wake_ends_a_sleep_without_deadline() {
        let runtime = simulated(&[], Speed::Unlimited);
        let sleeper = {
            let runtime = runtime.clone();
            tokio::spawn(async move { runtime.sleep_until(None).await })
        };
        runtime.wake();
        sleeper.await.unwrap();
    }

    #[tokio::test]
    async fn paced_time_without_deadline_waits_for_the_next_event_without_spinning() {
        let runtime = simulated(&[3_600], Speed::paced(1.0, start()));
        let sleep = runtime.sleep_until(None);
        assert!(tokio::time::timeout(Duration::from_millis(20), sleep).await.is_err());
        assert!(runtime.now() < at(60));
    }

    #[tokio::test]
    async fn paced_time_follows_the_machine_and_set_speed_takes_effect() {
        let runtime = simulated(&[1], Speed::paced(1_000.0, start()));
        runtime.sleep_until(Some(at(2))).await;
        assert_eq!(runtime.now(), at(1), "the output at 1 s comes first");
        runtime.set_speed(Speed::Unlimited);
        run(&runtime, at(1_000_000)).await;
        assert_eq!(runtime.now(), at(1_000_000));
    }
}
