use std::time::Duration;

/// The connection limit and the timeouts of the server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// Maximum number of open connections. When it is reached, the longest-idle connection is closed for a new one.
    pub connections: usize,
    /// Time to receive the head of a request, counted from its first byte or from the end of the previous request.
    pub request_head: Duration,
    /// Time to receive a whole body.
    pub body: Duration,
    /// Time for the engine to respond.
    pub engine_response: Duration,
    /// Time for requests in flight to finish once a shutdown began.
    pub drain: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            connections: 1_024,
            request_head: Duration::from_secs(10),
            body: Duration::from_secs(10),
            engine_response: Duration::from_secs(30),
            drain: Duration::from_secs(10),
        }
    }
}
