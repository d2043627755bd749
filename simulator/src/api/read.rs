//! Reads for the HTTP server. Unlike the ports, they do not redact Secrets.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD as BASE64;
use cluster::{Kind, Object, WatchEvent};
use serde::{Deserialize, Serialize};

use super::selection::Selection;
use super::status_error::{ResourceName, StatusError};
use crate::objects::Key;
use crate::world::World;

/// One page of a list.
#[derive(Clone, Debug, PartialEq)]
pub struct ListResult {
    /// The objects, ordered by namespace and name.
    pub items: Vec<Object>,
    /// The resource version of the list. All pages of a list have the same version.
    pub version: u64,
    /// The token of the next page. `None` on the last page.
    pub continue_token: Option<String>,
    /// The number of objects on later pages. `None` on the last page.
    pub remaining: Option<usize>,
}

/// The content of a continue token: the list version and the last object of the previous page.
#[derive(Serialize, Deserialize)]
struct PageCursor {
    v: u64,
    ns: String,
    name: String,
}

impl World {
    /// Returns the resource version of the most recent change.
    pub fn version(&self) -> u64 {
        self.objects.version()
    }

    /// Returns one object.
    ///
    /// # Errors
    /// Returns 404 if the object or its kind does not exist.
    pub fn get(
        &self,
        kind: &Kind,
        namespace: Option<&str>,
        name: &str,
    ) -> Result<Object, StatusError> {
        let resource = self.resource(kind).ok_or_else(StatusError::unknown_resource)?;
        let key = Key::new(resource.storage_kind, namespace.unwrap_or_default(), name);
        let found = self.objects.get(&key);
        found
            .cloned()
            .ok_or_else(|| StatusError::not_found(&ResourceName::new(Some(&resource), kind, name)))
    }

    /// Lists one page of the objects of a kind, in one namespace or in all namespaces.
    ///
    /// # Errors
    /// Returns 404 for an unknown kind, 400 for an invalid token, and 410 if the version of the list is compacted.
    pub fn list(
        &self,
        kind: &Kind,
        namespace: Option<&str>,
        selection: &Selection,
        limit: Option<usize>,
        continue_token: Option<&str>,
    ) -> Result<ListResult, StatusError> {
        let resource = self.resource(kind).ok_or_else(StatusError::unknown_resource)?;
        let cursor: Option<PageCursor> = match continue_token {
            None => None,
            Some(token) => Some(parse_token(token)?),
        };
        let version = cursor.as_ref().map_or(self.objects.version(), |cursor| cursor.v);
        let objects = self.objects.of_kind_at(resource.storage_kind, namespace, version).ok_or_else(|| {
            StatusError::expired("The provided continue parameter is too old to display a consistent list result. You can start a new list without the continue parameter, or use the continue token in this response to retrieve the remainder of the results. Continuing with the provided token results in an inconsistent list - objects that were created, modified, or deleted between the time the first chunk was returned and now may show up in the list.")
        })?;
        let is_after = |object: &Object| {
            cursor.as_ref().is_none_or(|cursor| {
                (object.namespace().unwrap_or_default(), object.name())
                    > (&*cursor.ns, &*cursor.name)
            })
        };
        let mut rest =
            objects.into_iter().filter(|object| is_after(object) && selection.matches(object));
        let limit = limit.filter(|limit| *limit > 0).unwrap_or(usize::MAX);
        let items: Vec<Object> = rest.by_ref().take(limit).collect();
        let remaining = rest.count();
        let last = items.last().filter(|_| remaining > 0);
        let continue_token = last.map(|last| {
            let cursor = PageCursor {
                v: version,
                ns: last.namespace().unwrap_or_default().into(),
                name: last.name().into(),
            };
            BASE64.encode(serde_json::to_string(&cursor).expect("a cursor serializes"))
        });
        Ok(ListResult {
            items,
            version,
            continue_token,
            remaining: (remaining > 0).then_some(remaining),
        })
    }

    /// Returns the changes after `version` to the selected objects of a kind, in order.
    ///
    /// # Errors
    /// Returns 404 for an unknown kind and 410 if `version` is compacted.
    pub fn changes_since(
        &self,
        kind: &Kind,
        namespace: Option<&str>,
        selection: &Selection,
        version: u64,
    ) -> Result<Vec<WatchEvent>, StatusError> {
        let resource = self.resource(kind).ok_or_else(StatusError::unknown_resource)?;
        self.objects
            .changes_of(resource.storage_kind, namespace, version, |object| {
                selection.matches(object)
            })
            .ok_or_else(|| {
                StatusError::expired(format!(
                    "too old resource version: {version} ({})",
                    self.objects.compacted()
                ))
            })
    }
}

fn parse_token(token: &str) -> Result<PageCursor, StatusError> {
    let invalid = || StatusError::bad_request("continue key is not valid");
    let bytes = BASE64.decode(token).map_err(|_| invalid())?;
    serde_json::from_slice(&bytes).map_err(|_| invalid())
}
