//! Places for connections: a bounded number, and where all are taken, whoever has been silent longest gives way.

use std::collections::BTreeMap;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};

/// Places for connections.
pub(crate) struct Places {
    free: Arc<Semaphore>,
    silences: Mutex<Silences>,
    fell_silent: Notify,
}

/// Who says nothing, in the order in which they fell silent.
#[derive(Default)]
struct Silences {
    last: u64,
    /// How each is asked to leave, by when it fell silent.
    since: BTreeMap<u64, Arc<Notify>>,
}

/// The place of one connection, silent until it speaks. It is free again when this is dropped.
pub(crate) struct Place {
    places: Arc<Places>,
    state: Mutex<State>,
    leave: Arc<Notify>,
    _taken: OwnedSemaphorePermit,
}

#[derive(Clone, Copy, PartialEq)]
enum State {
    /// It never said anything.
    New(u64),
    /// A request is under way.
    Speaking,
    /// Its last request is done.
    Silent(u64),
}

impl Places {
    /// So many places.
    pub(crate) fn new(number: usize) -> Arc<Self> {
        Arc::new(Self {
            free: Arc::new(Semaphore::new(number)),
            silences: Mutex::default(),
            fell_silent: Notify::new(),
        })
    }

    /// Takes a place; where none is free, from whoever has been silent longest, and where nobody is silent, from the
    /// next who is.
    pub(crate) async fn take(self: &Arc<Self>) -> Arc<Place> {
        let taken = loop {
            if let Ok(taken) = Arc::clone(&self.free).try_acquire_owned() {
                break taken;
            }
            let mut falls_silent = pin!(self.fell_silent.notified());
            falls_silent.as_mut().enable();
            if let Some((_, leave)) = self.silences().since.pop_first() {
                leave.notify_one();
            }
            tokio::select! {
                taken = Arc::clone(&self.free).acquire_owned() => {
                    break taken.expect("the semaphore is never closed");
                }
                () = falls_silent => {}
            }
        };
        let leave = Arc::new(Notify::new());
        let since = self.silences().enter(&leave);
        let state = Mutex::new(State::New(since));
        Arc::new(Place { places: Arc::clone(self), state, leave, _taken: taken })
    }

    fn silences(&self) -> MutexGuard<'_, Silences> {
        self.silences.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Silences {
    fn enter(&mut self, leave: &Arc<Notify>) -> u64 {
        self.last += 1;
        self.since.insert(self.last, Arc::clone(leave));
        self.last
    }
}

impl Place {
    /// Begins a request, which is under way until the value given back is dropped.
    pub(crate) fn speak(self: &Arc<Self>) -> Speech {
        let before = std::mem::replace(&mut *self.state(), State::Speaking);
        self.leave_silence(before);
        Speech(Arc::clone(self))
    }

    /// Waits until it is wanted for another, and no request is under way. Says whether there ever was one.
    pub(crate) async fn gives_way(&self) -> bool {
        loop {
            self.leave.notified().await;
            match *self.state() {
                State::New(_) => return false,
                State::Silent(_) => return true,
                // It was asked just before it spoke: somebody else is.
                State::Speaking => self.places.fell_silent.notify_waiters(),
            }
        }
    }

    fn leave_silence(&self, state: State) {
        if let State::New(since) | State::Silent(since) = state {
            self.places.silences().since.remove(&since);
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let state = *self.state();
        self.leave_silence(state);
    }
}

/// A request under way on a connection.
pub(crate) struct Speech(Arc<Place>);

impl Drop for Speech {
    fn drop(&mut self) {
        let place = &self.0;
        let since = place.places.silences().enter(&place.leave);
        *place.state() = State::Silent(since);
        place.places.fell_silent.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn is_asked(place: &Arc<Place>) -> bool {
        tokio::select! {
            biased;
            _ = place.gives_way() => true,
            () = tokio::task::yield_now() => false,
        }
    }

    #[tokio::test]
    async fn whoever_has_been_silent_longest_gives_way_and_nobody_who_speaks() {
        let places = Places::new(3);
        let (first, second) = (places.take().await, places.take().await);
        let third = places.take().await;
        drop(first.speak());
        let speech = second.speak();
        let newcomer = tokio::spawn({
            let places = Arc::clone(&places);
            async move { places.take().await }
        });
        // The third never spoke, the first fell silent after that, the second speaks.
        assert!(!third.gives_way().await);
        assert!(!is_asked(&first).await && !is_asked(&second).await);
        drop(third);
        let fourth = newcomer.await.unwrap();

        let (_one, _other) = (first.speak(), fourth.speak());
        let newcomer = tokio::spawn({
            let places = Arc::clone(&places);
            async move { places.take().await }
        });
        tokio::task::yield_now().await;
        assert!(!is_asked(&second).await);
        // All speak: the next to fall silent gives way.
        drop(speech);
        assert!(second.gives_way().await);
        drop(second);
        newcomer.await.unwrap();
    }

    #[tokio::test]
    async fn a_place_that_was_left_is_free_and_is_asked_for_no_more() {
        let places = Places::new(1);
        drop(places.take().await);
        let place = places.take().await;
        drop(place.speak());
        drop(place);
        places.take().await;
        assert!(places.silences().since.is_empty());
    }
}
