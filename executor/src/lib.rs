//! Runs plans durably: a state machine without IO, a fleet of them, and the driver that obeys.
