//! Webhook: signed after the rules of Standard Webhooks, so that receivers know whom it is from, when, and whether twice.

use aws_lc_rs::hmac;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;

use super::firm::{Inside, Kept, Webhook};
use super::letter::Letter;
use super::reach;
use super::sending::Unsent;
use crate::problem::Problem;

/// A new key: 32 random bytes.
pub(crate) fn fresh_key() -> Result<Kept, Problem> {
    let mut bits = [0; 32];
    aws_lc_rs::rand::fill(&mut bits).map_err(|error| Problem::internal("draw random bytes", error))?;
    Ok(Kept(format!("whsec_{}", STANDARD.encode(bits))))
}

/// Sends; what was answered.
pub(super) async fn send(webhook: &Webhook, inside: Inside, letter: &Letter) -> Result<String, Unsent> {
    let body = letter.json();
    let signature = signature(&webhook.secret, &letter.id, letter.at, &body).ok_or(Unsent::NoKey)?;
    let sent = reach::call(&webhook.address, inside, |client, url| {
        let request = client.post(url).header("content-type", "application/json").header("webhook-id", &letter.id);
        let request = request.header("webhook-timestamp", letter.at.as_second());
        request.header("webhook-signature", signature).body(body)
    });
    Ok(sent.await?)
}

/// What proves that it is ours; none for a damaged key.
fn signature(key: &Kept, id: &str, at: Timestamp, body: &str) -> Option<String> {
    let key = STANDARD.decode(key.0.strip_prefix("whsec_")?).ok()?;
    let key = hmac::Key::new(hmac::HMAC_SHA256, &key);
    let tag = hmac::sign(&key, format!("{id}.{}.{body}", at.as_second()).as_bytes());
    Some(format!("v1,{}", STANDARD.encode(tag)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_signature_is_that_of_the_published_example() {
        // The example in the specification of Standard Webhooks, as its reference libraries test it.
        let key = Kept("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw".into());
        let at = Timestamp::from_second(1_614_265_330).unwrap();
        let signed = signature(&key, "msg_p5jXN8AQM9LWM0D4loKWxJek", at, r#"{"test": 2432232314}"#);
        assert_eq!(signed.as_deref(), Some("v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="));
    }
}
