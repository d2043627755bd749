//! Content negotiation: media types of responses and request bodies.

use crate::api::StatusError;

/// The representation of objects in a response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Representation {
    /// Complete objects.
    Full,
    /// A `Table`, as kubectl prints it.
    Table,
    /// `PartialObjectMetadata`.
    Metadata,
    /// An `APIGroupDiscoveryList`, for discovery.
    Discovery,
}

/// The serialization format of a response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Encoding {
    Json,
    Yaml,
}

/// The result of content negotiation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Accepted {
    pub(super) representation: Representation,
    pub(super) encoding: Encoding,
}

/// Returns the first supported media type of an `Accept` header. Default: JSON objects.
///
/// # Errors
/// Returns 406 if no listed media type is supported.
pub(super) fn accepted(header: Option<&str>) -> Result<Accepted, StatusError> {
    let default = Accepted { representation: Representation::Full, encoding: Encoding::Json };
    let Some(header) = header.filter(|header| !header.trim().is_empty()) else {
        return Ok(default);
    };
    header.split(',').find_map(parse_media_range).ok_or_else(|| {
        let message =
            "only the following media types are accepted: application/json, application/yaml";
        StatusError::new(406, "NotAcceptable", message)
    })
}

fn parse_media_range(range: &str) -> Option<Accepted> {
    let mut parts = range.split(';').map(str::trim);
    let encoding = match parts.next()? {
        "*/*" | "application/*" | "application/json" => Encoding::Json,
        "application/yaml" => Encoding::Yaml,
        _ => return None,
    };
    let parameters: Vec<(&str, &str)> = parts.filter_map(|part| part.split_once('=')).collect();
    let parameter =
        |name: &str| parameters.iter().find(|(known, _)| *known == name).map(|(_, value)| *value);
    let representation = match (parameter("as"), parameter("g"), parameter("v")) {
        (None, _, _) => Representation::Full,
        (Some("Table"), Some("meta.k8s.io"), Some("v1")) => Representation::Table,
        (
            Some("PartialObjectMetadata" | "PartialObjectMetadataList"),
            Some("meta.k8s.io"),
            Some("v1"),
        ) => Representation::Metadata,
        (Some("APIGroupDiscoveryList"), Some("apidiscovery.k8s.io"), Some("v2")) => {
            Representation::Discovery
        }
        (Some(_), _, _) => return None,
    };
    Some(Accepted { representation, encoding })
}

/// Returns the media type of a request body, without parameters.
pub(super) fn of_body(header: Option<&str>) -> &str {
    header.unwrap_or_default().split(';').next().unwrap_or_default().trim()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accept_selects_first_supported_media_type() {
        let representation =
            |header: &str| accepted(Some(header)).map(|accepted| accepted.representation);
        assert_eq!(accepted(None).unwrap().representation, Representation::Full);
        assert_eq!(
            representation("application/json;as=Table;v=v1;g=meta.k8s.io,application/json"),
            Ok(Representation::Table)
        );
        assert_eq!(
            representation("application/vnd.kubernetes.protobuf,application/json"),
            Ok(Representation::Full)
        );
        assert_eq!(
            representation("application/json;as=Table;v=v1beta1;g=meta.k8s.io,application/json"),
            Ok(Representation::Full)
        );
        assert_eq!(representation("application/vnd.kubernetes.protobuf").unwrap_err().code, 406);
    }
}
