//! Reads, as the HTTP door makes them: with the values of Secrets, and with managed fields.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD as BASE64;
use cluster::{Kind, Object, WatchEvent};
use serde::{Deserialize, Serialize};

use super::refusal::{Named, Refusal};
use super::selection::Selection;
use crate::objects::Key;
use crate::world::World;

/// One page of a list.
#[derive(Clone, Debug, PartialEq)]
pub struct Listed {
    /// The objects, in order of namespace and name.
    pub items: Vec<Object>,
    /// The version of the whole list.
    pub version: u64,
    /// Present while more follows.
    pub continue_token: Option<String>,
    /// How many follow; absent where nobody counted.
    pub remaining: Option<usize>,
}

/// Where a list goes on, as its token says.
#[derive(Serialize, Deserialize)]
struct Place {
    v: u64,
    ns: String,
    name: String,
}

impl World {
    /// The version of the latest change.
    pub fn version(&self) -> u64 {
        self.objects.version()
    }

    /// Reads one object.
    ///
    /// # Errors
    /// 404 where there is none, or no such kind.
    pub fn find(
        &self,
        kind: &Kind,
        namespace: Option<&str>,
        name: &str,
    ) -> Result<Object, Refusal> {
        let resource = self.resource(kind).ok_or_else(Refusal::unknown_resource)?;
        let key = Key::new(resource.shelf, namespace.unwrap_or_default(), name);
        let found = self.objects.get(&key);
        found.cloned().ok_or_else(|| Refusal::absent(&Named::new(Some(&resource), kind, name)))
    }

    /// Lists one page of the objects of a kind, in one namespace or in all.
    ///
    /// # Errors
    /// 404 for an unknown kind, 400 for a token that is none, 410 where the list that it continues is forgotten.
    pub fn collect(
        &self,
        kind: &Kind,
        namespace: Option<&str>,
        selection: &Selection,
        limit: Option<usize>,
        continue_token: Option<&str>,
    ) -> Result<Listed, Refusal> {
        let resource = self.resource(kind).ok_or_else(Refusal::unknown_resource)?;
        let place: Option<Place> = match continue_token {
            None => None,
            Some(token) => Some(read_token(token)?),
        };
        let version = place.as_ref().map_or(self.objects.version(), |place| place.v);
        let objects = self.objects.of_kind_at(resource.shelf, namespace, version).ok_or_else(|| {
            Refusal::expired("The provided continue parameter is too old to display a consistent list result. You can start a new list without the continue parameter, or use the continue token in this response to retrieve the remainder of the results. Continuing with the provided token results in an inconsistent list - objects that were created, modified, or deleted between the time the first chunk was returned and now may show up in the list.")
        })?;
        let is_after = |object: &Object| {
            place.as_ref().is_none_or(|place| {
                (object.namespace().unwrap_or_default(), object.name()) > (&*place.ns, &*place.name)
            })
        };
        let mut rest =
            objects.into_iter().filter(|object| is_after(object) && selection.matches(object));
        let limit = limit.filter(|limit| *limit > 0).unwrap_or(usize::MAX);
        let items: Vec<Object> = rest.by_ref().take(limit).collect();
        let remaining = rest.count();
        let last = items.last().filter(|_| remaining > 0);
        let continue_token = last.map(|last| {
            let place = Place {
                v: version,
                ns: last.namespace().unwrap_or_default().into(),
                name: last.name().into(),
            };
            BASE64.encode(serde_json::to_string(&place).expect("it is plain data"))
        });
        Ok(Listed {
            items,
            version,
            continue_token,
            remaining: (remaining > 0).then_some(remaining),
        })
    }

    /// Changes of the wanted objects of a kind after `version`, in order.
    ///
    /// # Errors
    /// 404 for an unknown kind, 410 where that version is compacted.
    pub fn changes_since(
        &self,
        kind: &Kind,
        namespace: Option<&str>,
        selection: &Selection,
        version: u64,
    ) -> Result<Vec<WatchEvent>, Refusal> {
        let resource = self.resource(kind).ok_or_else(Refusal::unknown_resource)?;
        self.objects
            .changes_of(resource.shelf, namespace, version, |object| selection.matches(object))
            .ok_or_else(|| {
                Refusal::expired(format!(
                    "too old resource version: {version} ({})",
                    self.objects.compacted()
                ))
            })
    }
}

fn read_token(token: &str) -> Result<Place, Refusal> {
    let bad = || Refusal::bad_request("continue key is not valid");
    let bytes = BASE64.decode(token).map_err(|_| bad())?;
    serde_json::from_slice(&bytes).map_err(|_| bad())
}
