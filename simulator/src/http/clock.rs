//! How the world's time goes on while the door is open.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use jiff::{SignedDuration, Timestamp};
use tokio::sync::{Notify, watch};

use crate::api::Call;
use crate::world::World;

/// Who moves the world.
#[derive(Clone)]
pub enum Pace {
    /// The door does, by the clock of the machine: so many simulated seconds a second, from the world's own time on.
    Wall {
        /// Simulated seconds a second.
        speed: f64,
    },
    /// Somebody else does. What comes through the door takes effect at the world's present moment.
    Led {
        /// Called after each change that came through the door, so that whoever sleeps until the world's next event
        /// looks again.
        changed: Arc<dyn Fn() + Send + Sync>,
    },
}

/// Called at the very moment of a call that is meant, before it is made: what it notes can be replayed.
pub type Note = Arc<dyn Fn(Timestamp, &Call) -> std::io::Result<()> + Send + Sync>;

/// The longest sleep of whoever moves the world, or looks whether it was moved.
const SLEEP: Duration = Duration::from_secs(1);
/// How often a world that somebody else moves is looked at.
const LOOK: Duration = Duration::from_millis(50);

/// The world, and its time.
pub(super) struct Clock {
    world: Arc<Mutex<World>>,
    pace: Pace,
    begin: (Timestamp, Instant),
    /// The version of the latest change that watches were told of.
    news: watch::Sender<u64>,
    touched: Notify,
}

impl Clock {
    pub(super) fn new(world: Arc<Mutex<World>>, pace: Pace) -> Self {
        let (now, version) = {
            let world = lock(&world);
            (world.now(), world.version())
        };
        let (news, _) = watch::channel(version);
        Self { world, pace, begin: (now, Instant::now()), news, touched: Notify::new() }
    }

    /// The world at the present moment.
    pub(super) fn world(&self) -> MutexGuard<'_, World> {
        let mut world = lock(&self.world);
        if let Pace::Wall { speed } = self.pace {
            let elapsed =
                SignedDuration::from_secs_f64(self.begin.1.elapsed().as_secs_f64() * speed);
            world.advance_fully(self.begin.0 + elapsed);
        }
        world
    }

    /// Tells everyone who waits for it that the world is at `version`, after a change that came through the door.
    pub(super) fn tell(&self, version: u64) {
        self.publish(version);
        self.touched.notify_one();
        if let Pace::Led { changed } = &self.pace {
            changed();
        }
    }

    fn publish(&self, version: u64) {
        self.news.send_if_modified(|known| std::mem::replace(known, version) != version);
    }

    /// Wakes whenever the world's version moves.
    pub(super) fn news(&self) -> watch::Receiver<u64> {
        self.news.subscribe()
    }

    /// Moves the world, or looks whether it was moved, for ever.
    pub(super) async fn run(&self) {
        loop {
            let (version, now, next) = {
                let world = self.world();
                (world.version(), world.now(), world.next_event())
            };
            self.publish(version);
            let sleep = match self.pace {
                Pace::Led { .. } => LOOK,
                Pace::Wall { speed } => next.map_or(SLEEP, |next| {
                    let seconds = next.duration_since(now).as_secs_f64() / speed;
                    Duration::from_secs_f64(seconds.clamp(0.001, SLEEP.as_secs_f64()))
                }),
            };
            tokio::select! {
                () = tokio::time::sleep(sleep) => {}
                () = self.touched.notified() => {}
            }
        }
    }
}

fn lock(world: &Mutex<World>) -> MutexGuard<'_, World> {
    // A panic elsewhere leaves the world between two events at worst.
    world.lock().unwrap_or_else(PoisonError::into_inner)
}
