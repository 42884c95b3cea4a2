//! Sends a file or a part of it: piece by piece from storage, one piece ahead of the reader.

use std::ops::Range;
use std::sync::Arc;

use axum::body::Body;
use axum::response::Response;
use backend::{FileName, Part};
use bytes::Bytes;
use futures_util::StreamExt;
use http::header::{ACCEPT_RANGES, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE};
use http::{HeaderValue, StatusCode};
use tokio::sync::OwnedSemaphorePermit;

use crate::refusal::{Granted, Refusal};
use crate::service::in_thread;
use crate::visit::Visit;

/// What a `Range` header asks of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Wanted {
    /// All of it, or something that we do not do, for which all of it is an allowed answer.
    Whole,
    /// These bytes.
    Part(Range<u64>),
    /// Nothing that the file has.
    Beyond,
}

/// The answer to a GET of a file. `permit` is held until the last byte is on its way.
pub(crate) async fn send(
    visit: Arc<Visit>,
    file: FileName,
    range: Option<String>,
    permit: OwnedSemaphorePermit,
) -> Granted<Response> {
    let piece = visit.gateway.options.piece.max(1) as u64;
    let its = Arc::clone(&visit);
    let (size, wanted, first) = in_thread(move || {
        let size = its.size(&file)?;
        let wanted = Wanted::parse(range.as_deref(), size);
        let bytes = wanted.bytes(size)?;
        let first = read(&its, &file, bytes.start..bytes.end.min(bytes.start.saturating_add(piece)))?;
        Ok((size, wanted, first))
    })
    .await?;
    let bytes = wanted.bytes(size)?;
    let rest = bytes.start + first.len() as u64..bytes.end;
    let body = if rest.is_empty() { Body::from(first) } else { stream(first, visit, file, rest, piece, permit) };
    let mut response = Response::new(body);
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
    headers.insert(ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    headers.insert(CONTENT_LENGTH, HeaderValue::from(bytes.end - bytes.start));
    if let Wanted::Part(Range { start, end }) = wanted {
        let told = format!("bytes {start}-{}/{size}", end.saturating_sub(1));
        headers.insert(CONTENT_RANGE, HeaderValue::from_str(&told).map_err(|_| Refusal::missing())?);
        *response.status_mut() = StatusCode::PARTIAL_CONTENT;
    }
    Ok(response)
}

fn read(visit: &Visit, file: &FileName, bytes: Range<u64>) -> Granted<Bytes> {
    if bytes.is_empty() {
        return Ok(Bytes::new());
    }
    let part = Part::Range { offset: bytes.start, length: bytes.end - bytes.start };
    visit.read(file, part).map(Bytes::from)
}

/// What was read already, and then the rest, one piece ahead. An error ends the connection: the client sees that bytes are
/// missing.
fn stream(
    first: Bytes,
    visit: Arc<Visit>,
    file: FileName,
    rest: Range<u64>,
    piece: u64,
    permit: OwnedSemaphorePermit,
) -> Body {
    let offsets = (rest.start..rest.end).step_by(piece as usize);
    let pieces = futures_util::stream::iter(offsets).map(move |offset| {
        let visit = Arc::clone(&visit);
        in_thread(move || read(&visit, &file, offset..rest.end.min(offset.saturating_add(piece))))
    });
    let rest = pieces.buffered(2).map(move |read| {
        let _held = &permit;
        read.map_err(|refusal| std::io::Error::other(refusal.words))
    });
    Body::from_stream(futures_util::stream::once(async { Ok(first) }).chain(rest))
}

impl Wanted {
    fn parse(header: Option<&str>, size: u64) -> Wanted {
        let Some(range) = header.and_then(|header| header.strip_prefix("bytes=")) else { return Wanted::Whole };
        let Some((first, last)) = range.split_once('-') else { return Wanted::Whole };
        match (number(first), number(last)) {
            (Some(first), Some(last)) if first <= last => Wanted::between(first, last.saturating_add(1).min(size)),
            (Some(first), None) if last.is_empty() => Wanted::between(first, size),
            (None, Some(tail)) if first.is_empty() => Wanted::between(size - tail.min(size), size),
            _ => Wanted::Whole,
        }
    }

    fn between(start: u64, end: u64) -> Wanted {
        if start < end { Wanted::Part(start..end) } else { Wanted::Beyond }
    }

    fn bytes(&self, size: u64) -> Granted<Range<u64>> {
        match self {
            Wanted::Whole => Ok(0..size),
            Wanted::Part(bytes) => Ok(bytes.clone()),
            Wanted::Beyond => {
                let words = format!("the file has {size} bytes");
                Err(Refusal { size: Some(size), ..Refusal::new(StatusCode::RANGE_NOT_SATISFIABLE, words) })
            }
        }
    }
}

/// Digits only: no sign, no space.
fn number(text: &str) -> Option<u64> {
    let digits = !text.is_empty() && text.bytes().all(|digit| digit.is_ascii_digit());
    digits.then(|| text.parse().unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn ranges_are_understood() {
        for (header, expected) in [
            ("bytes=0-0", Wanted::Part(0..1)),
            ("bytes=10-19", Wanted::Part(10..20)),
            ("bytes=10-", Wanted::Part(10..100)),
            ("bytes=90-500", Wanted::Part(90..100)),
            ("bytes=-7", Wanted::Part(93..100)),
            ("bytes=-700", Wanted::Part(0..100)),
            ("bytes=0-99999999999999999999999", Wanted::Part(0..100)),
            ("bytes=100-", Wanted::Beyond),
            ("bytes=99999999999999999999999-", Wanted::Beyond),
            ("bytes=-0", Wanted::Beyond),
            ("bytes=5-4", Wanted::Whole),
            ("bytes=0-1,5-6", Wanted::Whole),
            ("bytes=+1-2", Wanted::Whole),
            ("lines=1-2", Wanted::Whole),
            ("bytes=-", Wanted::Whole),
        ] {
            assert_eq!(Wanted::parse(Some(header), 100), expected, "{header}");
        }
        assert_eq!(Wanted::parse(Some("bytes=-5"), 0), Wanted::Beyond);
        assert_eq!(Wanted::parse(None, 100), Wanted::Whole);
    }

    proptest! {
        #[test]
        fn no_range_reaches_beyond_the_file(header in "(bytes=)?[0-9,+ -]{0,40}", size in any::<u64>()) {
            if let Ok(bytes) = Wanted::parse(Some(&header), size).bytes(size) {
                prop_assert!(bytes.start <= bytes.end && bytes.end <= size);
            }
        }
    }
}
