//! The second factor: codes that change every 30 seconds (RFC 6238). Each is good once. What they are made from lies sealed in
//! the database.

use std::time::Duration;

use continuity::PersonId;
use totp_rs::{Builder, Secret, Totp};
use zeroize::Zeroizing;

use crate::app::App;
use crate::problem::Problem;
use crate::seal::Seal;
use crate::token::same;

/// Bytes of a secret, as the standard wants them.
const BYTES: usize = 20;

/// What sealed secrets begin with; others were stored by older programs, as they are.
const MARK: &[u8] = b"sealed:1:";

/// How often it is looked for secrets that an older program stored.
const LOOK: Duration = Duration::from_secs(600);

fn about(person: PersonId) -> String {
    format!("second factor of {person}")
}

/// A secret as it is stored.
pub(crate) fn sealed(seal: &Seal, person: PersonId, secret: &[u8]) -> Result<Vec<u8>, Problem> {
    Ok([MARK, &seal.close_bytes(&about(person), secret)?].concat())
}

/// What was stored, as it was given; none: it was sealed with another key, or for somebody else.
pub(crate) fn opened(seal: &Seal, person: PersonId, stored: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    match stored.strip_prefix(MARK) {
        Some(sealed) => seal.open_bytes(&about(person), sealed),
        None => Some(Zeroizing::new(stored.to_vec())),
    }
}

/// Seals what older programs stored, at the start and as long as one of them may still run beside this.
pub(crate) async fn run(app: App) {
    app.every(LOOK, seal_all).await;
}

async fn seal_all(app: &App) -> Result<(), Problem> {
    let system = app.store.system();
    for (person, stored) in system.totp_secrets().await? {
        if !stored.starts_with(MARK) {
            system.replace_totp(person, &stored, &sealed(&app.seal, person, &stored)?).await?;
        }
    }
    Ok(())
}

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
    fn a_secret_is_opened_for_its_person_with_the_same_key_alone_and_older_ones_are_as_they_were() {
        let room = tempfile::tempdir().unwrap();
        let [ours, other] = ["ours", "other"].map(|name| Seal::at(&room.path().join(name)).unwrap());
        let [anna, bert] = [1, 2].map(|id| PersonId::new(fleet::Uuid::from_u128(id)));
        let stored = sealed(&ours, anna, SECRET).unwrap();
        assert!(!stored.windows(SECRET.len()).any(|some| some == SECRET));
        assert_eq!(opened(&ours, anna, &stored).unwrap().as_slice(), SECRET);
        assert!(opened(&ours, bert, &stored).is_none() && opened(&other, anna, &stored).is_none());
        assert_eq!(opened(&other, bert, SECRET).unwrap().as_slice(), SECRET);
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
