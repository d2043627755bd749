use workflow::Feedback;
use workflow::feedback::Opinion;

use super::row::About;
use super::{Change, Doc, Table};
use crate::port::StoreError;

pub(super) fn given(change: &mut Change<'_>, feedback: &Feedback) -> Result<(), StoreError> {
    let incident = change
        .look(Table::Plans, feedback.plan.as_str())?
        .map(|row| row.incident.clone())
        .unwrap_or_default();
    let status = match feedback.opinion {
        Some(Opinion::Right) => "right",
        Some(Opinion::Wrong) => "wrong",
        None => "",
    };
    let about = About { incident: &incident, plan: feedback.plan.as_str(), ..About::default() };
    change.make(feedback.id.as_str(), status, about, Doc::Feedback(feedback.clone()))
}
