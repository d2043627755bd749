//! The client's side: one request, sent to an API server that a kubeconfig of ours names.

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
use super::fault::Answer;

/// What a kubeconfig of ours says.
pub(super) struct Known {
    server: String,
    certificate: String,
    pub(super) token: String,
}

impl Known {
    /// Reads a kubeconfig as [`super::serve`] writes it: one cluster, one user with a token.
    pub(super) fn read(path: &Path) -> Result<Self, ServeError> {
        let bad = |why: String| ServeError::NoKubeconfig { path: path.to_path_buf(), why };
        let text = std::fs::read_to_string(path).map_err(|error| bad(error.to_string()))?;
        let file: Value = serde_saphyr::from_str(&text).map_err(|error| bad(error.to_string()))?;
        let field = |pointer: &str| {
            let found = file.pointer(pointer).and_then(Value::as_str).map(str::to_string);
            found.ok_or_else(|| bad(format!("it has no {pointer}")))
        };
        let certificate = field("/clusters/0/cluster/certificate-authority-data")?;
        let certificate = BASE64
            .decode(&certificate)
            .ok()
            .and_then(|bytes| String::from_utf8(bytes).ok())
            .ok_or_else(|| bad("its certificate authority is not base64 of PEM".into()))?;
        Ok(Self {
            server: field("/clusters/0/cluster/server")?,
            certificate,
            token: field("/users/0/user/token")?,
        })
    }
}

/// A request that got no answer.
#[derive(Debug, thiserror::Error)]
#[error("the API server behind the proxy gave no answer: {0}")]
pub(super) struct Lost(String);

impl Lost {
    fn because(error: impl std::fmt::Display) -> Self {
        Self(error.to_string())
    }
}

/// An API server, reached anew for each request.
pub(super) struct Upstream {
    authority: Authority,
    connector: TlsConnector,
}

impl Upstream {
    pub(super) fn new(known: &Known, path: &Path) -> Result<Self, ServeError> {
        let bad = |why: String| ServeError::NoKubeconfig { path: PathBuf::from(path), why };
        let mut roots = RootCertStore::empty();
        for certificate in CertificateDer::pem_slice_iter(known.certificate.as_bytes()) {
            let certificate = certificate.map_err(|error| bad(error.to_string()))?;
            roots.add(certificate)?;
        }
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_no_client_auth();
        let authority = known.server.strip_prefix("https://").and_then(|rest| rest.parse().ok());
        let authority =
            authority.ok_or_else(|| bad(format!("{} is no https address", known.server)))?;
        Ok(Self { authority, connector: TlsConnector::from(Arc::new(config)) })
    }

    /// Sends it, once.
    pub(super) async fn send<B>(&self, mut request: Request<B>) -> Result<Answer, Lost>
    where
        B: Body<Data = Bytes> + Send + 'static,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let name =
            ServerName::try_from(self.authority.host().to_string()).map_err(Lost::because)?;
        let stream = TcpStream::connect(self.authority.as_str()).await.map_err(Lost::because)?;
        let stream = self.connector.connect(name, stream).await.map_err(Lost::because)?;
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
            .await
            .map_err(Lost::because)?;
        tokio::spawn(connection);
        let host = self.authority.as_str().parse().map_err(Lost::because)?;
        request.headers_mut().insert(HOST, host);
        request.headers_mut().remove(CONNECTION);
        let answer = sender.send_request(request).await.map_err(Lost::because)?;
        Ok(answer.map(Incoming::boxed))
    }
}

/// How many times each effect key changed the simulated cluster that this kubeconfig names.
///
/// # Errors
/// [`ServeError::NoKubeconfig`] where the file is not one of ours, or nobody answers there.
pub async fn effects(kubeconfig: &Path) -> Result<BTreeMap<String, u32>, ServeError> {
    let bad = |why: String| ServeError::NoKubeconfig { path: PathBuf::from(kubeconfig), why };
    let known = Known::read(kubeconfig)?;
    let request = Request::get("/chiron/effects")
        .header(AUTHORIZATION, format!("Bearer {}", known.token))
        .body(Empty::<Bytes>::new())
        .map_err(|error| bad(error.to_string()))?;
    let answer = Upstream::new(&known, kubeconfig)?
        .send(request)
        .await
        .map_err(|error| bad(error.to_string()))?;
    let status = answer.status();
    let body = answer.into_body().collect().await.map_err(|error| bad(error.to_string()))?;
    let said: Value = serde_json::from_slice(&body.to_bytes()).unwrap_or_default();
    serde_json::from_value(said["effects"].clone())
        .map_err(|error| bad(format!("{status}, and no counts of effects: {error}")))
}
