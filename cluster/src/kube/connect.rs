use std::path::{Path, PathBuf};
use std::time::Duration;

use kube::config::{Config, InClusterError, KubeConfigOptions, Kubeconfig, KubeconfigError};
use kube::{Client, Error as KubeError};
use serde_json::{Value, json};

use super::KubeCluster;
use super::discovery::{ApiResource, Discovery};
use super::http_client::{CallOutcome, HttpClient, HttpRequest, HttpResponse, KubeLimits};
use super::path::RequestPath;
use super::response::Status;
use super::token::TokenFile;
use crate::{ReadFailure, SecretKey};

/// The source of the address of a cluster and of the credentials.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KubeSource {
    /// A kubeconfig file.
    File {
        /// Path of the file.
        path: PathBuf,
        /// Name of a context. Default: the current context of the file.
        context: Option<String>,
    },
    /// The service account of the pod in which this process runs.
    ServiceAccount,
}

/// The error for a cluster that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// The kubeconfig cannot be read or is invalid.
    #[error("cannot use the kubeconfig {}", path.display())]
    Kubeconfig {
        /// Path of the file.
        path: PathBuf,
        /// Cause.
        #[source]
        source: KubeconfigError,
    },
    /// The kubeconfig does not contain the context.
    #[error("the kubeconfig {} has no context {context:?}; available contexts: {}", path.display(), available.join(", "))]
    ContextNotFound {
        /// Path of the file.
        path: PathBuf,
        /// Name of the missing context.
        context: String,
        /// Names of the existing contexts.
        available: Vec<String>,
    },
    /// This process does not run in a pod, or its service account is not mounted.
    #[error("no service account is available")]
    NoServiceAccount(#[source] InClusterError),
    /// Certificates, keys or a credential plugin cannot be used.
    #[error("cannot use the credentials for {server}")]
    Credentials {
        /// URL of the API server.
        server: String,
        /// Cause.
        #[source]
        source: KubeError,
    },
    /// The API server does not respond, or not within the timeout.
    #[error("the API server {server} cannot be reached: {message}")]
    Unreachable {
        /// URL of the API server.
        server: String,
        /// Description of the failure.
        message: String,
    },
    /// The configuration does not trust the certificate of the server.
    #[error("the certificate of the API server {server} is not trusted: {message}")]
    Untrusted {
        /// URL of the API server.
        server: String,
        /// Description of the failure.
        message: String,
    },
    /// The API server rejects the credentials: the token or client certificate is expired, revoked or of another cluster.
    #[error("the API server {server} rejects the credentials: {message}")]
    Unauthenticated {
        /// URL of the API server.
        server: String,
        /// The API server's message.
        message: String,
    },
    /// The API server accepts the credentials, but the user does not have permission to list pods.
    #[error("{user} is not allowed to list pods on {server}")]
    Forbidden {
        /// URL of the API server.
        server: String,
        /// Name of the authenticated user.
        user: String,
    },
    /// The server is not a Kubernetes API server.
    #[error("the server at {server} is not a Kubernetes API server: {message}")]
    NotKubernetes {
        /// URL of the server.
        server: String,
        /// Description of the response.
        message: String,
    },
}

impl ConnectError {
    /// Returns whether a retry may succeed.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Unreachable { .. } => true,
            Self::Kubeconfig { .. }
            | Self::ContextNotFound { .. }
            | Self::NoServiceAccount(_)
            | Self::Credentials { .. }
            | Self::Untrusted { .. }
            | Self::Unauthenticated { .. }
            | Self::Forbidden { .. }
            | Self::NotKubernetes { .. } => false,
        }
    }

    /// Returns a hint how to fix the error.
    pub fn hint(&self) -> String {
        match self {
            Self::Kubeconfig { path, .. } => format!(
                "check the file with `kubectl --kubeconfig {} config view`",
                path.display()
            ),
            Self::ContextNotFound { .. } => "use one of these contexts, or omit the context to use the current one".into(),
            Self::NoServiceAccount(_) => {
                "give a kubeconfig, or run in a pod with `automountServiceAccountToken: true`".into()
            }
            Self::Credentials { .. } => {
                "check the user of the context: its certificate, key, token or credential plugin".into()
            }
            Self::Unreachable { .. } => {
                "check that the server is running and reachable from this machine, for example with `kubectl cluster-info`".into()
            }
            Self::Untrusted { .. } => {
                "check `certificate-authority-data` and the host name in `server`; a recreated cluster has another certificate authority".into()
            }
            Self::Unauthenticated { .. } => {
                "renew the token or client certificate of the user in the kubeconfig context".into()
            }
            Self::Forbidden { user, .. } => format!(
                "bind a role to {user}, for example `kubectl create clusterrolebinding chiron --clusterrole=view --user={user}`"
            ),
            Self::NotKubernetes { .. } => "check `server` of the cluster in the kubeconfig context".into(),
        }
    }
}

/// Maximum time to connect. At most half of the request timeout is used, so that time for the request remains.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

impl KubeCluster {
    /// Returns the names of the contexts in a kubeconfig, the current context first.
    ///
    /// # Errors
    /// [`ConnectError::Kubeconfig`].
    pub fn contexts(path: &Path) -> Result<Vec<String>, ConnectError> {
        let file = read(path)?;
        let mut names: Vec<String> = file.contexts.into_iter().map(|entry| entry.name).collect();
        names.sort_by_key(|name| Some(name) != file.current_context.as_ref());
        Ok(names)
    }

    /// Opens a cluster without sending a request. `name` is the cluster name in all references to its objects.
    ///
    /// # Errors
    /// [`ConnectError`] if the configuration or the credentials are invalid.
    pub async fn open(
        name: impl Into<String>,
        source: &KubeSource,
        secrets: SecretKey,
        limits: KubeLimits,
    ) -> Result<Self, ConnectError> {
        let config = configure(source).await?;
        let namespace = config.default_namespace.clone();
        let client = http_client(config, limits)?;
        let discovery = Discovery::default();
        Ok(Self { name: name.into(), namespace, client, discovery, secrets })
    }

    /// Opens a cluster as [`KubeCluster::open`], and checks connection, authentication and read permissions.
    ///
    /// # Errors
    /// [`ConnectError`] if the configuration is invalid or a check fails; [`ConnectError::hint`] describes a fix.
    pub async fn connect(
        name: impl Into<String>,
        source: &KubeSource,
        secrets: SecretKey,
        limits: KubeLimits,
    ) -> Result<Self, ConnectError> {
        let cluster = Self::open(name, source, secrets, limits).await?;
        cluster.server_version().await?;
        cluster.client.check_permissions(&cluster.namespace).await?;
        Ok(cluster)
    }

    /// Returns the version of the API server: `v1.36.3`.
    ///
    /// # Errors
    /// [`ConnectError`] if the server does not report a version.
    pub async fn server_version(&self) -> Result<String, ConnectError> {
        self.client.version().await
    }
}

fn read(path: &Path) -> Result<Kubeconfig, ConnectError> {
    Kubeconfig::read_from(path)
        .map_err(|source| ConnectError::Kubeconfig { path: path.into(), source })
}

async fn configure(source: &KubeSource) -> Result<Config, ConnectError> {
    let KubeSource::File { path, context } = source else {
        return Config::incluster().map_err(ConnectError::NoServiceAccount);
    };
    let file = read(path)?;
    let available: Vec<String> = file.contexts.iter().map(|entry| entry.name.clone()).collect();
    if let Some(context) = context.as_ref().or(file.current_context.as_ref())
        && !available.contains(context)
    {
        return Err(ConnectError::ContextNotFound {
            path: path.clone(),
            context: context.clone(),
            available,
        });
    }
    let options = KubeConfigOptions { context: context.clone(), ..KubeConfigOptions::default() };
    // Proxy variables of the environment are meant for other traffic; only a proxy in the kubeconfig is used.
    let has_proxy = file.clusters.iter().filter_map(|entry| entry.cluster.as_ref());
    let has_proxy = has_proxy.into_iter().any(|cluster| cluster.proxy_url.is_some());
    let mut config = Config::from_custom_kubeconfig(file, &options)
        .await
        .map_err(|source| ConnectError::Kubeconfig { path: path.clone(), source })?;
    if !has_proxy {
        config.proxy_url = None;
    }
    Ok(config)
}

fn http_client(mut config: Config, limits: KubeLimits) -> Result<HttpClient, ConnectError> {
    let server = config.cluster_url.to_string().trim_end_matches('/').to_string();
    // A change has to be sent once, because its outcome is unknown without a response. By default `kube` retries a
    // request up to 15 times.
    config.default_retry = false;
    config.connect_timeout = Some(CONNECT_TIMEOUT.min(limits.request_timeout / 2));
    config.read_timeout = None;
    config.write_timeout = None;
    let is_inline = config.auth_info.token.is_some();
    let token = config.auth_info.token_file.take().filter(|_| !is_inline).map(TokenFile::new);
    let client = Client::try_from(config)
        .map_err(|source| ConnectError::Credentials { server: server.clone(), source })?;
    Ok(HttpClient { client, token, limits, server })
}

impl HttpClient {
    async fn version(&self) -> Result<String, ConnectError> {
        let response = self.send_checked(HttpRequest::get(RequestPath::new("/version"))).await?;
        let version: Value = serde_json::from_slice(&response.body).unwrap_or_default();
        match version.get("gitVersion").and_then(Value::as_str) {
            Some(version) => Ok(version.to_string()),
            None => Err(ConnectError::NotKubernetes {
                server: self.server.clone(),
                message: "the response of `/version` has no `gitVersion`".into(),
            }),
        }
    }

    /// Checks that the user can list pods in all namespaces or in `namespace`; without that, no remediation is possible.
    async fn check_permissions(&self, namespace: &str) -> Result<(), ConnectError> {
        let pods = ApiResource {
            group: String::new(),
            version: "v1".into(),
            plural: "pods".into(),
            is_namespaced: true,
        };
        for namespace in [None, Some(namespace)] {
            match self.can_i("list", &pods, namespace).await {
                Ok(true) => return Ok(()),
                Ok(false) | Err(ReadFailure::Refused { code: 403, .. }) => {}
                Err(ReadFailure::Refused { code: 401, message, .. }) => {
                    return Err(ConnectError::Unauthenticated {
                        server: self.server.clone(),
                        message,
                    });
                }
                Err(ReadFailure::Refused { message, .. }) => {
                    return Err(ConnectError::NotKubernetes {
                        server: self.server.clone(),
                        message,
                    });
                }
                Err(failure @ (ReadFailure::Unavailable { .. } | ReadFailure::Gone)) => {
                    return Err(ConnectError::Unreachable {
                        server: self.server.clone(),
                        message: failure.to_string(),
                    });
                }
            }
        }
        Err(ConnectError::Forbidden { server: self.server.clone(), user: self.user().await })
    }

    /// Returns the name of the authenticated user.
    async fn user(&self) -> String {
        let review = json!({"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"});
        let path = RequestPath::new("/apis/authentication.k8s.io/v1/selfsubjectreviews");
        let user = match self.send(HttpRequest::post(path, &review)).await {
            CallOutcome::Response(response) => serde_json::from_slice::<Value>(&response.body).ok(),
            CallOutcome::Unsent(_) | CallOutcome::Lost(_) | CallOutcome::TooLarge(_) => None,
        };
        let name = user.as_ref().and_then(|user| user.pointer("/status/userInfo/username"));
        name.and_then(Value::as_str).unwrap_or("system:anonymous").to_string()
    }

    async fn send_checked(&self, request: HttpRequest) -> Result<HttpResponse, ConnectError> {
        let server = self.server.clone();
        match self.send(request).await {
            CallOutcome::Response(response) if response.status.is_success() => Ok(response),
            CallOutcome::Response(response) => {
                let status = Status::of(&response);
                let message = format!("{} {}", status.code, status.message);
                Err(match status.code {
                    401 => ConnectError::Unauthenticated { server, message: status.message },
                    403 => ConnectError::Forbidden { server, user: self.user().await },
                    429 | 500.. => ConnectError::Unreachable { server, message },
                    _ => ConnectError::NotKubernetes { server, message },
                })
            }
            CallOutcome::Unsent(message) | CallOutcome::Lost(message)
                if message.contains("certificate") =>
            {
                Err(ConnectError::Untrusted { server, message })
            }
            CallOutcome::Unsent(message) | CallOutcome::Lost(message) => {
                Err(ConnectError::Unreachable { server, message })
            }
            CallOutcome::TooLarge(_) => Err(ConnectError::NotKubernetes {
                server,
                message: "the response exceeds the size limit".into(),
            }),
        }
    }
}
