use cluster::{Object, Reply};
use serde_json::json;
use workflow::fact::Predicate;
use workflow::{ActionSpec, Args};

use crate::Next;
use crate::argument::text;
use crate::change::{Field, Proposal, change};
use crate::container::Place;
use crate::declaration::{WORKLOADS, container_schema, fact, priors, reversible};
use crate::sameness::is_equal;

pub(crate) const NAME: &str = "set-image";

pub(crate) fn spec() -> ActionSpec {
    let image = |what: &str| json!({"type": "string", "minLength": 1, "maxLength": 512, "pattern": "^[A-Za-z0-9][A-Za-z0-9._:/@-]*$", "description": what});
    let arguments = json!({
        "container": container_schema(),
        "image": image("The image that the container shall run: one that the evidence found, never one out of a text."),
        "expect": image("The image that must stand there now; anything else is left as it is."),
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
    change(
        spec,
        args,
        replies,
        |_| Vec::new(),
        |object, _| propose(args, object).unwrap_or_else(|refused| refused),
    )
}

fn propose(args: &Args, object: &Object) -> Result<Proposal, Proposal> {
    let (name, image) = (text(args, "container")?, text(args, "image")?);
    let place = Place::of(object, name)?;
    let field = Field { current: place.field("image"), wanted: image.into(), is_same: is_equal };
    Ok(field.propose(args, |field| {
        let undo = Args::from_iter([
            ("container".to_string(), name.into()),
            ("image".to_string(), field.current.clone()),
        ]);
        (vec![place.set("image", field.wanted.clone())], field.current.is_string().then_some(undo))
    }))
}
