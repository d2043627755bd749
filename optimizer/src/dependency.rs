//! Which order between steps must be kept, and which order is missing.

use crate::access::Access;
use crate::graph::Order;

/// Why one step must run before another (causal links and threats, as in partial-order planning).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Dependency {
    /// The earlier step changes facts that the later step reads.
    Causal,
    /// The later step changes facts that the earlier step reads, or both change the same object.
    Threat,
    /// The author declared the order for a reason that facts do not show: a guard, a reference, a condition, a failure.
    Declared,
}

/// Returns why `earlier` must stay before `later`, or `None` if the two are independent.
pub(crate) fn dependency(earlier: &Access<'_>, later: &Access<'_>) -> Option<Dependency> {
    if writes_for(earlier, later) || earlier.configures(later) {
        return Some(Dependency::Causal);
    }
    if earlier.shares_target(later) || writes_for(later, earlier) || later.configures(earlier) {
        return Some(Dependency::Threat);
    }
    let is_ordered_explicitly = earlier.is_guard()
        || later.is_guard()
        || earlier.refers_to(&later.step.id)
        || later.refers_to(&earlier.step.id);
    let is_observed = earlier.watches(later) || later.watches(earlier);
    // If the two ran concurrently, one could already have changed something when the other fails. That is harmless only
    // if both are undone.
    (is_ordered_explicitly || is_observed || !earlier.is_undone() || !later.is_undone())
        .then_some(Dependency::Declared)
}

/// Whether `writer` may change a fact that `reader` reads.
fn writes_for(writer: &Access<'_>, reader: &Access<'_>) -> bool {
    writer.shares_target(reader)
        && writer.writes.iter().any(|write| reader.reads.iter().any(|read| read.overlaps(write)))
}

/// Infers the order that the facts require: `declared` without the edges that are not needed, plus the missing edges,
/// which are returned separately.
///
/// A declared edge is kept where the two steps depend on each other. An edge is added where configuration must be changed
/// before the workloads that read it, and where both steps change the same object (in list order), because concurrent
/// writers of one object only cause conflicts.
pub(crate) fn infer(
    accesses: &[Access<'_>],
    declared: &Order,
) -> (Order, Vec<(usize, usize, Dependency)>) {
    let mut order = Order::empty(accesses.len());
    let sorted = declared.sorted();
    for (position, &later) in sorted.iter().enumerate() {
        // Starting with the nearest earlier step, so that most edges follow transitively from those added before.
        for &earlier in sorted[..position].iter().rev() {
            let is_missing = declared.has(earlier, later) && !order.has(earlier, later);
            if is_missing && dependency(&accesses[earlier], &accesses[later]).is_some() {
                order.add(earlier, later);
            }
        }
    }
    let mut added = Vec::new();
    for (a, b) in pairs(accesses.len())
        .filter(|(a, b)| a < b && !declared.has(*a, *b) && !declared.has(*b, *a))
    {
        let (earlier, later, dependency) = if accesses[a].configures(&accesses[b]) {
            (a, b, Dependency::Causal)
        } else if accesses[b].configures(&accesses[a]) {
            (b, a, Dependency::Causal)
        } else if accesses[a].shares_target(&accesses[b]) {
            (a, b, Dependency::Threat)
        } else {
            continue;
        };
        if !order.has(later, earlier) && !order.has(earlier, later) {
            order.add(earlier, later);
            added.push((earlier, later, dependency));
        }
    }
    (order, added)
}

fn pairs(count: usize) -> impl Iterator<Item = (usize, usize)> {
    (0..count).flat_map(move |a| (0..count).map(move |b| (a, b)))
}
