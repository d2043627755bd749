//! A minimal client for the API server in a kubeconfig that Chiron wrote.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD as BASE64;
use bytes::Bytes;
use http_body_util::{BodyExt as _, Empty};
use hyper::Request;
use hyper::body::{Body, Incoming};
use hyper::header::{AUTHORIZATION, CONNECTION, HOST};
use hyper::http::uri::Authority;
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{self, ClientConfig, RootCertStore};

use super::ServeError;
use super::fault::ProxyResponse;

/// The server, certificate and token in a kubeconfig.
pub(super) struct KubeconfigInfo {
    server: String,
    certificate: String,
    pub(super) token: String,
}

impl KubeconfigInfo {
    /// Reads a kubeconfig in the format of [`super::serve`]: one cluster, one user with a token.
    pub(super) fn read(path: &Path) -> Result<Self, ServeError> {
        let invalid =
            |message: String| ServeError::Kubeconfig { path: path.to_path_buf(), message };
        let text = std::fs::read_to_string(path).map_err(|error| invalid(error.to_string()))?;
        let file: Value =
            serde_saphyr::from_str(&text).map_err(|error| invalid(error.to_string()))?;
        let field = |pointer: &str| {
            let found = file.pointer(pointer).and_then(Value::as_str).map(str::to_string);
            found.ok_or_else(|| invalid(format!("{pointer} is missing")))
        };
        let certificate = field("/clusters/0/cluster/certificate-authority-data")?;
        let certificate = BASE64
            .decode(&certificate)
            .ok()
            .and_then(|bytes| String::from_utf8(bytes).ok())
            .ok_or_else(|| {
                invalid("certificate-authority-data is not a base64-encoded PEM certificate".into())
            })?;
        Ok(Self {
            server: field("/clusters/0/cluster/server")?,
            certificate,
            token: field("/users/0/user/token")?,
        })
    }
}

/// A request that got no response.
#[derive(Debug, thiserror::Error)]
#[error("the API server behind the proxy did not respond: {0}")]
pub(super) struct UpstreamError(String);

impl UpstreamError {
    fn from_display(error: impl std::fmt::Display) -> Self {
        Self(error.to_string())
    }
}

/// A client of an API server. It opens a connection per request.
pub(super) struct Upstream {
    authority: Authority,
    connector: TlsConnector,
}

impl Upstream {
    pub(super) fn new(info: &KubeconfigInfo, path: &Path) -> Result<Self, ServeError> {
        let invalid =
            |message: String| ServeError::Kubeconfig { path: PathBuf::from(path), message };
        let mut roots = RootCertStore::empty();
        for certificate in CertificateDer::pem_slice_iter(info.certificate.as_bytes()) {
            let certificate = certificate.map_err(|error| invalid(error.to_string()))?;
            roots.add(certificate)?;
        }
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_no_client_auth();
        let authority = info.server.strip_prefix("https://").and_then(|rest| rest.parse().ok());
        let authority =
            authority.ok_or_else(|| invalid(format!("{} is not an https URL", info.server)))?;
        Ok(Self { authority, connector: TlsConnector::from(Arc::new(config)) })
    }

    /// Sends a request, without retries.
    pub(super) async fn send<B>(
        &self,
        mut request: Request<B>,
    ) -> Result<ProxyResponse, UpstreamError>
    where
        B: Body<Data = Bytes> + Send + 'static,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let name = ServerName::try_from(self.authority.host().to_string())
            .map_err(UpstreamError::from_display)?;
        let stream = TcpStream::connect(self.authority.as_str())
            .await
            .map_err(UpstreamError::from_display)?;
        let stream =
            self.connector.connect(name, stream).await.map_err(UpstreamError::from_display)?;
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
            .await
            .map_err(UpstreamError::from_display)?;
        tokio::spawn(connection);
        let host = self.authority.as_str().parse().map_err(UpstreamError::from_display)?;
        request.headers_mut().insert(HOST, host);
        request.headers_mut().remove(CONNECTION);
        let response = sender.send_request(request).await.map_err(UpstreamError::from_display)?;
        Ok(response.map(Incoming::boxed))
    }
}

/// Fetches how often each effect key changed the simulated cluster in this kubeconfig.
///
/// # Errors
/// Returns [`ServeError::Kubeconfig`] if the file is invalid or the server does not respond.
pub async fn fetch_effects(kubeconfig: &Path) -> Result<BTreeMap<String, u32>, ServeError> {
    let invalid =
        |message: String| ServeError::Kubeconfig { path: PathBuf::from(kubeconfig), message };
    let info = KubeconfigInfo::read(kubeconfig)?;
    let request = Request::get("/chiron/effects")
        .header(AUTHORIZATION, format!("Bearer {}", info.token))
        .body(Empty::<Bytes>::new())
        .map_err(|error| invalid(error.to_string()))?;
    let response = Upstream::new(&info, kubeconfig)?
        .send(request)
        .await
        .map_err(|error| invalid(error.to_string()))?;
    let status = response.status();
    let body = response.into_body().collect().await.map_err(|error| invalid(error.to_string()))?;
    let document: Value = serde_json::from_slice(&body.to_bytes()).unwrap_or_default();
    serde_json::from_value(document["effects"].clone())
        .map_err(|error| invalid(format!("unexpected response with status {status}: {error}")))
}
