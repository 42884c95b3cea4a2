//! Bytes, shares, rates for people, as restic writes them: binary units, three decimals.

/// Bytes with a binary unit.
pub(crate) fn bytes(count: u64) -> String {
    const UNITS: [(u32, &str); 4] = [(40, "TiB"), (30, "GiB"), (20, "MiB"), (10, "KiB")];
    match UNITS.iter().find(|(bits, _)| count >= 1 << bits) {
        Some((bits, unit)) => format!("{:.3} {unit}", count as f64 / (1u64 << bits) as f64),
        None => format!("{count} B"),
    }
}

/// A share in percent with two decimals; nothing of nothing is 0.
pub(crate) fn percent(part: u64, whole: u64) -> String {
    let share = if whole == 0 { 0.0 } else { part as f64 / whole as f64 * 100.0 };
    format!("{:.2}%", share.min(100.0))
}

/// Parses a size such as `100`, `16k`, `5M`, `2G`, `1T` (binary) into bytes.
pub(crate) fn parse(text: &str) -> Result<u64, String> {
    let invalid = || format!("`{text}` is no size; write a number with k, M, G or T, such as 16M");
    let (digits, bits) = match text.trim_end_matches(['b', 'B']).char_indices().next_back() {
        Some((at, 'k' | 'K')) => (&text[..at], 10),
        Some((at, 'm' | 'M')) => (&text[..at], 20),
        Some((at, 'g' | 'G')) => (&text[..at], 30),
        Some((at, 't' | 'T')) => (&text[..at], 40),
        Some((at, last)) => (&text[..at + last.len_utf8()], 0),
        None => return Err(invalid()),
    };
    let number: u64 = digits.parse().map_err(|_| invalid())?;
    number.checked_mul(1 << bits).ok_or_else(invalid)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_look_as_restics_do() {
        let cases =
            [(0, "0 B"), (1023, "1023 B"), (1024, "1.000 KiB"), (3_000_009, "2.861 MiB"), (5 << 40, "5.000 TiB")];
        for (count, text) in cases {
            assert_eq!(bytes(count), text);
        }
        assert_eq!(percent(1, 3), "33.33%");
        assert_eq!(percent(0, 0), "0.00%");
    }

    #[test]
    fn sizes_are_read_with_restics_suffixes() {
        for (text, count) in
            [("0", 0), ("100", 100), ("1k", 1024), ("2K", 2048), ("3M", 3 << 20), ("4g", 4 << 30), ("1T", 1 << 40)]
        {
            assert_eq!(parse(text), Ok(count), "{text}");
        }
        for text in ["", "k", "-1", "1.5M", "x", "99999999999T", "ü", "1ü"] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
