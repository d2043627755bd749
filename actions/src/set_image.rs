use cluster::ObjectRef;
use serde_json::{Value, json};
use workflow::fact::{Fact, Predicate};
use workflow::{ActionSpec, Args};

use crate::argument::{arguments, text};
use crate::change::{ChangeInput, FieldUpdate, Proposed};
use crate::changed_field::known_good_fact;
use crate::container::{ContainerRef, is_in_container};
use crate::declaration::{WORKLOADS, container_schema, fact, priors, reversible};
use crate::equivalence::is_equal;
use crate::refused::Refused;
use crate::{Action, ChangedField, FieldClass, Symptom};

pub(crate) struct SetImage;

impl Action for SetImage {
    fn name(&self) -> &'static str {
        "set-image"
    }

    fn spec(&self) -> ActionSpec {
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
                self.name(),
                "Sets the image of one container of a workload.",
                WORKLOADS,
                arguments,
                &["container", "image"],
            )
        }
    }

    fn propose(&self, input: &ChangeInput<'_>) -> Result<Proposed, Refused> {
        let ChangeInput { args, object, .. } = *input;
        let (name, image) = (text(args, "container")?, text(args, "image")?);
        let container = ContainerRef::of(object, name)?;
        let field = FieldUpdate {
            current: container.field("image"),
            desired: image.into(),
            is_same: is_equal,
        };
        field.propose(args, |field| {
            let undo = Args::from_iter([
                ("container".to_string(), name.into()),
                ("image".to_string(), field.current.clone()),
            ]);
            (
                vec![container.set("image", field.desired.clone())],
                field.current.is_string().then_some(undo),
            )
        })
    }

    fn image<'a>(&self, args: &'a Args) -> Option<&'a str> {
        Some(args.get("image").and_then(Value::as_str).unwrap_or_default())
    }

    fn treats(&self) -> &'static [Symptom] {
        &[Symptom::Image, Symptom::Crash]
    }

    fn modified_fields(&self) -> &'static [FieldClass] {
        &[FieldClass::Image]
    }

    fn selects(&self, args: &Args, path: &str) -> bool {
        is_in_container(args, path)
    }

    fn restore(&self, field: &ChangedField<'_>) -> Option<Args> {
        let image = field.before.as_str()?;
        Some(arguments([("container", field.container()?.into()), ("image", image.into())]))
    }

    fn known_good_fact(&self, subject: &ObjectRef, args: &Args) -> Option<Fact> {
        let container = text(args, "container").ok()?;
        known_good_fact(subject, Predicate::KnownGoodImage, container, args.get("image"))
    }
}
