//! Authenticated identities of the simulated cluster.

#[cfg(feature = "http")]
use serde_json::{Value, json};

/// Members of this group bypass RBAC.
pub(crate) const MASTERS: &str = "system:masters";

/// The identity of a client: user name, uid and groups.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct User {
    pub(crate) name: String,
    pub(crate) uid: String,
    pub(crate) groups: Vec<String>,
}

impl User {
    #[cfg(feature = "http")]
    pub(crate) fn admin() -> Self {
        Self::authenticated("admin", "", &[MASTERS])
    }

    #[cfg(feature = "http")]
    pub(crate) fn anonymous() -> Self {
        let groups = vec!["system:unauthenticated".into()];
        Self { name: "system:anonymous".into(), uid: String::new(), groups }
    }

    pub(crate) fn service_account(namespace: &str, name: &str, uid: &str) -> Self {
        let name = format!("system:serviceaccount:{namespace}:{name}");
        let groups = ["system:serviceaccounts", &format!("system:serviceaccounts:{namespace}")];
        Self::authenticated(&name, uid, &groups)
    }

    fn authenticated(name: &str, uid: &str, groups: &[&str]) -> Self {
        let groups = groups.iter().copied().chain(["system:authenticated"]);
        Self { name: name.into(), uid: uid.into(), groups: groups.map(String::from).collect() }
    }

    #[cfg(feature = "http")]
    /// Returns the user that the impersonation headers name. A service account without explicit groups gets its usual groups.
    pub(crate) fn impersonated(name: &str, uid: &str, groups: &[&str]) -> Self {
        match name.strip_prefix("system:serviceaccount:").and_then(|rest| rest.split_once(':')) {
            Some((namespace, account)) if groups.is_empty() => {
                Self::service_account(namespace, account, uid)
            }
            Some(_) | None => Self::authenticated(name, uid, groups),
        }
    }

    pub(crate) fn is_in(&self, group: &str) -> bool {
        self.groups.iter().any(|known| known == group)
    }

    #[cfg(feature = "http")]
    /// Returns the user as the `userInfo` of a review.
    pub(crate) fn to_value(&self) -> Value {
        let mut value = json!({"username": self.name, "groups": self.groups});
        if !self.uid.is_empty() {
            value["uid"] = self.uid.clone().into();
        }
        value
    }
}
