//! RBAC authorizer: Roles and ClusterRoles, bound to users, groups and service accounts.

use cluster::{Kind, Object};
use serde::Deserialize;
use serde_json::Value;
#[cfg(feature = "http")]
use serde_json::json;

use crate::api::{ResourceName, Selection, StatusError};
use crate::user::{MASTERS, User};
use crate::world::World;

/// The attributes of a request that the authorizer decides on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Attributes {
    /// A request for a resource.
    Resource(ResourceAttributes),
    /// A request for a non-resource path.
    #[cfg_attr(not(feature = "http"), expect(dead_code, reason = "only HTTP requests have paths"))]
    Path { verb: String, path: String },
}

/// The attributes of a resource request, as in a SubjectAccessReview.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct ResourceAttributes {
    pub(crate) verb: String,
    pub(crate) group: String,
    pub(crate) plural: String,
    pub(crate) subresource: String,
    pub(crate) namespace: Option<String>,
    pub(crate) name: String,
}

/// One rule of a Role or ClusterRole.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct PolicyRule {
    pub(crate) verbs: Vec<String>,
    pub(crate) api_groups: Vec<String>,
    pub(crate) resources: Vec<String>,
    pub(crate) resource_names: Vec<String>,
    #[serde(rename = "nonResourceURLs")]
    pub(crate) paths: Vec<String>,
}

impl PolicyRule {
    fn allows(&self, attributes: &Attributes) -> bool {
        let has =
            |list: &[String], value: &str| list.iter().any(|known| known == "*" || known == value);
        match attributes {
            Attributes::Path { verb, path } => {
                has(&self.verbs, verb) && self.paths.iter().any(|known| path_matches(known, path))
            }
            Attributes::Resource(resource) => {
                let qualified = resource.qualified();
                let wildcard = format!("*/{}", resource.subresource);
                has(&self.verbs, &resource.verb)
                    && has(&self.api_groups, &resource.group)
                    && (has(&self.resources, &qualified)
                        || !resource.subresource.is_empty() && self.resources.contains(&wildcard))
                    && (self.resource_names.is_empty()
                        || !resource.name.is_empty()
                            && self.resource_names.contains(&resource.name))
            }
        }
    }
}

/// Whether a path of a rule, which may end in `*`, matches `path`.
fn path_matches(known: &str, path: &str) -> bool {
    known.strip_suffix('*').map_or(known == path, |start| path.starts_with(start))
}

impl ResourceAttributes {
    /// `pods`, `pods/log`.
    fn qualified(&self) -> String {
        if self.subresource.is_empty() {
            self.plural.clone()
        } else {
            format!("{}/{}", self.plural, self.subresource)
        }
    }
}

/// Whether RBAC allows `user` the request with these attributes.
pub(crate) fn is_allowed(world: &World, user: &User, attributes: &Attributes) -> bool {
    if user.is_in(MASTERS) {
        return true;
    }
    let namespace = match attributes {
        Attributes::Resource(resource) => resource.namespace.as_deref(),
        Attributes::Path { .. } => None,
    };
    rules_for(world, user, namespace).iter().any(|rule| rule.allows(attributes))
}

/// Returns every rule that applies to `user`: the cluster-wide rules and the rules in `namespace`.
pub(crate) fn rules_for(world: &World, user: &User, namespace: Option<&str>) -> Vec<PolicyRule> {
    let mut rules = default_rules(user);
    let all = |kind: &str, namespace: Option<&str>| {
        let kind = Kind::new("rbac.authorization.k8s.io/v1", kind);
        world
            .list(&kind, namespace, &Selection::default(), None, None)
            .map_or_else(|_| Vec::new(), |page| page.items)
    };
    let mut bindings = all("ClusterRoleBinding", None);
    if namespace.is_some() {
        bindings.extend(all("RoleBinding", namespace));
    }
    for binding in bindings.iter().filter(|binding| has_subject(binding, user)) {
        rules.extend(role_rules(world, binding));
    }
    rules
}

/// Whether `user` or one of the user's groups is a subject of `binding`.
fn has_subject(binding: &Object, user: &User) -> bool {
    let subjects = binding.field("subjects").and_then(Value::as_array).into_iter().flatten();
    subjects.into_iter().any(|subject| {
        let name = subject["name"].as_str().unwrap_or_default();
        match subject["kind"].as_str() {
            Some("User") => user.name == name,
            Some("Group") => user.is_in(name),
            Some("ServiceAccount") => {
                let namespace =
                    subject["namespace"].as_str().or(binding.namespace()).unwrap_or_default();
                user.name == format!("system:serviceaccount:{namespace}:{name}")
            }
            Some(_) | None => false,
        }
    })
}

/// Returns the rules of the role that `binding` refers to.
fn role_rules(world: &World, binding: &Object) -> Vec<PolicyRule> {
    let text = |pointer: &str| binding.at(pointer).and_then(Value::as_str).unwrap_or_default();
    let (kind, name) = (text("/roleRef/kind"), text("/roleRef/name"));
    let namespace = binding.namespace().filter(|_| kind == "Role");
    let api = Kind::new("rbac.authorization.k8s.io/v1", kind);
    match world.get(&api, namespace, name) {
        Ok(role) => {
            let rules = role.field("rules").and_then(Value::as_array).into_iter().flatten();
            rules.filter_map(|rule| PolicyRule::deserialize(rule).ok()).collect()
        }
        Err(_) if kind == "ClusterRole" => built_in_role_rules(name),
        Err(_) => Vec::new(),
    }
}

fn rule(verbs: &[&str], groups: &[&str], resources: &[&str]) -> PolicyRule {
    let owned = |list: &[&str]| list.iter().map(|item| (*item).to_string()).collect();
    PolicyRule {
        verbs: owned(verbs),
        api_groups: owned(groups),
        resources: owned(resources),
        ..PolicyRule::default()
    }
}

fn paths(verbs: &[&str], paths: &[&str]) -> PolicyRule {
    let owned = |list: &[&str]| list.iter().map(|item| (*item).to_string()).collect();
    PolicyRule { verbs: owned(verbs), paths: owned(paths), ..PolicyRule::default() }
}

/// Returns the rules of every user: health and version; once authenticated, also discovery and self reviews.
fn default_rules(user: &User) -> Vec<PolicyRule> {
    let mut rules =
        vec![paths(&["get"], &["/healthz", "/livez", "/readyz", "/version", "/version/"])];
    if user.is_in("system:authenticated") {
        rules.push(paths(
            &["get"],
            &[
                "/api",
                "/api/*",
                "/apis",
                "/apis/*",
                "/healthz/*",
                "/livez/*",
                "/readyz/*",
                "/openapi",
                "/openapi/*",
            ],
        ));
        rules.push(rule(
            &["create"],
            &["authorization.k8s.io"],
            &["selfsubjectaccessreviews", "selfsubjectrulesreviews"],
        ));
        rules.push(rule(&["create"], &["authentication.k8s.io"], &["selfsubjectreviews"]));
    }
    rules
}

/// Returns the rules of the default ClusterRoles, which apply unless an object of the same name is stored.
fn built_in_role_rules(name: &str) -> Vec<PolicyRule> {
    const READ: &[&str] = &["get", "list", "watch"];
    const WRITE: &[&str] = &["create", "delete", "deletecollection", "patch", "update"];
    const CORE: &[&str] = &[
        "configmaps",
        "endpoints",
        "events",
        "persistentvolumeclaims",
        "pods",
        "pods/log",
        "pods/status",
        "replicationcontrollers",
        "replicationcontrollers/scale",
        "resourcequotas",
        "serviceaccounts",
        "services",
    ];
    const GROUPS: &[&str] =
        &["apps", "autoscaling", "batch", "discovery.k8s.io", "networking.k8s.io", "policy"];
    let view = || {
        vec![
            rule(READ, &[""], CORE),
            rule(READ, GROUPS, &["*"]),
            rule(READ, &[""], &["namespaces"]),
        ]
    };
    let edit = || {
        let mut rules = view();
        rules.push(rule(WRITE, &[""], CORE));
        rules.push(rule(
            WRITE,
            &["apps", "autoscaling", "batch", "networking.k8s.io", "policy"],
            &["*"],
        ));
        rules.push(rule(
            &["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"],
            &[""],
            &["secrets"],
        ));
        rules.push(rule(&["create"], &[""], &["pods/eviction", "serviceaccounts/token"]));
        rules
    };
    match name {
        "cluster-admin" => vec![rule(&["*"], &["*"], &["*"]), paths(&["*"], &["*"])],
        "admin" => {
            let mut rules = edit();
            rules.push(rule(&["*"], &["rbac.authorization.k8s.io"], &["roles", "rolebindings"]));
            rules
        }
        "edit" => edit(),
        "view" => view(),
        _ => Vec::new(),
    }
}

/// Returns the 403 error with the message of a Kubernetes API server.
pub(crate) fn forbidden(user: &User, attributes: &Attributes) -> StatusError {
    match attributes {
        Attributes::Path { verb, path } => StatusError::new(
            403,
            "Forbidden",
            format!("forbidden: User {:?} cannot {verb} path {path:?}", user.name),
        ),
        Attributes::Resource(resource) => {
            let scope = match &resource.namespace {
                Some(namespace) => format!("in the namespace {namespace:?}"),
                None => "at the cluster scope".into(),
            };
            let message = format!(
                "User {:?} cannot {} resource {:?} in API group {:?} {scope}",
                user.name,
                resource.verb,
                resource.qualified(),
                resource.group
            );
            StatusError::forbidden(
                &ResourceName::of(&resource.group, &resource.plural, &resource.name),
                &message,
            )
        }
    }
}

#[cfg(feature = "http")]
/// Returns `rules` as the status of a SelfSubjectRulesReview.
pub(crate) fn rules_status(rules: &[PolicyRule]) -> Value {
    let is_path = |rule: &&PolicyRule| !rule.paths.is_empty();
    let resource_rules: Vec<Value> = rules
        .iter()
        .filter(|rule| !is_path(rule))
        .map(|rule| {
            let mut entry = json!({"verbs": rule.verbs, "apiGroups": rule.api_groups, "resources": rule.resources});
            if !rule.resource_names.is_empty() {
                entry["resourceNames"] = json!(rule.resource_names);
            }
            entry
        })
        .collect();
    let path_rules: Vec<Value> = rules
        .iter()
        .filter(is_path)
        .map(|rule| json!({"verbs": rule.verbs, "nonResourceURLs": rule.paths}))
        .collect();
    json!({"resourceRules": resource_rules, "nonResourceRules": path_rules, "incomplete": false})
}

#[cfg(feature = "http")]
/// Returns the rules of a member of `system:masters`, who needs no binding.
pub(crate) fn admin_rules() -> Vec<PolicyRule> {
    built_in_role_rules("cluster-admin")
}
