//! The second factor: codes that change every 30 seconds (RFC 6238). Each is good once.

use totp_rs::{Builder, Secret, Totp};

use crate::problem::Problem;
use crate::token::same;

/// Bytes of a secret, as the standard wants them.
const BYTES: usize = 20;

/// A new secret.
pub(crate) fn fresh_secret() -> Result<Vec<u8>, Problem> {
    let mut bytes = vec![0; BYTES];
    aws_lc_rs::rand::fill(&mut bytes).map_err(|error| Problem::internal("draw random bytes", error))?;
    Ok(bytes)
}

/// The letters that people can type into their phone.
pub(crate) fn letters(secret: &[u8]) -> String {
    Secret::from(secret.to_vec()).to_base32()
}

/// The secret of such letters.
pub(crate) fn of_letters(letters: &str) -> Option<Vec<u8>> {
    let secret = Secret::try_from_base32(letters).ok()?;
    let bytes: &[u8] = secret.as_ref();
    (bytes.len() == BYTES).then(|| bytes.to_vec())
}

fn totp(secret: &[u8]) -> Result<Totp, Problem> {
    Builder::new()
        .with_secret(Secret::from(secret.to_vec()))
        .build()
        .map_err(|error| Problem::internal("set up a second factor", error))
}

/// The step (of 30 seconds since 1970) that a code belongs to, if it is right now or was 30 seconds ago, and later than
/// `used`, the step of the last code that was taken (0: none was).
pub(crate) fn step_of(secret: &[u8], code: &str, used: u64, second: u64) -> Result<Option<u64>, Problem> {
    let code: String = code.chars().filter(char::is_ascii_digit).take(8).collect();
    let totp = totp(secret)?;
    let steps = [0, 1].map(|back: u64| (second / 30).saturating_sub(back));
    let fits = |step: &u64| same(&totp.generate(step * 30).to_string(), &code);
    Ok(steps.into_iter().filter(|step| *step > used).find(fits))
}

/// What phones read from a QR code.
pub(crate) fn address(secret: &[u8], account: &str) -> String {
    let secret = letters(secret);
    let account: String = account.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '.' }).collect();
    format!("otpauth://totp/stead:{account}?secret={secret}&issuer=stead")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The secret of RFC 6238, appendix B; the codes are the last six digits of those there.
    const SECRET: &[u8] = b"12345678901234567890";

    #[test]
    fn codes_are_those_of_the_standard() {
        assert_eq!(step_of(SECRET, "287082", 0, 59).unwrap(), Some(1));
        assert_eq!(step_of(SECRET, "081 804", 0, 1_111_111_109).unwrap(), Some(37_037_036));
        assert_eq!(step_of(SECRET, "081805", 0, 1_111_111_109).unwrap(), None);
    }

    #[test]
    fn a_code_is_good_once_and_for_a_minute() {
        assert_eq!(step_of(SECRET, "287082", 1, 59).unwrap(), None);
        assert_eq!(step_of(SECRET, "287082", 0, 89).unwrap(), Some(1));
        assert_eq!(step_of(SECRET, "287082", 0, 91).unwrap(), None);
    }

    #[test]
    fn fresh_secrets_are_taken_and_read_back_from_their_letters() {
        let secret = fresh_secret().unwrap();
        assert_eq!(step_of(&secret, "", 0, 59).unwrap(), None);
        assert_eq!(of_letters(&letters(&secret)), Some(secret));
        assert_eq!(of_letters("MFRA"), None);
        assert!(address(SECRET, "anna@example.org").ends_with("&issuer=stead"));
    }
}
