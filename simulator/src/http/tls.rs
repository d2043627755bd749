//! The TLS certificates of a server: a certificate authority created at start, and a server certificate for loopback.

use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::{self, ServerConfig, pki_types::PrivatePkcs8KeyDer};

use super::ServeError;

/// The certificate authority, and the TLS acceptor with the server certificate.
pub(super) struct Authority {
    /// The certificate of the authority, in PEM.
    pub(super) certificate: String,
    pub(super) acceptor: TlsAcceptor,
}

/// The subject alternative names of the server certificate.
const SERVER_NAMES: [&str; 5] =
    ["127.0.0.1", "localhost", "kubernetes", "kubernetes.default", "kubernetes.default.svc"];

pub(super) fn authority() -> Result<Authority, ServeError> {
    let mut params = CertificateParams::new(Vec::new())?;
    params.distinguished_name.push(DnType::CommonName, "chiron simulated cluster");
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::DigitalSignature];
    let key = KeyPair::generate()?;
    let certificate = params.self_signed(&key)?;
    let issuer = Issuer::new(params, key);
    let server_key = KeyPair::generate()?;
    let mut server = CertificateParams::new(SERVER_NAMES.map(String::from).to_vec())?;
    server.distinguished_name.push(DnType::CommonName, "kube-apiserver");
    server.use_authority_key_identifier_extension = true;
    let server = server.signed_by(&server_key, &issuer)?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(
            vec![server.der().clone()],
            PrivatePkcs8KeyDer::from(server_key.serialize_der()).into(),
        )?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Authority { certificate: certificate.pem(), acceptor: TlsAcceptor::from(Arc::new(config)) })
}
