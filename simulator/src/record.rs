//! The record of a world: everything that it emitted and stored, in one digest.

use cluster::{Digest, Object, digest_of_parts};
use jiff::{SignedDuration, Timestamp};

use crate::metric::METRICS;
use crate::world::{Emission, World, canonical};

/// How often a record looks at what was stored.
const LOOK: SignedDuration = SignedDuration::from_mins(1);

/// Everything that a world emits and stores while time passes, in one digest.
///
/// Into it go, in order: every delivery of alerts with its moment, and at the end of every minute the number of changes so
/// far, all objects that changed in it as they then are, and the names of all that there are; at the end every request with
/// its answer, the effects, the alerts that fire, every sample of every metric, and what the nodes, the traffic and the
/// alerts hold behind all that. Left out are only the times at which somebody will look at the world next: two runs of one
/// world have the same record if nobody who lives in it or asks it could tell them apart.
#[derive(Clone, Debug)]
pub struct Record {
    digest: Digest,
    version: u64,
}

impl Record {
    /// The record of `world` from now on.
    pub fn of(world: &World) -> Self {
        let mut record = Self { digest: Digest::of(b"record"), version: 0 };
        record.look(world);
        record
    }

    /// Lets time pass in `world` until `until`, and notes what it emits and stores.
    pub fn pass(&mut self, world: &mut World, until: Timestamp) {
        while world.now() < until {
            let look = (world.now() + LOOK).min(until);
            while world.now() < look {
                let advance = world.advance(look);
                for Emission::Alerts(webhook) in &advance.emitted {
                    let said = serde_json::to_string(webhook).expect("a delivery is plain data");
                    self.note([advance.now.to_string(), said]);
                }
            }
            self.look(world);
        }
    }

    /// The digest of all that was noted, and of what there is in `world` now.
    pub fn digest(&self, world: &World) -> Digest {
        let mut end = self.clone();
        end.note(world.requests().iter().map(|logged| format!("{logged:?}")));
        end.note([format!("{:?} {:?}", world.effects(), world.firing_alerts())]);
        for metric in METRICS {
            for window in [0, 300] {
                let samples = world.samples(metric, window);
                end.note([metric.to_string(), format!("{samples:?}")]);
            }
        }
        end.note([world.chance.position()]);
        end.note(world.hidden());
        end.digest
    }

    fn look(&mut self, world: &World) {
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
        self.note(parts);
    }

    fn note(&mut self, parts: impl IntoIterator<Item = String>) {
        let parts: Vec<String> = std::iter::once(self.digest.hex()).chain(parts).collect();
        self.digest = digest_of_parts(&parts.iter().map(String::as_str).collect::<Vec<_>>());
    }
}

/// In this cluster, as in etcd, versions are numbers that grow.
fn version(object: &Object) -> u64 {
    object.metadata().resource_version.parse().unwrap_or(u64::MAX)
}
