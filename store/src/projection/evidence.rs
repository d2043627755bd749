use workflow::Evidence;

use super::row::About;
use super::{Change, Doc};
use crate::port::StoreError;

pub(super) fn gathered(change: &mut Change<'_>, evidence: &Evidence) -> Result<(), StoreError> {
    let about = About { incident: evidence.incident.as_str(), ..About::default() };
    change.make(evidence.id.as_str(), "", about, Doc::Evidence(evidence.clone()))
}
