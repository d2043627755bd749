//! Something that happens in the cluster between Chiron's reading of an object and its writing: an admission webhook
//! does it while the change is being admitted, so that no story has to win a race.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use axum::serve::Listener;
use axum::{Json, Router, routing::post};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::{ServerConfig, crypto::ring, pki_types::PrivatePkcs8KeyDer};
use tokio_rustls::server::TlsStream;

use super::chiron_process::within;
use super::remediation::{CHIRON, SHOP};
use super::{kubectl, kubectl_with};

const WEBHOOKS: &str = "validatingwebhookconfiguration";

/// A webhook that is called for each change of Chiron's to one object, admits it, and does something else first.
pub(super) struct Webhook {
    name: String,
    calls: Arc<Calls>,
    _runtime: Runtime,
}

/// How often it was called for a probe of ours, which says that the API server knows of it, and since then.
#[derive(Default)]
struct Calls {
    stands: AtomicBool,
    probes: AtomicUsize,
    meant: AtomicUsize,
}

impl Webhook {
    /// From here on `meanwhile` is done, with its number from 1, while a change of Chiron's to the object of this
    /// resource of the core group and this name is admitted. The API server may ask again about a change that it tries again.
    pub(super) fn stand(
        resource: &str,
        object: &str,
        meanwhile: impl Fn(usize) + Clone + Send + Sync + 'static,
    ) -> Self {
        let calls = Arc::new(Calls::default());
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
        let signed = rcgen::generate_simple_self_signed([Ipv4Addr::LOCALHOST.to_string()]).unwrap();
        let key = PrivatePkcs8KeyDer::from(signed.signing_key.serialize_der());
        let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![signed.cert.der().clone()], key.into())
            .unwrap();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = runtime.block_on(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))).unwrap();
        let url = format!("https://{}/", listener.local_addr().unwrap());
        let counted = calls.clone();
        let router = Router::new().route(
            "/",
            post(move |Json(review): Json<Value>| async move {
                if counted.stands.load(Ordering::SeqCst) {
                    let call = counted.meant.fetch_add(1, Ordering::SeqCst) + 1;
                    tokio::task::spawn_blocking(move || meanwhile(call)).await.unwrap();
                } else {
                    counted.probes.fetch_add(1, Ordering::SeqCst);
                }
                Json(admitted(&review))
            }),
        );
        runtime.spawn(async { axum::serve(Tls { listener, acceptor }, router).await.unwrap() });
        let webhook = Self { name: format!("test-{object}"), calls, _runtime: runtime };
        webhook.register(resource, object, &url, &signed.cert.pem());
        webhook
    }

    fn register(&self, resource: &str, object: &str, url: &str, authority: &str) {
        let conditions = [
            ("is-chiron", format!("request.userInfo.username == {CHIRON:?}")),
            ("is-the-object", format!("request.name == {object:?}")),
            ("is-meant", "!request.dryRun".to_string()),
        ];
        let configuration = json!({
            "apiVersion": "admissionregistration.k8s.io/v1",
            "kind": "ValidatingWebhookConfiguration",
            "metadata": {"name": self.name},
            "webhooks": [{
                "name": "meanwhile.chiron.test",
                "admissionReviewVersions": ["v1"],
                "sideEffects": "NoneOnDryRun",
                "failurePolicy": "Fail",
                "clientConfig": {"url": url, "caBundle": BASE64_STANDARD.encode(authority)},
                "rules": [{
                    "apiGroups": [""], "apiVersions": ["v1"], "operations": ["UPDATE"], "resources": [resource],
                }],
                "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": SHOP}},
                "matchConditions":
                    conditions.map(|(name, expression)| json!({"name": name, "expression": expression})),
            }],
        });
        kubectl_with(&["apply", "-f", "-"], &configuration.to_string()).unwrap();
        within(30, "the API server calls the webhook", || {
            let probe = format!("probe={}", self.name);
            let asked = ["-n", SHOP, "--as", CHIRON, "annotate", "--overwrite", resource, object];
            kubectl(&[&asked[..], &[&probe]].concat());
            kubectl(&["-n", SHOP, "annotate", resource, object, "probe-"]);
            (self.calls.probes.load(Ordering::SeqCst) > 0).then_some(())
        });
        self.calls.stands.store(true, Ordering::SeqCst);
    }

    /// How often it was called for a change of Chiron's.
    pub(super) fn calls(&self) -> usize {
        self.calls.meant.load(Ordering::SeqCst)
    }
}

impl Drop for Webhook {
    fn drop(&mut self) {
        // Where the story failed there may be no API server any more.
        if let Err(said) = kubectl_with(&["delete", WEBHOOKS, &self.name], "") {
            println!("{} is left behind: {said}", self.name);
        }
    }
}

fn admitted(review: &Value) -> Value {
    json!({
        "apiVersion": review["apiVersion"],
        "kind": review["kind"],
        "response": {"uid": review["request"]["uid"], "allowed": true},
    })
}

/// Connections over TLS; one whose handshake fails is let go.
struct Tls {
    listener: TcpListener,
    acceptor: TlsAcceptor,
}

impl Listener for Tls {
    type Io = TlsStream<TcpStream>;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        loop {
            let (stream, peer) = self.listener.accept().await.expect("loopback accepts");
            if let Ok(stream) = self.acceptor.accept(stream).await {
                return (stream, peer);
            }
        }
    }

    fn local_addr(&self) -> std::io::Result<Self::Addr> {
        self.listener.local_addr()
    }
}
