//! The shop with as many workloads as a measurement asks for.

use anyhow::{Context as _, Result};
use serde_json::{Value, json};
use simulator::WorldFile;

/// A world of `workloads` workloads made of whole shops, each in a namespace of its own with nodes of its own, and of one
/// shop without those on which nobody depends.
pub(super) fn multiplied(shop: &WorldFile, workloads: usize) -> Result<WorldFile> {
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
        // One namespace and one set of nodes for each; workloads, images and keys may be called alike.
        let text = serde_json::to_string(&copy["spec"])?
            .replace("$(ns.shop)", &format!("$(ns.shop-{i})"))
            .replace("$(n.node-", &format!("$(n.node-{i}-"));
        let spec: Value = serde_json::from_str(&text)?;
        for list in LISTS {
            let items = spec[list].as_array().cloned().unwrap_or_default();
            whole["spec"][list].as_array_mut().context("a list of our own")?.extend(items);
        }
    }
    Ok(serde_json::from_value(whole)?)
}

/// What every copy has for itself.
const LISTS: [&str; 3] = ["objects", "workloads", "traffic"];

/// The shop with only so many workloads: each time the first goes that no other depends on, and visitors from outside ask
/// what it asked.
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
                Some(entry["name"].as_str()?.strip_prefix("$(w.")?.strip_suffix(')')?.to_string())
            })
            .collect();
        let depends =
            |of: &str, on: &str| of != on && parts(&shop, of).contains(&format!("$(w.{on})"));
        let gone = words
            .iter()
            .find(|on| !words.iter().any(|of| depends(of, on)))
            .context("a workload on which none depends")?;
        shop = without(&shop, gone);
    }
}

/// Everything that a world says of one workload, as text.
fn parts(shop: &Value, word: &str) -> String {
    let objects = shop["spec"]["objects"].as_array().into_iter().flatten();
    let own = objects.filter(|object| is_of(object, word)).map(Value::to_string);
    let images = shop["spec"]["images"].as_object().into_iter().flatten();
    let images = images.filter(|(image, _)| is_image_of(image, word));
    own.chain(images.map(|(_, behaviour)| behaviour.to_string())).collect()
}

fn is_of(object: &Value, word: &str) -> bool {
    object["metadata"]["labels"]["app"] == format!("$(l.{word})")
}

fn is_image_of(image: &str, word: &str) -> bool {
    image.starts_with(&format!("$(i.{word}):"))
}

fn without(shop: &Value, word: &str) -> Value {
    let mut left = shop.clone();
    let spec = &mut left["spec"];
    let keep = |list: &mut Value, is_gone: &dyn Fn(&Value) -> bool| {
        if let Value::Array(items) = list {
            items.retain(|item| !is_gone(item));
        }
    };
    let name = Value::from(format!("$(w.{word})"));
    keep(&mut spec["objects"], &|object| is_of(object, word));
    keep(&mut spec["workloads"], &|entry| entry["name"] == name);
    keep(&mut spec["traffic"], &|visitors| visitors["service"] == name);
    let image = shop["spec"]["images"].as_object().into_iter().flatten();
    let image = image.clone().find(|(image, _)| is_image_of(image, word));
    let calls = image.and_then(|(_, behaviour)| behaviour["calls"].as_array());
    for call in calls.into_iter().flatten() {
        let mut visitors = call.clone();
        visitors["client"] = "ingress".into();
        visitors["namespace"] = "$(ns.shop)".into();
        if let Value::Array(traffic) = &mut spec["traffic"] {
            // Two that are gone may have asked the same Service.
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
    fn a_shop_of_another_size_has_so_many_workloads_and_is_well() {
        let shop = crate::datasets::world("shop").unwrap();
        for workloads in [10, 15, 40] {
            let file = multiplied(&shop, workloads).unwrap();
            assert_eq!(file.spec.workloads.len(), workloads);
            let start = crate::cli::start();
            let mut world = World::new(&file, 1, start).unwrap();
            world.advance_fully(start + SignedDuration::from_mins(15));
            assert!(world.firing().is_empty(), "{workloads}: {:?}", world.firing());
            let deployments = world.objects().filter(|object| object.kind().kind == "Deployment");
            assert_eq!(deployments.count(), workloads);
        }
    }
}
