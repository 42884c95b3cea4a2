//! Codes that people read from a page and type at a machine.

use crate::problem::Problem;

/// No 0 and O, no 1, I and L.
const LETTERS: &[u8; 31] = b"ABCDEFGHJKMNPQRSTUVWXYZ23456789";

/// A new code: 12 letters in three groups, 59 random bits.
pub(crate) fn fresh() -> Result<String, Problem> {
    let mut letters = String::new();
    while letters.len() < 12 {
        let mut byte = [0];
        aws_lc_rs::rand::fill(&mut byte).map_err(|error| Problem::internal("draw random bytes", error))?;
        // 248 is a multiple of 31: no letter comes oftener than another.
        if byte[0] < 248 {
            letters.push(char::from(LETTERS[usize::from(byte[0]) % LETTERS.len()]));
        }
    }
    Ok(format!("{}-{}-{}", &letters[..4], &letters[4..8], &letters[8..]))
}

/// A code as it was meant: capitals, without what people put between.
pub(crate) fn as_meant(typed: &str) -> String {
    typed.chars().filter(char::is_ascii_alphanumeric).take(64).map(|c| c.to_ascii_uppercase()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_have_three_groups_of_letters_that_are_not_confused() {
        for _ in 0..200 {
            let code = fresh().unwrap();
            assert_eq!(code.split('-').map(str::len).collect::<Vec<_>>(), [4, 4, 4], "{code}");
            assert!(code.bytes().all(|byte| byte == b'-' || LETTERS.contains(&byte)), "{code}");
        }
    }

    #[test]
    fn a_code_is_understood_however_it_is_typed() {
        assert_eq!(as_meant(" abcd efgh-jkmn\n"), "ABCDEFGHJKMN");
    }
}
