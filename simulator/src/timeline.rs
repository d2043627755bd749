use std::sync::{Arc, Mutex, MutexGuard};

use jiff::Timestamp;
use runtime::{Advanced, Simulated, Speed, Timeline};

use crate::{Emission, World};

/// The time of a world, for a simulated runtime; what the world emits goes to a callback.
pub struct WorldTimeline {
    world: Arc<Mutex<World>>,
    emit: Box<dyn Fn(Emission) + Send + Sync>,
}

impl WorldTimeline {
    /// Moves the time of `world`, and calls `emit` with each emission, in order.
    pub fn new(world: Arc<Mutex<World>>, emit: impl Fn(Emission) + Send + Sync + 'static) -> Self {
        Self { world, emit: Box::new(emit) }
    }

    /// A runtime in the time of `world`; each delivery of its alerts is passed to `deliver` as the body of Alertmanager's
    /// webhook, encoded as JSON.
    pub fn runtime(
        world: Arc<Mutex<World>>,
        speed: Speed,
        deliver: impl Fn(Vec<u8>) + Send + Sync + 'static,
    ) -> Simulated<Self> {
        let emit = move |emission| {
            let Emission::Alerts(webhook) = emission;
            deliver(serde_json::to_vec(&webhook).expect("a webhook is plain data"));
        };
        Simulated::new(Self::new(world, emit), speed)
    }

    fn world(&self) -> MutexGuard<'_, World> {
        World::lock(&self.world)
    }
}

impl Timeline for WorldTimeline {
    fn now(&self) -> Timestamp {
        self.world().now()
    }

    fn next_event(&self) -> Option<Timestamp> {
        self.world().next_event()
    }

    fn advance(&self, until: Timestamp) -> Advanced {
        let emitted = self.world().advance(until).emitted;
        if emitted.is_empty() {
            return Advanced::Reached;
        }
        emitted.into_iter().for_each(&self.emit);
        Advanced::Output
    }
}
