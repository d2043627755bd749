use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A page of a list, newest first.
// The only generic type of the API. utoipa composes the schema of a generic type itself, so this one is not bridged.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ListResponse<T> {
    /// Items of the page.
    pub items: Vec<T>,
    /// `cursor` of the next page; omitted on the last page.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_cursor: Option<String>,
}
