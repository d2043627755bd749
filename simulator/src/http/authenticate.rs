//! Authentication: the administrator of the kubeconfig, service accounts, or anonymous.

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD as BASE64_URL;
use cluster::{Kind, SecretKey};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use crate::api::StatusError;
use crate::user::User;
use crate::world::World;

/// The secrets that authenticate clients.
pub(super) struct Credentials {
    /// The bearer token of the administrator.
    pub(super) admin: String,
    /// The key that signs service-account tokens.
    key: SecretKey,
}

/// The issuer and the audience of service-account tokens.
const ISSUER: &str = "https://kubernetes.default.svc";

impl Credentials {
    /// Derives the credentials from random bytes: the first half is the administrator's token, the second half the key.
    pub(super) fn new(random: &[u8; 64]) -> Self {
        let admin = random[..32].iter().map(|byte| format!("{byte:02x}")).collect();
        let mut key = [0; 32];
        key.copy_from_slice(&random[32..]);
        Self { admin, key: SecretKey::from_bytes(key) }
    }

    /// Returns the user that the header `Authorization` authenticates. Without the header: the anonymous user.
    ///
    /// # Errors
    /// Returns 401 if the token is invalid.
    pub(super) fn user(&self, header: Option<&str>, world: &World) -> Result<User, StatusError> {
        let Some(header) = header else { return Ok(User::anonymous()) };
        let token = header
            .split_once(' ')
            .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"))
            .map(|(_, token)| token.trim())
            .ok_or_else(StatusError::unauthorized)?;
        if self.is_admin(token) {
            return Ok(User::admin());
        }
        self.service_account(token, world).ok_or_else(StatusError::unauthorized)
    }

    /// Compares keyed digests, so that the time of the comparison does not reveal a matching prefix.
    fn is_admin(&self, token: &str) -> bool {
        self.key.digest(token.as_bytes()) == self.key.digest(self.admin.as_bytes())
    }

    /// Issues a token for a service account, valid for `lifetime` from `now`.
    pub(super) fn issue(
        &self,
        namespace: &str,
        name: &str,
        uid: &str,
        now: Timestamp,
        lifetime: SignedDuration,
    ) -> String {
        let claims = json!({
            "iss": ISSUER, "aud": [ISSUER], "sub": format!("system:serviceaccount:{namespace}:{name}"),
            "iat": now.as_second(), "nbf": now.as_second(), "exp": (now + lifetime).as_second(),
            "kubernetes.io": {"namespace": namespace, "serviceaccount": {"name": name, "uid": uid}},
        });
        let signed = format!(
            "{}.{}",
            BASE64_URL.encode(br#"{"alg":"HS256","typ":"JWT"}"#),
            BASE64_URL.encode(claims.to_string().as_bytes())
        );
        let signature = self.key.digest(signed.as_bytes());
        format!("{signed}.{}", BASE64_URL.encode(signature.bytes()))
    }

    /// Returns the service account of a token, if the signature is valid, the token has not expired and the account exists.
    pub(super) fn service_account(&self, token: &str, world: &World) -> Option<User> {
        let (signed, signature) = token.rsplit_once('.')?;
        let digest = self.key.digest(signed.as_bytes());
        // Comparing digests of the signatures takes a time that does not depend on the matching prefix.
        if self.key.digest(BASE64_URL.encode(digest.bytes()).as_bytes())
            != self.key.digest(signature.as_bytes())
        {
            return None;
        }
        let (_, claims) = signed.split_once('.')?;
        let claims: Value = serde_json::from_slice(&BASE64_URL.decode(claims).ok()?).ok()?;
        if claims["exp"].as_i64()? <= world.now().as_second() {
            return None;
        }
        let account = &claims["kubernetes.io"];
        let (namespace, name) =
            (account["namespace"].as_str()?, account["serviceaccount"]["name"].as_str()?);
        let found = world.get(&Kind::new("v1", "ServiceAccount"), Some(namespace), name).ok()?;
        let uid = &found.metadata().uid;
        (account["serviceaccount"]["uid"].as_str() == Some(uid))
            .then(|| User::service_account(namespace, name, uid))
    }
}
