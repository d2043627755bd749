use cluster::Object;
use serde_json::json;
use workflow::fact::Predicate;
use workflow::{ActionSpec, Args};

use crate::argument::text;
use crate::change::{FieldUpdate, Proposed, read_then_patch};
use crate::container::ContainerRef;
use crate::declaration::{WORKLOADS, container_schema, fact, priors, reversible};
use crate::equivalence::is_equal;
use crate::{Next, Reply};

pub(crate) const NAME: &str = "set-image";

pub(crate) fn spec() -> ActionSpec {
    let image = |what: &str| json!({"type": "string", "minLength": 1, "maxLength": 512, "pattern": "^[A-Za-z0-9][A-Za-z0-9._:/@-]*$", "description": what});
    let arguments = json!({
        "container": container_schema(),
        "image": image("The image to set. It must be an image that the evidence contains, never one from free text."),
        "expect": image("The image that must be set now; with any other image, nothing is changed."),
    });
    ActionSpec {
        reads: vec![fact(Predicate::Image, Some("$container"), None)],
        effects: vec![fact(Predicate::Image, Some("$container"), Some(json!("$image")))],
        priors: priors(60, 7.0, 3.0, 90.0),
        ..reversible(
            NAME,
            "Sets the image of one container of a workload.",
            WORKLOADS,
            arguments,
            &["container", "image"],
        )
    }
}

pub(crate) fn next(spec: &ActionSpec, args: &Args, _key: &str, replies: &[Reply]) -> Next {
    read_then_patch(
        spec,
        args,
        replies,
        |_| Vec::new(),
        |object, _| propose(args, object).unwrap_or_else(|refused| refused),
    )
}

fn propose(args: &Args, object: &Object) -> Result<Proposed, Proposed> {
    let (name, image) = (text(args, "container")?, text(args, "image")?);
    let container = ContainerRef::of(object, name)?;
    let field =
        FieldUpdate { current: container.field("image"), desired: image.into(), is_same: is_equal };
    Ok(field.propose(args, |field| {
        let undo = Args::from_iter([
            ("container".to_string(), name.into()),
            ("image".to_string(), field.current.clone()),
        ]);
        (
            vec![container.set("image", field.desired.clone())],
            field.current.is_string().then_some(undo),
        )
    }))
}
