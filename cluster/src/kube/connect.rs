use std::path::{Path as FilePath, PathBuf};
use std::time::Duration;

use kube::config::{Config, InClusterError, KubeConfigOptions, Kubeconfig, KubeconfigError};
use kube::{Client, Error as KubeError};
use serde_json::{Value, json};

use super::KubeCluster;
use super::answer::Status;
use super::discovery::{Discovery, Resource};
use super::path::Path;
use super::token::TokenFile;
use super::wire::{Answer, Call, Heard, KubeLimits, Wire};
use crate::{ReadFailure, SecretKey};

/// Where a cluster's address and our credentials stand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KubeSource {
    /// A kubeconfig.
    File {
        /// The file.
        path: PathBuf,
        /// One of its contexts; absent for the file's current one.
        context: Option<String>,
    },
    /// The service account of the pod in which we run.
    ServiceAccount,
}

/// Why a cluster cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// The kubeconfig cannot be read or makes no sense.
    #[error("cannot use the kubeconfig {}", path.display())]
    Kubeconfig {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        #[source]
        source: KubeconfigError,
    },
    /// The kubeconfig has no such context.
    #[error("the kubeconfig {} has no context {context:?}: it has {}", path.display(), known.join(", "))]
    NoContext {
        /// The file.
        path: PathBuf,
        /// The context asked for.
        context: String,
        /// Those it has.
        known: Vec<String>,
    },
    /// We run in no pod, or its service account is not mounted.
    #[error("there is no service account to use")]
    NoServiceAccount(#[source] InClusterError),
    /// Certificates, keys or a credential plugin cannot be used.
    #[error("cannot use the credentials for {server}")]
    Credentials {
        /// The API server.
        server: String,
        /// What is wrong with them.
        #[source]
        source: KubeError,
    },
    /// Nobody answers at the address, or not in time.
    #[error("the API server {server} cannot be reached: {message}")]
    Unreachable {
        /// The API server.
        server: String,
        /// What was seen.
        message: String,
    },
    /// The server's certificate is not one that the configuration trusts.
    #[error("the API server {server} shows a certificate that is not trusted: {message}")]
    Untrusted {
        /// The API server.
        server: String,
        /// What is wrong with it.
        message: String,
    },
    /// The server does not know us: the token or the client certificate is expired, revoked or of another cluster.
    #[error("the API server {server} does not accept our credentials: {message}")]
    Unauthenticated {
        /// The API server.
        server: String,
        /// Its words.
        message: String,
    },
    /// The server knows us, and we may do nothing.
    #[error("{user} may not even list pods on {server}")]
    NoRights {
        /// The API server.
        server: String,
        /// Who we are to it.
        user: String,
    },
    /// What answers at the address is no Kubernetes API.
    #[error("what answers at {server} is no Kubernetes API: {message}")]
    NotKubernetes {
        /// The address.
        server: String,
        /// What it answered.
        message: String,
    },
}

impl ConnectError {
    /// Whether trying again may help.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Unreachable { .. } => true,
            Self::Kubeconfig { .. }
            | Self::NoContext { .. }
            | Self::NoServiceAccount(_)
            | Self::Credentials { .. }
            | Self::Untrusted { .. }
            | Self::Unauthenticated { .. }
            | Self::NoRights { .. }
            | Self::NotKubernetes { .. } => false,
        }
    }

    /// The way out.
    pub fn hint(&self) -> String {
        match self {
            Self::Kubeconfig { path, .. } => format!(
                "`kubectl --kubeconfig {} config view` shows how it is read",
                path.display()
            ),
            Self::NoContext { .. } => "name one of these contexts, or leave it out for the current one".into(),
            Self::NoServiceAccount(_) => {
                "give a kubeconfig, or run in a pod with `automountServiceAccountToken: true`".into()
            }
            Self::Credentials { .. } => {
                "check the user of the context: its certificate, key, token or credential plugin".into()
            }
            Self::Unreachable { .. } => {
                "is the server running, and can this machine reach it? `kubectl cluster-info` asks the same".into()
            }
            Self::Untrusted { .. } => {
                "check `certificate-authority-data` and the name in `server`; a cluster that was made again has another authority".into()
            }
            Self::Unauthenticated { .. } => {
                "renew the token or the client certificate of the context's user".into()
            }
            Self::NoRights { user, .. } => format!(
                "bind a role to {user}, for example `kubectl create clusterrolebinding chiron --clusterrole=view --user={user}`"
            ),
            Self::NotKubernetes { .. } => "check `server` of the context's cluster".into(),
        }
    }
}

/// How long a connection may take; more than half a deadline would leave no time for the request.
const CONNECT: Duration = Duration::from_secs(5);

impl KubeCluster {
    /// The names of the contexts in a kubeconfig, its current one first.
    ///
    /// # Errors
    /// [`ConnectError::Kubeconfig`].
    pub fn contexts(path: &FilePath) -> Result<Vec<String>, ConnectError> {
        let file = read(path)?;
        let mut names: Vec<String> = file.contexts.into_iter().map(|named| named.name).collect();
        names.sort_by_key(|name| Some(name) != file.current_context.as_ref());
        Ok(names)
    }

    /// Takes a cluster as `source` says it can be reached, as `name` in every reference to its objects, and asks it
    /// nothing yet.
    ///
    /// # Errors
    /// [`ConnectError`], of configuration and credentials.
    pub async fn open(
        name: impl Into<String>,
        source: &KubeSource,
        secrets: SecretKey,
        limits: KubeLimits,
    ) -> Result<Self, ConnectError> {
        let config = configure(source).await?;
        let namespace = config.default_namespace.clone();
        let wire = wire(config, limits)?;
        let discovery = Discovery::default();
        Ok(Self { name: name.into(), namespace, wire, discovery, secrets })
    }

    /// As [`KubeCluster::open`], and makes sure that the cluster answers, knows us and lets us read.
    ///
    /// # Errors
    /// [`ConnectError`], which says what is wrong and, in [`ConnectError::hint`], the way out.
    pub async fn connect(
        name: impl Into<String>,
        source: &KubeSource,
        secrets: SecretKey,
        limits: KubeLimits,
    ) -> Result<Self, ConnectError> {
        let cluster = Self::open(name, source, secrets, limits).await?;
        cluster.server_version().await?;
        cluster.wire.expect_rights(&cluster.namespace).await?;
        Ok(cluster)
    }

    /// The version that the API server says it is: `v1.36.3`.
    ///
    /// # Errors
    /// [`ConnectError`], where it does not answer so.
    pub async fn server_version(&self) -> Result<String, ConnectError> {
        self.wire.version().await
    }
}

fn read(path: &FilePath) -> Result<Kubeconfig, ConnectError> {
    Kubeconfig::read_from(path)
        .map_err(|source| ConnectError::Kubeconfig { path: path.into(), source })
}

async fn configure(source: &KubeSource) -> Result<Config, ConnectError> {
    let KubeSource::File { path, context } = source else {
        return Config::incluster().map_err(ConnectError::NoServiceAccount);
    };
    let file = read(path)?;
    let known: Vec<String> = file.contexts.iter().map(|named| named.name.clone()).collect();
    if let Some(context) = context.as_ref().or(file.current_context.as_ref())
        && !known.contains(context)
    {
        return Err(ConnectError::NoContext {
            path: path.clone(),
            context: context.clone(),
            known,
        });
    }
    let options = KubeConfigOptions { context: context.clone(), ..KubeConfigOptions::default() };
    // Only a proxy that the file names is used: the environment's is for other traffic than a cluster's own.
    let has_proxy = file.clusters.iter().filter_map(|named| named.cluster.as_ref());
    let has_proxy = has_proxy.into_iter().any(|cluster| cluster.proxy_url.is_some());
    let mut config = Config::from_custom_kubeconfig(file, &options)
        .await
        .map_err(|source| ConnectError::Kubeconfig { path: path.clone(), source })?;
    if !has_proxy {
        config.proxy_url = None;
    }
    Ok(config)
}

fn wire(mut config: Config, limits: KubeLimits) -> Result<Wire, ConnectError> {
    let server = config.cluster_url.to_string().trim_end_matches('/').to_string();
    // A change is sent once, and what is not answered is not known: `kube` would send it up to fifteen times more.
    config.default_retry = false;
    config.connect_timeout = Some(CONNECT.min(limits.deadline / 2));
    config.read_timeout = None;
    config.write_timeout = None;
    let is_inline = config.auth_info.token.is_some();
    let token = config.auth_info.token_file.take().filter(|_| !is_inline).map(TokenFile::new);
    let client = Client::try_from(config)
        .map_err(|source| ConnectError::Credentials { server: server.clone(), source })?;
    Ok(Wire { client, token, limits, server })
}

impl Wire {
    async fn version(&self) -> Result<String, ConnectError> {
        let answer = self.answer(Call::get(Path::new("/version"))).await?;
        let version: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
        match version.get("gitVersion").and_then(Value::as_str) {
            Some(version) => Ok(version.to_string()),
            None => Err(ConnectError::NotKubernetes {
                server: self.server.clone(),
                message: "it tells no version".into(),
            }),
        }
    }

    /// Whoever may not list pods, in all namespaces or in the one of the context, can heal nothing.
    async fn expect_rights(&self, namespace: &str) -> Result<(), ConnectError> {
        let pods = Resource {
            group: String::new(),
            version: "v1".into(),
            plural: "pods".into(),
            is_namespaced: true,
        };
        for namespace in [None, Some(namespace)] {
            match self.may("list", &pods, namespace).await {
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
        Err(ConnectError::NoRights { server: self.server.clone(), user: self.user().await })
    }

    /// Who we are to the cluster, as far as it says.
    async fn user(&self) -> String {
        let review = json!({"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"});
        let path = Path::new("/apis/authentication.k8s.io/v1/selfsubjectreviews");
        let user = match self.call(Call::post(path, &review)).await {
            Heard::Answer(answer) => serde_json::from_slice::<Value>(&answer.body).ok(),
            Heard::Unsent(_) | Heard::Lost(_) | Heard::TooLarge(_) => None,
        };
        let name = user.as_ref().and_then(|user| user.pointer("/status/userInfo/username"));
        name.and_then(Value::as_str).unwrap_or("system:anonymous").to_string()
    }

    async fn answer(&self, call: Call) -> Result<Answer, ConnectError> {
        let server = self.server.clone();
        match self.call(call).await {
            Heard::Answer(answer) if answer.status.is_success() => Ok(answer),
            Heard::Answer(answer) => {
                let status = Status::of(&answer);
                let message = format!("{} {}", status.code, status.message);
                Err(match status.code {
                    401 => ConnectError::Unauthenticated { server, message: status.message },
                    403 => ConnectError::NoRights { server, user: self.user().await },
                    429 | 500.. => ConnectError::Unreachable { server, message },
                    _ => ConnectError::NotKubernetes { server, message },
                })
            }
            Heard::Unsent(message) | Heard::Lost(message) if message.contains("certificate") => {
                Err(ConnectError::Untrusted { server, message })
            }
            Heard::Unsent(message) | Heard::Lost(message) => {
                Err(ConnectError::Unreachable { server, message })
            }
            Heard::TooLarge(_) => {
                Err(ConnectError::NotKubernetes { server, message: "an endless answer".into() })
            }
        }
    }
}
