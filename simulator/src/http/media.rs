//! What a client can read, and what a body is written in.

use crate::api::Refusal;

/// The form in which objects are answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shape {
    /// As they are.
    Whole,
    /// As rows of a table, for people.
    Table,
    /// Their metadata alone.
    Metadata,
    /// The resources of all groups in one document; for discovery.
    Discovery,
}

/// How objects are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Writing {
    Json,
    Yaml,
}

/// What a client asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Accepted {
    pub(super) shape: Shape,
    pub(super) writing: Writing,
}

/// Chooses the first form that the client lists and we can give.
///
/// # Errors
/// 406 where there is none.
pub(super) fn accepted(header: Option<&str>) -> Result<Accepted, Refusal> {
    let whole = Accepted { shape: Shape::Whole, writing: Writing::Json };
    let Some(header) = header.filter(|header| !header.trim().is_empty()) else { return Ok(whole) };
    header.split(',').find_map(one).ok_or_else(|| {
        let message =
            "only the following media types are accepted: application/json, application/yaml";
        Refusal::new(406, "NotAcceptable", message)
    })
}

fn one(range: &str) -> Option<Accepted> {
    let mut parts = range.split(';').map(str::trim);
    let writing = match parts.next()? {
        "*/*" | "application/*" | "application/json" => Writing::Json,
        "application/yaml" => Writing::Yaml,
        _ => return None,
    };
    let parameters: Vec<(&str, &str)> = parts.filter_map(|part| part.split_once('=')).collect();
    let parameter =
        |name: &str| parameters.iter().find(|(known, _)| *known == name).map(|(_, value)| *value);
    let shape = match (parameter("as"), parameter("g"), parameter("v")) {
        (None, _, _) => Shape::Whole,
        (Some("Table"), Some("meta.k8s.io"), Some("v1")) => Shape::Table,
        (
            Some("PartialObjectMetadata" | "PartialObjectMetadataList"),
            Some("meta.k8s.io"),
            Some("v1"),
        ) => Shape::Metadata,
        (Some("APIGroupDiscoveryList"), Some("apidiscovery.k8s.io"), Some("v2")) => {
            Shape::Discovery
        }
        (Some(_), _, _) => return None,
    };
    Some(Accepted { shape, writing })
}

/// The media type of a body, without its parameters.
pub(super) fn of_body(header: Option<&str>) -> &str {
    header.unwrap_or_default().split(';').next().unwrap_or_default().trim()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_form_that_both_know_is_taken() {
        let shape = |header: &str| accepted(Some(header)).map(|accepted| accepted.shape);
        assert_eq!(accepted(None).unwrap().shape, Shape::Whole);
        assert_eq!(
            shape("application/json;as=Table;v=v1;g=meta.k8s.io,application/json"),
            Ok(Shape::Table)
        );
        assert_eq!(shape("application/vnd.kubernetes.protobuf,application/json"), Ok(Shape::Whole));
        assert_eq!(
            shape("application/json;as=Table;v=v1beta1;g=meta.k8s.io,application/json"),
            Ok(Shape::Whole)
        );
        assert_eq!(shape("application/vnd.kubernetes.protobuf").unwrap_err().code, 406);
    }
}
