//! Scales the shop world to a given number of workloads.

use anyhow::{Context as _, Result};
use serde_json::{Value, json};
use simulator::WorldFile;

/// Returns a world with `workloads` workloads: complete shops, each with its own namespace and nodes, and one shop
/// reduced to the remaining number.
pub(super) fn scaled(shop: &WorldFile, workloads: usize) -> Result<WorldFile> {
    let size = shop.spec.workloads.len();
    let value = serde_json::to_value(shop)?;
    let mut whole = value.clone();
    for list in LISTS {
        whole["spec"][list] = json!([]);
    }
    let rest = workloads % size;
    let remainder = if rest == 0 { None } else { Some(shrunk(&value, rest)?) };
    let copies = std::iter::repeat_n(&value, workloads / size).chain(&remainder);
    for (i, copy) in copies.enumerate() {
        // Each copy gets its own namespace and nodes. Workloads, images and keys may have equal names.
        let text = serde_json::to_string(&copy["spec"])?
            .replace("$(namespace.shop)", &format!("$(namespace.shop-{i})"))
            .replace("$(node.node-", &format!("$(node.node-{i}-"));
        let spec: Value = serde_json::from_str(&text)?;
        for list in LISTS {
            let items = spec[list].as_array().cloned().unwrap_or_default();
            whole["spec"][list].as_array_mut().context("a list in the shop world")?.extend(items);
        }
    }
    Ok(serde_json::from_value(whole)?)
}

/// Lists that every copy of the shop adds to.
const LISTS: [&str; 3] = ["objects", "workloads", "traffic"];

/// Returns the shop with `workloads` workloads. Removes the first workload that no other depends on, one at a time; its
/// calls are replaced by client traffic.
fn shrunk(shop: &Value, workloads: usize) -> Result<Value> {
    let mut shop = shop.clone();
    loop {
        let entries = shop["spec"]["workloads"].as_array().context("workloads")?.clone();
        if entries.len() <= workloads {
            return Ok(shop);
        }
        let words: Vec<String> = entries
            .iter()
            .filter_map(|entry| {
                Some(
                    entry["name"]
                        .as_str()?
                        .strip_prefix("$(workload.")?
                        .strip_suffix(')')?
                        .to_string(),
                )
            })
            .collect();
        let depends = |of: &str, on: &str| {
            of != on && parts(&shop, of).contains(&format!("$(workload.{on})"))
        };
        let removed = words
            .iter()
            .find(|on| !words.iter().any(|of| depends(of, on)))
            .context("a workload without dependents")?;
        shop = without(&shop, removed);
    }
}

/// Returns the objects and the image behaviour of one workload, as text.
fn parts(shop: &Value, word: &str) -> String {
    let objects = shop["spec"]["objects"].as_array().into_iter().flatten();
    let own = objects.filter(|object| is_of(object, word)).map(Value::to_string);
    let images = shop["spec"]["images"].as_object().into_iter().flatten();
    let images = images.filter(|(image, _)| is_image_of(image, word));
    own.chain(images.map(|(_, behaviour)| behaviour.to_string())).collect()
}

fn is_of(object: &Value, word: &str) -> bool {
    object["metadata"]["labels"]["app"] == format!("$(label.{word})")
}

fn is_image_of(image: &str, word: &str) -> bool {
    image.starts_with(&format!("$(image.{word}):"))
}

fn without(shop: &Value, word: &str) -> Value {
    let mut left = shop.clone();
    let spec = &mut left["spec"];
    let keep = |list: &mut Value, is_removed: &dyn Fn(&Value) -> bool| {
        if let Value::Array(items) = list {
            items.retain(|item| !is_removed(item));
        }
    };
    let name = Value::from(format!("$(workload.{word})"));
    keep(&mut spec["objects"], &|object| is_of(object, word));
    keep(&mut spec["workloads"], &|entry| entry["name"] == name);
    keep(&mut spec["traffic"], &|visitors| visitors["service"] == name);
    let image = shop["spec"]["images"].as_object().into_iter().flatten();
    let image = image.clone().find(|(image, _)| is_image_of(image, word));
    let calls = image.and_then(|(_, behaviour)| behaviour["calls"].as_array());
    for call in calls.into_iter().flatten() {
        let mut visitors = call.clone();
        visitors["client"] = "ingress".into();
        visitors["namespace"] = "$(namespace.shop)".into();
        if let Value::Array(traffic) = &mut spec["traffic"] {
            // Two removed workloads may have called the same Service.
            traffic.retain(|known| known["service"] != visitors["service"]);
            traffic.push(visitors);
        }
    }
    if let Value::Object(images) = &mut spec["images"] {
        images.retain(|image, _| !is_image_of(image, word));
    }
    left
}

#[cfg(test)]
mod tests {
    use jiff::SignedDuration;
    use simulator::World;

    use super::*;

    #[test]
    fn scaled_shop_has_the_requested_workloads_and_is_healthy() {
        let shop = crate::datasets::world("shop").unwrap();
        for workloads in [10, 15, 40] {
            let file = scaled(&shop, workloads).unwrap();
            assert_eq!(file.spec.workloads.len(), workloads);
            let start = crate::bootstrap::start();
            let mut world = World::new(&file, 1, start).unwrap();
            world.advance_fully(start + SignedDuration::from_mins(15));
            assert!(
                world.firing_alert_names().is_empty(),
                "{workloads}: {:?}",
                world.firing_alert_names()
            );
            let deployments = world.objects().filter(|object| object.kind().kind == "Deployment");
            assert_eq!(deployments.count(), workloads);
        }
    }
}
