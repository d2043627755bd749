//! A seeded Kubernetes in virtual time behind the ports of the cluster crate.
