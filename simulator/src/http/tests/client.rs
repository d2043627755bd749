//! A minimal HTTP client that sends exactly the given bytes and returns the raw response.

use std::sync::Arc;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD as BASE64;
use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore, crypto::ring};

use crate::http::ServerHandle;

/// The address of the server, the trusted certificate and the token.
#[derive(Clone)]
pub(super) struct TestClient {
    address: std::net::SocketAddr,
    connector: TlsConnector,
    token: Option<String>,
}

/// A complete response.
pub(super) struct TestResponse {
    pub(super) code: u16,
    headers: Vec<(String, String)>,
    pub(super) body: Vec<u8>,
}

impl TestResponse {
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    pub(super) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub(super) fn json(&self) -> (u16, Value) {
        let value = serde_json::from_slice(&self.body);
        (
            self.code,
            value.unwrap_or_else(|_| {
                panic!("the response with status {} is not JSON: {}", self.code, self.text())
            }),
        )
    }
}

/// A connection that responses are read from.
pub(super) struct TestConnection(BufReader<TlsStream<TcpStream>>);

impl TestClient {
    /// Creates a client from the kubeconfig of the server.
    pub(super) fn of(handle: &ServerHandle) -> Self {
        let config: Value = serde_saphyr::from_str(&handle.kubeconfig).unwrap();
        let authority =
            config["clusters"][0]["cluster"]["certificate-authority-data"].as_str().unwrap();
        let mut roots = RootCertStore::empty();
        let certificate = BASE64.decode(authority).unwrap();
        roots.add(CertificateDer::from_pem_slice(&certificate).unwrap()).unwrap();
        let config_of = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        let token = config["users"][0]["user"]["token"].as_str().unwrap().to_string();
        Self {
            address: handle.address,
            connector: TlsConnector::from(Arc::new(config_of)),
            token: Some(token),
        }
    }

    pub(super) fn anonymous(&self) -> Self {
        Self { token: None, ..self.clone() }
    }

    pub(super) fn with_token(&self, token: &str) -> Self {
        Self { token: Some(token.into()), ..self.clone() }
    }

    pub(super) async fn connect(&self) -> TestConnection {
        let stream = TcpStream::connect(self.address).await.unwrap();
        let name = ServerName::try_from("127.0.0.1").unwrap();
        TestConnection(BufReader::new(self.connector.connect(name, stream).await.unwrap()))
    }

    /// Returns the bytes of a request.
    pub(super) fn request(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Vec<u8> {
        let mut text = format!(
            "{method} {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: {}\r\n",
            body.len()
        );
        if let Some(token) = &self.token {
            text.push_str(&format!("Authorization: Bearer {token}\r\n"));
        }
        for (name, value) in headers {
            text.push_str(&format!("{name}: {value}\r\n"));
        }
        text.push_str("\r\n");
        [text.into_bytes(), body.to_vec()].concat()
    }

    pub(super) async fn send(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> TestResponse {
        let mut connection = self.connect().await;
        // The server may close the connection before it has read the complete request.
        drop(connection.write(&self.request(method, path, headers, body)).await);
        connection.response().await
    }

    /// Sends a request whose response is read line by line.
    pub(super) async fn open(&self, method: &str, path: &str) -> TestConnection {
        let mut connection = self.connect().await;
        connection.write(&self.request(method, path, &[], b"")).await.unwrap();
        let (code, _) = connection.head().await;
        assert_eq!(code, 200, "{path}");
        connection
    }
}

impl TestConnection {
    pub(super) async fn write(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.0.write_all(bytes).await?;
        self.0.flush().await
    }

    async fn text_line(&mut self) -> String {
        let mut line = String::new();
        self.0.read_line(&mut line).await.unwrap();
        line.trim_end().to_string()
    }

    async fn head(&mut self) -> (u16, Vec<(String, String)>) {
        let status = self.text_line().await;
        let code = status.split(' ').nth(1).unwrap_or_else(|| panic!("no status line: {status:?}"));
        let mut headers = Vec::new();
        loop {
            let line = self.text_line().await;
            let Some((name, value)) = line.split_once(':') else { break };
            headers.push((name.to_lowercase(), value.trim().to_string()));
        }
        (code.parse().unwrap(), headers)
    }

    /// Reads the head of a response and returns the status code. The body is then read line by line.
    pub(super) async fn head_code(&mut self) -> u16 {
        self.head().await.0
    }

    /// Reads one complete response.
    pub(super) async fn response(&mut self) -> TestResponse {
        let (code, headers) = self.head().await;
        let mut response = TestResponse { code, headers, body: Vec::new() };
        match response.header("content-length").map(|length| length.parse::<usize>().unwrap()) {
            Some(length) => {
                response.body.resize(length, 0);
                self.0.read_exact(&mut response.body).await.unwrap();
            }
            None => {
                while let Some(chunk) = self.chunk().await {
                    response.body.extend(chunk);
                }
            }
        }
        response
    }

    async fn chunk(&mut self) -> Option<Vec<u8>> {
        let length = usize::from_str_radix(&self.text_line().await, 16).unwrap_or(0);
        let mut chunk = vec![0; length];
        self.0.read_exact(&mut chunk).await.ok()?;
        self.text_line().await;
        (length > 0).then_some(chunk)
    }

    /// Reads the next chunk, which is one log line. `None` at the end of the body.
    pub(super) async fn line(&mut self) -> Option<String> {
        let chunk = tokio::time::timeout(std::time::Duration::from_secs(20), self.chunk()).await;
        chunk
            .expect("an end or a line")
            .map(|chunk| String::from_utf8_lossy(&chunk).trim_end().to_string())
    }

    /// Reads the next events of a watch.
    pub(super) async fn events(&mut self) -> Vec<Value> {
        let text = self.line().await.unwrap_or_default();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}
