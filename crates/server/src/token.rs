//! Hashes of things that are shown in part: what forms carry, and the names of assets.

use aws_lc_rs::digest;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

/// The SHA-256 of something.
pub(crate) fn sha256(bytes: &[u8]) -> [u8; 32] {
    let digest = digest::digest(&digest::SHA256, bytes);
    let mut hash = [0; 32];
    hash.copy_from_slice(digest.as_ref());
    hash
}

/// The token that forms of a session carry: made from the session's, which it does not tell.
pub(crate) fn of_forms(session: &str) -> String {
    URL_SAFE_NO_PAD.encode(sha256(format!("stead form {session}").as_bytes()))
}

/// Whether two secrets are the same, in a time that does not tell where they differ.
pub(crate) fn same(one: &str, other: &str) -> bool {
    aws_lc_rs::constant_time::verify_slices_are_equal(one.as_bytes(), other.as_bytes()).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_token_of_forms_tells_nothing_of_the_session() {
        let session = store::Secret::random();
        assert_ne!(of_forms(session.text()), session.text());
        assert_ne!(of_forms(session.text()), of_forms("another"));
        assert!(same(&of_forms(session.text()), &of_forms(session.text())));
    }
}
