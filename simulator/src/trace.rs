//! The trace of a world: a digest of everything that it emitted and stored.

use cluster::{Digest, Object, digest_of_parts};
use jiff::{SignedDuration, Timestamp};

use crate::metric::METRICS;
use crate::world::{Emission, World, canonical};

/// How often a trace includes the stored objects.
const SNAPSHOT_INTERVAL: SignedDuration = SignedDuration::from_mins(1);

/// A running digest of everything that a world emits and stores.
///
/// It includes, in order: every alert notification with its time; at the end of every minute, the number of changes
/// so far, the objects that changed in that minute, and the names of all objects. [`Trace::digest`] adds every
/// request with its reply, the effects, the firing alerts, every sample of every metric, and the internal state of
/// nodes, traffic and alerts. Only the pending timers are excluded. Two runs of a world therefore have the same trace
/// if no component and no client can distinguish them.
#[derive(Clone, Debug)]
pub struct Trace {
    digest: Digest,
    version: u64,
}

impl Trace {
    /// Starts a trace of `world` at its current time.
    pub fn start(world: &World) -> Self {
        let mut trace = Self { digest: Digest::of(b"trace"), version: 0 };
        trace.append_snapshot(world);
        trace
    }

    /// Advances `world` to `until`, and appends what it emits and stores.
    pub fn advance(&mut self, world: &mut World, until: Timestamp) {
        while world.now() < until {
            let snapshot_at = (world.now() + SNAPSHOT_INTERVAL).min(until);
            while world.now() < snapshot_at {
                let advance = world.advance(snapshot_at);
                for Emission::Alerts(webhook) in &advance.emitted {
                    let json = serde_json::to_string(webhook)
                        .expect("a webhook serializes without errors");
                    self.append([advance.now.to_string(), json]);
                }
            }
            self.append_snapshot(world);
        }
    }

    /// Returns the digest of the trace so far and of the current state of `world`.
    pub fn digest(&self, world: &World) -> Digest {
        let mut end = self.clone();
        end.append(world.requests().iter().map(|logged| format!("{logged:?}")));
        end.append([format!("{:?} {:?}", world.effects(), world.firing_alerts())]);
        for metric in METRICS {
            for window in [0, 300] {
                let samples = world.samples(metric, window);
                end.append([metric.to_string(), format!("{samples:?}")]);
            }
        }
        end.append([world.rng.position()]);
        end.append(world.internal_state());
        end.digest
    }

    fn append_snapshot(&mut self, world: &World) {
        let mut parts = vec![world.now().to_string(), world.objects.version().to_string()];
        for object in world.objects() {
            parts.push(format!(
                "{} {}/{}",
                object.kind().kind,
                object.namespace().unwrap_or_default(),
                object.name()
            ));
            if version(object) > self.version {
                parts.push(canonical(&object.to_value()));
            }
        }
        self.version = world.objects.version();
        self.append(parts);
    }

    fn append(&mut self, parts: impl IntoIterator<Item = String>) {
        let parts: Vec<String> = std::iter::once(self.digest.hex()).chain(parts).collect();
        self.digest = digest_of_parts(&parts.iter().map(String::as_str).collect::<Vec<_>>());
    }
}

/// Returns the resource version as a number. In this cluster, as in etcd, versions are increasing numbers.
fn version(object: &Object) -> u64 {
    object.metadata().resource_version.parse().unwrap_or(u64::MAX)
}
