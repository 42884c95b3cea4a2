//! Polynomials over GF(2) for the Rabin chunker; bit i of a `u64` is the coefficient of x^i.
//!
//! A repository's polynomial is irreducible; restic makes it at random with degree 53 and refuses any that can be factored.

/// Degree of the polynomials that restic makes.
pub const DEGREE: u32 = 53;

/// A polynomial that a repository's config gives and that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PolynomialError {
    /// Not a hexadecimal number of 64 bits.
    #[error("the chunker polynomial {0:?} is not a hexadecimal number")]
    NotANumber(String),
    /// The tables of the Rabin chunker need degree 8 to 53.
    #[error("the chunker polynomial {polynomial:x} has degree {degree}, allowed are 8 to 53")]
    Degree {
        /// The polynomial.
        polynomial: u64,
        /// Its degree.
        degree: u32,
    },
    /// It can be factored, so its cut points are bad, or the config is damaged.
    #[error("the chunker polynomial {0:x} is not irreducible")]
    Reducible(u64),
}

/// A random irreducible polynomial of degree 53, made as restic makes it: about 13 tries of a few microseconds.
pub fn random() -> u64 {
    loop {
        let candidate = rand::random::<u64>() & ((1 << DEGREE) - 1) | 1 << DEGREE | 1;
        if is_irreducible(candidate) {
            return candidate;
        }
    }
}

/// True if no polynomials of lower degree multiply to `polynomial` (Ben-Or's test).
pub fn is_irreducible(polynomial: u64) -> bool {
    let Some(degree) = degree(polynomial).filter(|degree| *degree > 0) else { return false };
    let mut power = reduce(2, polynomial);
    (1..=degree / 2).all(|_| {
        power = multiply(power, power, polynomial);
        common_divisor(polynomial, power ^ 2) == 1
    })
}

/// Reads the polynomial of a config: hexadecimal, irreducible, of a degree that the chunker can use.
pub fn parse(hexadecimal: &str) -> Result<u64, PolynomialError> {
    let not_a_number = || PolynomialError::NotANumber(hexadecimal.to_owned());
    if !hexadecimal.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Err(not_a_number());
    }
    let polynomial = u64::from_str_radix(hexadecimal, 16).map_err(|_| not_a_number())?;
    match degree(polynomial).unwrap_or(0) {
        8..=DEGREE if is_irreducible(polynomial) => Ok(polynomial),
        8..=DEGREE => Err(PolynomialError::Reducible(polynomial)),
        degree => Err(PolynomialError::Degree { polynomial, degree }),
    }
}

/// How a config names a polynomial: lower-case hexadecimal without prefix or leading zeros.
pub fn format(polynomial: u64) -> String {
    format!("{polynomial:x}")
}

/// The largest exponent; none for zero.
pub(crate) fn degree(polynomial: u64) -> Option<u32> {
    polynomial.checked_ilog2()
}

/// The remainder of `dividend` divided by `divisor`, which must not be zero.
pub(crate) fn reduce(mut dividend: u64, divisor: u64) -> u64 {
    while dividend.leading_zeros() <= divisor.leading_zeros() && dividend != 0 {
        dividend ^= divisor << (divisor.leading_zeros() - dividend.leading_zeros());
    }
    dividend
}

/// `left * right` modulo `modulus`; both are reduced already.
fn multiply(left: u64, mut right: u64, modulus: u64) -> u64 {
    let (top, mut shifted, mut product) = (1 << modulus.ilog2(), left, 0);
    while right != 0 {
        if right & 1 == 1 {
            product ^= shifted;
        }
        right >>= 1;
        // A modulus of degree 63 loses its highest bit in the shift; the comparison comes before.
        let overflow = shifted & (top >> 1) != 0;
        shifted <<= 1;
        if overflow {
            shifted ^= modulus;
        }
    }
    product
}

/// The greatest common divisor of `left` (not zero) and `right`.
fn common_divisor(left: u64, right: u64) -> u64 {
    if right == 0 { left } else { common_divisor(right, reduce(left, right)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn polynomials_of_restic_are_irreducible_and_products_are_not() {
        for polynomial in [0x3DA3358B4DC173, 0x2482734cacca49, 0x284eff97db8dd7, 0b111, 0b1011, 0x11b, 2, 3] {
            assert!(is_irreducible(polynomial), "{polynomial:x}");
        }
        for polynomial in [0, 1, 4, 5, 0b1001, 0x38f1e565e288df, 0x3DA3358B4DC172, 1 << 53 | 1, 0x11b << 3] {
            assert!(!is_irreducible(polynomial), "{polynomial:x}");
        }
    }

    #[test]
    fn irreducible_means_that_trial_division_finds_no_factor() {
        for polynomial in 2..4096_u64 {
            let factor = (2..polynomial)
                .take_while(|f| f.ilog2() <= polynomial.ilog2() / 2)
                .find(|f| reduce(polynomial, *f) == 0);
            assert_eq!(is_irreducible(polynomial), factor.is_none(), "{polynomial:x} {factor:?}");
        }
    }

    #[test]
    fn random_polynomials_differ_and_survive_the_config() {
        let (one, other) = (random(), random());
        assert_ne!(one, other);
        assert_eq!(degree(one), Some(DEGREE));
        assert_eq!(parse(&format(one)), Ok(one));
    }

    #[test]
    fn bad_polynomials_in_a_config_are_refused_with_the_reason() {
        let not_a_number = |text: &str| Err(PolynomialError::NotANumber(text.to_owned()));
        for text in ["", "0x3da3358b4dc173", "+3da3358b4dc173", "3da3358b4dc173g", "123456789abcdef01"] {
            assert_eq!(parse(text), not_a_number(text));
        }
        assert_eq!(parse("0"), Err(PolynomialError::Degree { polynomial: 0, degree: 0 }));
        assert_eq!(parse("7"), Err(PolynomialError::Degree { polynomial: 7, degree: 2 }));
        assert_eq!(parse("ffffffffffffffff"), Err(PolynomialError::Degree { polynomial: u64::MAX, degree: 63 }));
        assert_eq!(parse("3da3358b4dc172"), Err(PolynomialError::Reducible(0x3DA3358B4DC172)));
    }
}
