//! Connection limiter that evicts the longest-idle connection when full.

use std::collections::BTreeMap;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};

/// Limits the number of open connections.
pub(crate) struct ConnectionLimiter {
    permits: Arc<Semaphore>,
    idle_queue: Mutex<IdleQueue>,
    became_idle: Notify,
}

/// Connections without a request in flight, in the order in which they became idle.
#[derive(Default)]
struct IdleQueue {
    last_ticket: u64,
    /// What evicts each idle connection, by its ticket: tickets increase in the order of becoming idle.
    waiting: BTreeMap<u64, Arc<Notify>>,
}

/// The slot of one connection, idle until its first request. Dropping it frees the slot.
pub(crate) struct ConnectionSlot {
    limiter: Arc<ConnectionLimiter>,
    state: Mutex<SlotState>,
    evict: Arc<Notify>,
    _permit: OwnedSemaphorePermit,
}

#[derive(Clone, Copy, PartialEq)]
enum SlotState {
    /// No request was received yet. Contains the idle ticket.
    New(u64),
    /// A request is in flight.
    InFlight,
    /// The last request is finished. Contains the idle ticket.
    Idle(u64),
}

impl ConnectionLimiter {
    /// Creates a limiter for `max_connections` connections.
    pub(crate) fn new(max_connections: usize) -> Arc<Self> {
        Arc::new(Self {
            permits: Arc::new(Semaphore::new(max_connections)),
            idle_queue: Mutex::default(),
            became_idle: Notify::new(),
        })
    }

    /// Acquires a slot. If none is free, evicts the longest-idle connection; if none is idle, the next one to become
    /// idle.
    pub(crate) async fn acquire(self: &Arc<Self>) -> Arc<ConnectionSlot> {
        let permit = loop {
            if let Ok(permit) = Arc::clone(&self.permits).try_acquire_owned() {
                break permit;
            }
            let mut becomes_idle = pin!(self.became_idle.notified());
            becomes_idle.as_mut().enable();
            if let Some((_, evict)) = self.idle_queue().waiting.pop_first() {
                evict.notify_one();
            }
            tokio::select! {
                permit = Arc::clone(&self.permits).acquire_owned() => {
                    break permit.expect("the semaphore is never closed");
                }
                () = becomes_idle => {}
            }
        };
        let evict = Arc::new(Notify::new());
        let ticket = self.idle_queue().push(&evict);
        let state = Mutex::new(SlotState::New(ticket));
        Arc::new(ConnectionSlot { limiter: Arc::clone(self), state, evict, _permit: permit })
    }

    fn idle_queue(&self) -> MutexGuard<'_, IdleQueue> {
        self.idle_queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl IdleQueue {
    fn push(&mut self, leave: &Arc<Notify>) -> u64 {
        self.last_ticket += 1;
        self.waiting.insert(self.last_ticket, Arc::clone(leave));
        self.last_ticket
    }
}

impl ConnectionSlot {
    /// Begins a request. The request is in flight until the returned guard is dropped.
    pub(crate) fn begin_request(self: &Arc<Self>) -> InFlightGuard {
        let before = std::mem::replace(&mut *self.state(), SlotState::InFlight);
        self.leave_idle_queue(before);
        InFlightGuard(Arc::clone(self))
    }

    /// Waits until the slot is needed for another connection while no request is in flight. Returns whether the
    /// connection ever received a request.
    pub(crate) async fn evicted(&self) -> bool {
        loop {
            self.evict.notified().await;
            match *self.state() {
                SlotState::New(_) => return false,
                SlotState::Idle(_) => return true,
                // A request began after the eviction was requested: another connection is evicted instead.
                SlotState::InFlight => self.limiter.became_idle.notify_waiters(),
            }
        }
    }

    fn leave_idle_queue(&self, state: SlotState) {
        if let SlotState::New(ticket) | SlotState::Idle(ticket) = state {
            self.limiter.idle_queue().waiting.remove(&ticket);
        }
    }

    fn state(&self) -> MutexGuard<'_, SlotState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for ConnectionSlot {
    fn drop(&mut self) {
        let state = *self.state();
        self.leave_idle_queue(state);
    }
}

/// A request in flight on a connection.
pub(crate) struct InFlightGuard(Arc<ConnectionSlot>);

impl Drop for InFlightGuard {
    fn drop(&mut self) {
        let slot = &self.0;
        let ticket = slot.limiter.idle_queue().push(&slot.evict);
        *slot.state() = SlotState::Idle(ticket);
        slot.limiter.became_idle.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn is_evicted(slot: &Arc<ConnectionSlot>) -> bool {
        tokio::select! {
            biased;
            _ = slot.evicted() => true,
            () = tokio::task::yield_now() => false,
        }
    }

    /// Connections with a request in flight are never evicted.
    #[tokio::test]
    async fn limiter_evicts_longest_idle_connection() {
        let limiter = ConnectionLimiter::new(3);
        let (first, second) = (limiter.acquire().await, limiter.acquire().await);
        let third = limiter.acquire().await;
        drop(first.begin_request());
        let in_flight = second.begin_request();
        let acquired = tokio::spawn({
            let limiter = Arc::clone(&limiter);
            async move { limiter.acquire().await }
        });
        // The third had no request, the first became idle after that, the second has a request in flight.
        assert!(!third.evicted().await);
        assert!(!is_evicted(&first).await && !is_evicted(&second).await);
        drop(third);
        let fourth = acquired.await.unwrap();

        let (_one, _other) = (first.begin_request(), fourth.begin_request());
        let acquired = tokio::spawn({
            let limiter = Arc::clone(&limiter);
            async move { limiter.acquire().await }
        });
        tokio::task::yield_now().await;
        assert!(!is_evicted(&second).await);
        // All have a request in flight: the next one to become idle is evicted.
        drop(in_flight);
        assert!(second.evicted().await);
        drop(second);
        acquired.await.unwrap();
    }

    #[tokio::test]
    async fn dropped_slot_is_freed_and_leaves_the_idle_queue() {
        let limiter = ConnectionLimiter::new(1);
        drop(limiter.acquire().await);
        let slot = limiter.acquire().await;
        drop(slot.begin_request());
        drop(slot);
        limiter.acquire().await;
        assert!(limiter.idle_queue().waiting.is_empty());
    }
}
