//! Provisional: replaced whole by the guarded CEL that is on its way.
#![allow(missing_docs, reason = "provisional")]
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub type Bindings = std::collections::BTreeMap<String, serde_json::Value>;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[schemars(with = "String")]
#[serde(transparent)]
pub struct Expression(String);

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", tag = "verdict")]
pub enum Verdict {
    True,
    False,
    Unknown { reason: String },
}
