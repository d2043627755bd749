//! The simulated time of a served world.

use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use jiff::{SignedDuration, Timestamp};
use tokio::sync::{Notify, watch};

use crate::api::ApiCall;
use crate::world::World;

/// Source of simulated time.
#[derive(Clone)]
pub enum ClockSource {
    /// The server advances the world by the system clock, starting at the world's current time.
    Wall {
        /// Simulated seconds per real second. 1.0 is real time.
        speed: f64,
    },
    /// Another component advances the world. Requests take effect at the world's current time.
    External {
        /// Called after each change through the server, so that the component that sleeps until the world's next event
        /// wakes up.
        changed: Arc<dyn Fn() + Send + Sync>,
    },
}

/// Called before each call that is not a dry run, with the time of the call and while the world is locked. A journal
/// of these calls can be replayed.
pub type ChangeHook = Arc<dyn Fn(Timestamp, &ApiCall) -> std::io::Result<()> + Send + Sync>;

/// The maximum sleep between two advances of the world.
const MAX_SLEEP: Duration = Duration::from_secs(1);
/// The interval at which a world with an external clock is checked for changes.
const POLL_INTERVAL: Duration = Duration::from_millis(50);

/// The world and its source of time.
pub(super) struct ServerClock {
    world: Arc<Mutex<World>>,
    source: ClockSource,
    origin: (Timestamp, Instant),
    /// The last version that watches were notified of.
    versions: watch::Sender<u64>,
    changed: Notify,
}

impl ServerClock {
    pub(super) fn new(world: Arc<Mutex<World>>, source: ClockSource) -> Self {
        let (now, version) = {
            let world = World::lock(&world);
            (world.now(), world.version())
        };
        let (versions, _) = watch::channel(version);
        Self { world, source, origin: (now, Instant::now()), versions, changed: Notify::new() }
    }

    /// Locks the world, advanced to the current time.
    pub(super) fn world(&self) -> MutexGuard<'_, World> {
        let mut world = World::lock(&self.world);
        if let ClockSource::Wall { speed } = self.source {
            let elapsed =
                SignedDuration::from_secs_f64(self.origin.1.elapsed().as_secs_f64() * speed);
            world.advance_fully(self.origin.0 + elapsed);
        }
        world
    }

    /// Notifies watches and the external clock of a change through the server.
    pub(super) fn publish_change(&self, version: u64) {
        self.publish(version);
        self.changed.notify_one();
        if let ClockSource::External { changed } = &self.source {
            changed();
        }
    }

    fn publish(&self, version: u64) {
        self.versions.send_if_modified(|known| std::mem::replace(known, version) != version);
    }

    /// Returns a receiver that is notified of each new version of the world.
    pub(super) fn versions(&self) -> watch::Receiver<u64> {
        self.versions.subscribe()
    }

    /// Advances the world, or checks it for changes, in an endless loop.
    pub(super) async fn run(&self) {
        loop {
            let (version, now, next) = {
                let world = self.world();
                (world.version(), world.now(), world.next_event())
            };
            self.publish(version);
            let sleep = match self.source {
                ClockSource::External { .. } => POLL_INTERVAL,
                ClockSource::Wall { speed } => next.map_or(MAX_SLEEP, |next| {
                    let seconds = next.duration_since(now).as_secs_f64() / speed;
                    Duration::from_secs_f64(seconds.clamp(0.001, MAX_SLEEP.as_secs_f64()))
                }),
            };
            tokio::select! {
                () = tokio::time::sleep(sleep) => {}
                () = self.changed.notified() => {}
            }
        }
    }
}
