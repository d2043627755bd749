use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use jiff::{SignedDuration, Timestamp};
use simulator::{Emission, World};

/// Where the engine's time comes from.
pub enum Time {
    /// The machine's clock at start plus monotonic elapsed time: a jump of the wall clock is noticed, not followed.
    Wall(Wall),
    /// A simulated world's.
    Simulated {
        /// The world.
        world: Arc<Mutex<World>>,
        /// How fast it goes.
        pace: Pace,
    },
}

/// The wall clock as it was at start, and what has elapsed since.
pub struct Wall {
    start: Timestamp,
    since: Instant,
    noticed: SignedDuration,
}

/// How fast simulated time goes.
pub enum Pace {
    /// As fast as it can: nothing ever sleeps.
    Free,
    /// So many simulated seconds a second, counted from a moment of the world.
    Speed {
        /// Simulated seconds a second, above 0.
        speed: f64,
        /// The world's time when it was set going.
        start: Timestamp,
        /// The machine's time then.
        since: Instant,
    },
}

impl Pace {
    /// From now on, `speed` simulated seconds a second.
    pub fn speed(speed: f64, start: Timestamp) -> Self {
        Self::Speed { speed, start, since: Instant::now() }
    }
}

/// What a wait came to.
#[derive(Debug, PartialEq)]
pub enum Arrival {
    /// Time, and what the world emitted on the way.
    Emitted(Vec<Emission>),
    /// The real clock must go on for so long before there is anything to do; `None` means for ever.
    Sleep(Option<Duration>),
}

impl Time {
    /// The wall clock, from now.
    pub fn wall() -> Self {
        Self::Wall(Wall {
            start: Timestamp::now(),
            since: Instant::now(),
            noticed: SignedDuration::ZERO,
        })
    }

    /// Now.
    pub fn now(&self) -> Timestamp {
        match self {
            Self::Wall(wall) => wall.now(),
            Self::Simulated { world, .. } => {
                world.lock().expect("a world is never left half-changed").now()
            }
        }
    }

    /// By how much the wall clock has jumped since it was last asked, if by more than two seconds.
    pub fn jumped(&mut self) -> Option<SignedDuration> {
        let Self::Wall(wall) = self else { return None };
        let apart = Timestamp::now().duration_since(wall.now());
        let jump = apart - wall.noticed;
        (jump.abs() > SignedDuration::from_secs(2)).then(|| {
            wall.noticed = apart;
            jump
        })
    }

    /// Goes towards `deadline` as far as it can without sleeping: to it, or to the first thing that the world emits.
    ///
    /// Gives [`Arrival::Sleep`] where the real clock has to go on first; a message may cut that sleep short.
    pub fn advance(&mut self, deadline: Option<Timestamp>) -> Arrival {
        match self {
            Self::Wall(wall) => {
                Arrival::Sleep(deadline.map(|at| unsigned(at.duration_since(wall.now()))))
            }
            Self::Simulated { world, pace } => {
                let mut world = world.lock().expect("a world is never left half-changed");
                // The next event wakes us, and not only our own deadline: it may be the one that emits.
                let next = [deadline, world.next_event()].into_iter().flatten().min();
                match pace {
                    Pace::Free => match deadline.or(next) {
                        Some(until) => {
                            let until = until.max(world.now());
                            Arrival::Emitted(world.advance(until).emitted)
                        }
                        None => Arrival::Sleep(None),
                    },
                    Pace::Speed { speed, start, since } => {
                        let reached = *start + scaled(since.elapsed(), *speed);
                        if next.is_some_and(|at| at <= reached) || world.now() < reached {
                            let until =
                                deadline.map_or(reached, |at| at.min(reached)).max(world.now());
                            let emitted = world.advance(until).emitted;
                            if !emitted.is_empty() || deadline.is_some_and(|at| at <= world.now()) {
                                return Arrival::Emitted(emitted);
                            }
                        }
                        let next = [deadline, world.next_event()].into_iter().flatten().min();
                        Arrival::Sleep(
                            next.map(|at| unsigned(at.duration_since(reached)).div_f64(*speed)),
                        )
                    }
                }
            }
        }
    }
}

impl Wall {
    fn now(&self) -> Timestamp {
        self.start + SignedDuration::try_from(self.since.elapsed()).unwrap_or(SignedDuration::MAX)
    }
}

fn unsigned(duration: SignedDuration) -> Duration {
    Duration::try_from(duration).unwrap_or(Duration::ZERO)
}

fn scaled(elapsed: Duration, speed: f64) -> SignedDuration {
    SignedDuration::from_secs_f64(elapsed.as_secs_f64() * speed)
}
