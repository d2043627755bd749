use std::time::Duration;

/// How many connections are held, and how long each is waited for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// Connections at one time; where all are taken, the one that has been silent longest gives way to the next.
    pub connections: usize,
    /// Time for the head of a request, from its first byte or from the end of the request before it.
    pub header: Duration,
    /// Time for a whole body.
    pub body: Duration,
    /// Time for the engine to answer.
    pub answer: Duration,
    /// Time for requests under way to end after the shutdown began.
    pub drain: Duration,
}

impl Default for Bounds {
    fn default() -> Self {
        Self {
            connections: 1_024,
            header: Duration::from_secs(10),
            body: Duration::from_secs(10),
            answer: Duration::from_secs(30),
            drain: Duration::from_secs(10),
        }
    }
}
