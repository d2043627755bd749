//! An admission webhook that runs a callback while a change by Chiron is admitted.
//!
//! With it, a test makes a change in the cluster between a read and a write of Chiron, without a race.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

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

use super::remediation::{CHIRON, SHOP};
use super::{kubectl, kubectl_with};
use crate::server_process::wait_for;

const CONFIGURATION_KIND: &str = "validatingwebhookconfiguration";

/// A registered webhook that admits all changes of one object by Chiron; deleted when dropped.
pub(super) struct AdmissionWebhook {
    name: String,
    calls: Arc<CallCounts>,
    _runtime: Runtime,
}

/// The number of calls, counted separately for the probes that show that the API server calls the webhook.
#[derive(Default)]
struct CallCounts {
    is_active: AtomicBool,
    probes: AtomicUsize,
    changes: AtomicUsize,
}

impl AdmissionWebhook {
    /// Registers the webhook for the object of this name and this resource of the core group, and waits until it is active.
    ///
    /// `callback` is called with the number of the call, from 1, before a change by Chiron is admitted. There can be several
    /// calls per change, because the API server retries internally.
    pub(super) fn register(
        resource: &str,
        object: &str,
        callback: impl Fn(usize) + Clone + Send + Sync + 'static,
    ) -> Self {
        let calls = Arc::new(CallCounts::default());
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
        let counts = calls.clone();
        let router = Router::new().route(
            "/",
            post(move |Json(review): Json<Value>| async move {
                if counts.is_active.load(Ordering::SeqCst) {
                    let call = counts.changes.fetch_add(1, Ordering::SeqCst) + 1;
                    tokio::task::spawn_blocking(move || callback(call)).await.unwrap();
                } else {
                    counts.probes.fetch_add(1, Ordering::SeqCst);
                }
                Json(admit(&review))
            }),
        );
        let listener = TlsListener { listener, acceptor };
        runtime.spawn(async { axum::serve(listener, router).await.unwrap() });
        let webhook = Self { name: format!("test-{object}"), calls, _runtime: runtime };
        webhook.apply_configuration(resource, object, &url, &signed.cert.pem());
        webhook
    }

    fn apply_configuration(&self, resource: &str, object: &str, url: &str, ca_pem: &str) {
        let conditions = [
            ("is-chiron", format!("request.userInfo.username == {CHIRON:?}")),
            ("is-the-object", format!("request.name == {object:?}")),
            ("is-not-dry-run", "!request.dryRun".to_string()),
        ];
        let configuration = json!({
            "apiVersion": "admissionregistration.k8s.io/v1",
            "kind": "ValidatingWebhookConfiguration",
            "metadata": {"name": self.name},
            "webhooks": [{
                "name": "callback.chiron.test",
                "admissionReviewVersions": ["v1"],
                "sideEffects": "NoneOnDryRun",
                "failurePolicy": "Fail",
                "clientConfig": {"url": url, "caBundle": BASE64_STANDARD.encode(ca_pem)},
                "rules": [{
                    "apiGroups": [""], "apiVersions": ["v1"], "operations": ["UPDATE"], "resources": [resource],
                }],
                "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": SHOP}},
                "matchConditions":
                    conditions.map(|(name, expression)| json!({"name": name, "expression": expression})),
            }],
        });
        kubectl_with(&["apply", "-f", "-"], &configuration.to_string()).unwrap();
        wait_for(Duration::from_secs(30), "the API server calls the webhook", || {
            let probe = format!("probe={}", self.name);
            let annotate =
                ["-n", SHOP, "--as", CHIRON, "annotate", "--overwrite", resource, object];
            kubectl(&[&annotate[..], &[&probe]].concat());
            kubectl(&["-n", SHOP, "annotate", resource, object, "probe-"]);
            (self.calls.probes.load(Ordering::SeqCst) > 0).then_some(())
        });
        self.calls.is_active.store(true, Ordering::SeqCst);
    }

    /// Returns the number of calls for changes by Chiron.
    pub(super) fn calls(&self) -> usize {
        self.calls.changes.load(Ordering::SeqCst)
    }
}

impl Drop for AdmissionWebhook {
    fn drop(&mut self) {
        // After a failed test, the API server may not be running any more.
        if let Err(error) = kubectl_with(&["delete", CONFIGURATION_KIND, &self.name], "") {
            println!("cannot delete the webhook {}: {error}", self.name);
        }
    }
}

/// Returns the response that allows the change of an `AdmissionReview`.
fn admit(review: &Value) -> Value {
    json!({
        "apiVersion": review["apiVersion"],
        "kind": review["kind"],
        "response": {"uid": review["request"]["uid"], "allowed": true},
    })
}

/// Accepts TLS connections. A connection whose handshake fails is dropped.
struct TlsListener {
    listener: TcpListener,
    acceptor: TlsAcceptor,
}

impl Listener for TlsListener {
    type Io = TlsStream<TcpStream>;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        loop {
            let (stream, peer) =
                self.listener.accept().await.expect("the loopback listener accepts");
            if let Ok(stream) = self.acceptor.accept(stream).await {
                return (stream, peer);
            }
        }
    }

    fn local_addr(&self) -> std::io::Result<Self::Addr> {
        self.listener.local_addr()
    }
}
