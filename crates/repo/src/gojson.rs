//! JSON as Go's `encoding/json` writes it, and names as Go's `strconv.Quote` does.
//!
//! Trees are hashed, so every byte matters: restic refuses to rewrite a tree that it would encode differently.

/// Appends `text` as a JSON string.
pub fn string(_text: &str, _out: &mut Vec<u8>) {
    todo!()
}

/// `strconv.Quote` of raw bytes without the outer quotes.
pub fn quote_name(_name: &[u8]) -> String {
    todo!()
}

/// `strconv.Unquote` of a stored name; `None` if it is not well-formed.
pub fn unquote_name(_quoted: &str) -> Option<Vec<u8>> {
    todo!()
}
