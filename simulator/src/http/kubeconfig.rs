//! The kubeconfig for clients of the server.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD as BASE64;

/// The prefix of every kubeconfig that Chiron writes. A file without it belongs to the user and is not overwritten.
pub const KUBECONFIG_MARK: &str = "# Written by chiron";

/// Returns the text of a kubeconfig with one context, called `name`.
pub(super) fn text(name: &str, server: &str, certificate: &str, token: &str) -> String {
    let authority = BASE64.encode(certificate);
    format!(
        "{KUBECONFIG_MARK}; overwritten each time the cluster is served.\napiVersion: v1\nkind: Config\nclusters:\n- name: {name}\n  cluster:\n    server: {server}\n    certificate-authority-data: {authority}\nusers:\n- name: {name}\n  user:\n    token: {token}\ncontexts:\n- name: {name}\n  context:\n    cluster: {name}\n    user: {name}\ncurrent-context: {name}\n"
    )
}
