use workflow::Candidate;

use super::row::About;
use super::{Change, Doc};
use crate::port::StoreError;

pub(super) fn proposed(
    change: &mut Change<'_>,
    candidates: &[Candidate],
) -> Result<(), StoreError> {
    for candidate in candidates {
        let about = About { incident: candidate.incident.as_str(), ..About::default() };
        change.make(
            candidate.id.as_str(),
            candidate.source.word(),
            about,
            Doc::Candidates(candidate.clone()),
        )?;
    }
    Ok(())
}
