//! The manifests of `deploy/` on a real control plane: what each role allows, and that every manifest is accepted.

use std::path::Path;

use super::{kubectl, kubectl_with};

const ACCOUNT: &str = "system:serviceaccount:chiron:chiron";

fn manifest(name: &str) -> String {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy").join(name).display().to_string()
}

/// Whether the service account may do `verb` on `resource` in any namespace.
fn can_i(verb: &str, resource: &str) -> bool {
    let arguments =
        ["auth", "can-i", verb, resource, "--as", ACCOUNT, "--all-namespaces", "--quiet"];
    kubectl_with(&arguments, "").is_ok()
}

/// Resources that a remediator could be tempted to change, beside those of the catalogue.
const OTHERS: [&str; 9] = [
    "pods",
    "secrets",
    "nodes",
    "namespaces",
    "serviceaccounts",
    "jobs.batch",
    "replicasets.apps",
    "clusterroles.rbac.authorization.k8s.io",
    "validatingwebhookconfigurations.admissionregistration.k8s.io",
];
const CHANGING_VERBS: [&str; 5] = ["create", "update", "patch", "delete", "deletecollection"];
const TARGETS: [&str; 5] =
    ["configmaps", "services", "deployments.apps", "statefulsets.apps", "daemonsets.apps"];

#[test]
#[ignore = "needs: kubernetes"]
fn deploy_roles_allow_only_reading_and_catalogue_changes() {
    kubectl(&["apply", "-f", &manifest("namespace.yaml")]);
    kubectl(&["apply", "-f", &manifest("reading-role.yaml")]);
    for resource in TARGETS.iter().chain(&OTHERS) {
        for verb in CHANGING_VERBS {
            assert!(!can_i(verb, resource), "the reading role allows {verb} {resource}");
        }
    }
    for resource in ["pods", "pods/log", "events", "deployments.apps", "secrets", "nodes"] {
        assert!(can_i("get", resource), "the reading role does not allow get {resource}");
    }

    kubectl(&["apply", "-f", &manifest("acting-role.yaml")]);
    for resource in TARGETS {
        assert!(can_i("patch", resource), "the acting role does not allow patch {resource}");
        for verb in CHANGING_VERBS.iter().filter(|verb| **verb != "patch") {
            assert!(!can_i(verb, resource), "the acting role allows {verb} {resource}");
        }
    }
    for resource in OTHERS {
        for verb in CHANGING_VERBS {
            assert!(!can_i(verb, resource), "the acting role allows {verb} {resource}");
        }
    }
    // Not only what the API server says about permissions, but what it does.
    let patch = ["-n", "chiron", "patch", "serviceaccount", "chiron", "--as", ACCOUNT];
    let refused =
        kubectl_with(&[&patch[..], &["-p", r#"{"metadata":{"labels":{"a":"b"}}}"#]].concat(), "")
            .expect_err("a service account is not Chiron's to change");
    assert!(refused.contains("Forbidden") || refused.contains("forbidden"), "{refused}");

    kubectl(&["apply", "-f", &manifest("deployment.yaml")]);
    for name in ["deployment.yaml", "reading-role.yaml", "acting-role.yaml", "namespace.yaml"] {
        kubectl(&["delete", "--ignore-not-found", "--wait=false", "-f", &manifest(name)]);
    }
}
