//! Who may do what: Roles and ClusterRoles, bound to users, groups and service accounts.

use cluster::{Kind, Object};
use serde::Deserialize;
use serde_json::Value;
#[cfg(feature = "http")]
use serde_json::json;

use crate::api::{Named, Refusal, Selection};
use crate::user::{MASTERS, User};
use crate::world::World;

/// What somebody wants to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Deed {
    /// Something with a resource.
    Resource(Wanted),
    /// Something with a path that is no resource.
    #[cfg_attr(not(feature = "http"), expect(dead_code, reason = "only HTTP has paths"))]
    Path { verb: String, path: String },
}

/// A verb on a resource.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Wanted {
    pub(crate) verb: String,
    pub(crate) group: String,
    pub(crate) plural: String,
    pub(crate) subresource: String,
    pub(crate) namespace: Option<String>,
    pub(crate) name: String,
}

/// One rule of a role, as on the wire.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Rule {
    pub(crate) verbs: Vec<String>,
    pub(crate) api_groups: Vec<String>,
    pub(crate) resources: Vec<String>,
    pub(crate) resource_names: Vec<String>,
    #[serde(rename = "nonResourceURLs")]
    pub(crate) paths: Vec<String>,
}

impl Rule {
    fn allows(&self, deed: &Deed) -> bool {
        let has =
            |list: &[String], word: &str| list.iter().any(|known| known == "*" || known == word);
        match deed {
            Deed::Path { verb, path } => {
                has(&self.verbs, verb) && self.paths.iter().any(|known| covers(known, path))
            }
            Deed::Resource(wanted) => {
                let resource = wanted.resource();
                let any_of = format!("*/{}", wanted.subresource);
                has(&self.verbs, &wanted.verb)
                    && has(&self.api_groups, &wanted.group)
                    && (has(&self.resources, &resource)
                        || !wanted.subresource.is_empty() && self.resources.contains(&any_of))
                    && (self.resource_names.is_empty()
                        || !wanted.name.is_empty() && self.resource_names.contains(&wanted.name))
            }
        }
    }
}

/// Whether a path of a rule, which may end in `*`, covers `path`.
fn covers(known: &str, path: &str) -> bool {
    known.strip_suffix('*').map_or(known == path, |start| path.starts_with(start))
}

impl Wanted {
    /// `pods`, `pods/log`.
    fn resource(&self) -> String {
        if self.subresource.is_empty() {
            self.plural.clone()
        } else {
            format!("{}/{}", self.plural, self.subresource)
        }
    }
}

/// Whether `user` may do `deed`.
pub(crate) fn may(world: &World, user: &User, deed: &Deed) -> bool {
    if user.is_in(MASTERS) {
        return true;
    }
    let namespace = match deed {
        Deed::Resource(wanted) => wanted.namespace.as_deref(),
        Deed::Path { .. } => None,
    };
    rules(world, user, namespace).iter().any(|rule| rule.allows(deed))
}

/// Every rule that holds for `user`: those of the whole cluster, and those of `namespace`.
pub(crate) fn rules(world: &World, user: &User, namespace: Option<&str>) -> Vec<Rule> {
    let mut rules = everyone(user);
    let all = |kind: &str, namespace: Option<&str>| {
        let kind = Kind::new("rbac.authorization.k8s.io/v1", kind);
        world
            .collect(&kind, namespace, &Selection::default(), None, None)
            .map_or_else(|_| Vec::new(), |listed| listed.items)
    };
    let mut bindings = all("ClusterRoleBinding", None);
    if namespace.is_some() {
        bindings.extend(all("RoleBinding", namespace));
    }
    for binding in bindings.iter().filter(|binding| binds(binding, user)) {
        rules.extend(role(world, binding));
    }
    rules
}

/// Whether `binding` names `user` or one of their groups.
fn binds(binding: &Object, user: &User) -> bool {
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

/// The rules of the role that `binding` refers to.
fn role(world: &World, binding: &Object) -> Vec<Rule> {
    let text = |pointer: &str| binding.at(pointer).and_then(Value::as_str).unwrap_or_default();
    let (kind, name) = (text("/roleRef/kind"), text("/roleRef/name"));
    let namespace = binding.namespace().filter(|_| kind == "Role");
    let api = Kind::new("rbac.authorization.k8s.io/v1", kind);
    match world.find(&api, namespace, name) {
        Ok(role) => {
            let rules = role.field("rules").and_then(Value::as_array).into_iter().flatten();
            rules.filter_map(|rule| Rule::deserialize(rule).ok()).collect()
        }
        Err(_) if kind == "ClusterRole" => built_in(name),
        Err(_) => Vec::new(),
    }
}

fn rule(verbs: &[&str], groups: &[&str], resources: &[&str]) -> Rule {
    let own = |words: &[&str]| words.iter().map(|word| (*word).to_string()).collect();
    Rule {
        verbs: own(verbs),
        api_groups: own(groups),
        resources: own(resources),
        ..Rule::default()
    }
}

fn paths(verbs: &[&str], paths: &[&str]) -> Rule {
    let own = |words: &[&str]| words.iter().map(|word| (*word).to_string()).collect();
    Rule { verbs: own(verbs), paths: own(paths), ..Rule::default() }
}

/// What everybody may do: ask for health and version and, once known, look around and ask what they may.
fn everyone(user: &User) -> Vec<Rule> {
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

/// Roles that every cluster has, where nobody stored others under their names.
fn built_in(name: &str) -> Vec<Rule> {
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

/// 403 in the words of Kubernetes.
pub(crate) fn forbidden(user: &User, deed: &Deed) -> Refusal {
    match deed {
        Deed::Path { verb, path } => Refusal::new(
            403,
            "Forbidden",
            format!("forbidden: User {:?} cannot {verb} path {path:?}", user.name),
        ),
        Deed::Resource(wanted) => {
            let place = match &wanted.namespace {
                Some(namespace) => format!("in the namespace {namespace:?}"),
                None => "at the cluster scope".into(),
            };
            let why = format!(
                "User {:?} cannot {} resource {:?} in API group {:?} {place}",
                user.name,
                wanted.verb,
                wanted.resource(),
                wanted.group
            );
            Refusal::forbidden(&Named::of(&wanted.group, &wanted.plural, &wanted.name), &why)
        }
    }
}

#[cfg(feature = "http")]
/// Rules as a SelfSubjectRulesReview tells them.
pub(crate) fn told(rules: &[Rule]) -> Value {
    let is_path = |rule: &&Rule| !rule.paths.is_empty();
    let resource_rules: Vec<Value> = rules
        .iter()
        .filter(|rule| !is_path(rule))
        .map(|rule| {
            let mut told = json!({"verbs": rule.verbs, "apiGroups": rule.api_groups, "resources": rule.resources});
            if !rule.resource_names.is_empty() {
                told["resourceNames"] = json!(rule.resource_names);
            }
            told
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
/// The rules of an administrator, who needs no binding.
pub(crate) fn of_masters() -> Vec<Rule> {
    built_in("cluster-admin")
}
