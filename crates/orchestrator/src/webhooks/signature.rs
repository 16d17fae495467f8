//! What tells a receiver that a message is ours: the `v1` of Standard Webhooks.

use base64::{Engine, engine::general_purpose::STANDARD};
use dalston_store::SigningSecret;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

/// What every secret begins with; the rest is base64.
const PREFIX: &str = "whsec_";

/// The `webhook-signature` header: one signature for each secret. What is signed is `id.timestamp.body`.
pub(super) fn signatures(secrets: &[SigningSecret], id: &str, timestamp: u64, body: &str) -> String {
    let signed = secrets.iter().filter_map(|secret| {
        let mut mac = Hmac::<Sha256>::new_from_slice(&key(secret)?).ok()?;
        mac.update(format!("{id}.{timestamp}.{body}").as_bytes());
        Some(format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes())))
    });
    signed.collect::<Vec<_>>().join(" ")
}

fn key(secret: &SigningSecret) -> Option<Vec<u8>> {
    STANDARD.decode(secret.reveal().strip_prefix(PREFIX)?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Made with the Python package `standardwebhooks` 1.1.
    #[test]
    fn a_signature_is_as_the_standard_says() {
        let secret = SigningSecret::new("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw".into());
        let signature = signatures(
            std::slice::from_ref(&secret),
            "msg_p5jXN8AQM9LWM0D4loKWxJek",
            1_614_265_330,
            r#"{"test": 2432232314}"#,
        );
        assert_eq!(signature, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
        let both = signatures(&[secret.clone(), secret], "msg_1", 1, "{}");
        assert_eq!(both.split(' ').count(), 2);
    }
}
