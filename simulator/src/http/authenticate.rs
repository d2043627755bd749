//! Who sends a request: the administrator of the kubeconfig, a service account, or nobody known.

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD as BASE64_URL;
use cluster::{Kind, SecretKey};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use crate::api::Refusal;
use crate::user::User;
use crate::world::World;

/// What tells who somebody is.
pub(super) struct Credentials {
    /// The token of the administrator.
    pub(super) admin: String,
    /// What signs the tokens of service accounts.
    key: SecretKey,
}

/// The issuer and the audience of service-account tokens.
const ISSUER: &str = "https://kubernetes.default.svc";

impl Credentials {
    /// Takes 64 bytes of chance: half for the administrator's token, half for the key.
    pub(super) fn new(chance: &[u8; 64]) -> Self {
        let admin = chance[..32].iter().map(|byte| format!("{byte:02x}")).collect();
        let mut key = [0; 32];
        key.copy_from_slice(&chance[32..]);
        Self { admin, key: SecretKey::from_bytes(key) }
    }

    /// Who the header `Authorization` says that this is.
    ///
    /// # Errors
    /// 401 where it names somebody whom nobody knows.
    pub(super) fn user(&self, header: Option<&str>, world: &World) -> Result<User, Refusal> {
        let Some(header) = header else { return Ok(User::anonymous()) };
        let token = header
            .split_once(' ')
            .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"))
            .map(|(_, token)| token.trim())
            .ok_or_else(Refusal::unauthorized)?;
        if self.is_admin(token) {
            return Ok(User::admin());
        }
        self.service_account(token, world).ok_or_else(Refusal::unauthorized)
    }

    /// Compared by keyed digests, so that the time it takes says nothing of how much was right.
    fn is_admin(&self, token: &str) -> bool {
        self.key.digest(token.as_bytes()) == self.key.digest(self.admin.as_bytes())
    }

    /// A token for the service account, good for `lifetime` from `now`.
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

    /// The service account whose token this is, if it is one of ours, in force, and the account is still there.
    pub(super) fn service_account(&self, token: &str, world: &World) -> Option<User> {
        let (signed, signature) = token.rsplit_once('.')?;
        let digest = self.key.digest(signed.as_bytes());
        // The key is not known outside, so that comparing digests of digests leaks nothing of it.
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
        let found = world.find(&Kind::new("v1", "ServiceAccount"), Some(namespace), name).ok()?;
        let uid = &found.metadata().uid;
        (account["serviceaccount"]["uid"].as_str() == Some(uid))
            .then(|| User::account(namespace, name, uid))
    }
}
