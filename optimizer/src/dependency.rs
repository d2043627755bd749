//! Which steps must stay in their order, and which order is missing.

use crate::graph::Order;
use crate::touch::Touch;

/// What the facts say of two steps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Link {
    /// The earlier makes what the later looks at.
    Causal,
    /// The later would change what the earlier looks at, or both change the same.
    Threat,
    /// The order was written for a reason that facts do not tell: a guard, a reference, a condition, a failure.
    Written,
}

/// Why `earlier` must stay before `later`, if it must.
pub(crate) fn link(earlier: &Touch<'_>, later: &Touch<'_>) -> Option<Link> {
    if makes(earlier, later) || earlier.configures(later) {
        return Some(Link::Causal);
    }
    if earlier.shares_target(later) || makes(later, earlier) || later.configures(earlier) {
        return Some(Link::Threat);
    }
    let is_told = earlier.is_guard()
        || later.is_guard()
        || earlier.refers_to(&later.step.id)
        || later.refers_to(&earlier.step.id);
    let is_seen = earlier.watches(later) || later.watches(earlier);
    // Side by side, one may already have changed something when the other fails: harmless only if both are undone.
    (is_told || is_seen || !earlier.is_undone() || !later.is_undone()).then_some(Link::Written)
}

/// Whether `maker` may change a fact that `looker` looks at.
fn makes(maker: &Touch<'_>, looker: &Touch<'_>) -> bool {
    maker.shares_target(looker)
        && maker.changes.iter().any(|change| looker.looks.iter().any(|look| look.meets(change)))
}

/// The written order with what is not needed taken out and what is missing put in.
///
/// A written order stays where the two steps are linked. Steps without one get one where configuration must stand
/// before its readers are changed, and where both act on one object (in the order of the list); two writers of one
/// object would only meet as conflicts.
pub(crate) fn infer(touches: &[Touch<'_>], written: &Order) -> (Order, Vec<(usize, usize, Link)>) {
    let mut order = Order::empty(touches.len());
    let sorted = written.sorted();
    for (at, &later) in sorted.iter().enumerate() {
        // From the nearest back, so that most of the order follows from what stands already.
        for &earlier in sorted[..at].iter().rev() {
            let is_open = written.has(earlier, later) && !order.has(earlier, later);
            if is_open && link(&touches[earlier], &touches[later]).is_some() {
                order.add(earlier, later);
            }
        }
    }
    let mut added = Vec::new();
    for (a, b) in
        pairs(touches.len()).filter(|(a, b)| a < b && !written.has(*a, *b) && !written.has(*b, *a))
    {
        let (earlier, later, link) = if touches[a].configures(&touches[b]) {
            (a, b, Link::Causal)
        } else if touches[b].configures(&touches[a]) {
            (b, a, Link::Causal)
        } else if touches[a].shares_target(&touches[b]) {
            (a, b, Link::Threat)
        } else {
            continue;
        };
        if !order.has(later, earlier) && !order.has(earlier, later) {
            order.add(earlier, later);
            added.push((earlier, later, link));
        }
    }
    (order, added)
}

fn pairs(count: usize) -> impl Iterator<Item = (usize, usize)> {
    (0..count).flat_map(move |a| (0..count).map(move |b| (a, b)))
}
