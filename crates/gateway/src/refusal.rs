//! Why a request is not done, as a status that clients understand and words for people.

use std::error::Error;

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use backend::Class;
use http::header::{CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderValue, StatusCode};

use crate::{AccessError, LedgerError};

/// Seconds after which a client may ask again when the storage was away.
const SHORTLY: u64 = 10;

/// An answer that is no success.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) status: StatusCode,
    pub(crate) words: String,
    /// Seconds after which it is worth asking again.
    pub(crate) retry_after: Option<u64>,
    /// What has to be said with a range beyond the end: the file's size.
    pub(crate) size: Option<u64>,
    /// What the gateway's keeper should know and the client need not: the storage's own words, which name places.
    pub(crate) cause: Option<String>,
}

/// What came of it.
pub(crate) type Granted<T> = Result<T, Refusal>;

impl Refusal {
    pub(crate) fn new(status: StatusCode, words: impl Into<String>) -> Refusal {
        Refusal { status, words: words.into(), retry_after: None, size: None, cause: None }
    }

    /// Wrong or no credential: the client may show another.
    pub(crate) fn stranger() -> Refusal {
        Refusal::new(StatusCode::UNAUTHORIZED, "wrong user or password")
    }

    /// This credential may not do it.
    pub(crate) fn forbidden(words: impl Into<String>) -> Refusal {
        Refusal::new(StatusCode::FORBIDDEN, words)
    }

    /// No such thing.
    pub(crate) fn missing() -> Refusal {
        Refusal::new(StatusCode::NOT_FOUND, "not found")
    }

    /// Later, in so many seconds.
    pub(crate) fn later(status: StatusCode, words: impl Into<String>, seconds: u64) -> Refusal {
        Refusal { retry_after: Some(seconds.max(1)), ..Refusal::new(status, words) }
    }

    /// Other bytes are stored under that name.
    pub(crate) fn exists() -> Refusal {
        Refusal::forbidden("a different file of that name is stored, and nothing is overwritten")
    }

    /// The same refusal with what is behind it.
    pub(crate) fn because(mut self, error: &(dyn Error + 'static)) -> Refusal {
        let mut words = error.to_string();
        let mut next = error.source();
        while let Some(cause) = next {
            words = format!("{words}: {cause}");
            next = cause.source();
        }
        self.cause = Some(words);
        self
    }

    /// Something of ours does not work; clients try again.
    pub(crate) fn unavailable(words: impl Into<String>) -> Refusal {
        Refusal::later(StatusCode::SERVICE_UNAVAILABLE, words, SHORTLY)
    }
}

impl From<backend::Error> for Refusal {
    fn from(error: backend::Error) -> Refusal {
        let refusal = match error.class {
            Class::NotFound => Refusal::missing(),
            Class::Full => Refusal::new(StatusCode::INSUFFICIENT_STORAGE, "the gateway's storage is full"),
            Class::Rejected if error.message.contains("different file") => Refusal::exists(),
            Class::Offline | Class::Throttled | Class::Transient => {
                let seconds = error.retry_after.map_or(SHORTLY, |wait| wait.as_secs());
                Refusal::later(StatusCode::SERVICE_UNAVAILABLE, "the gateway's storage cannot be reached now", seconds)
            }
            Class::Corrupt => Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, "the stored file is damaged"),
            Class::Rejected | Class::Untrusted | Class::Permanent => {
                Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, "the gateway cannot use its storage")
            }
        };
        refusal.because(&error)
    }
}

impl From<LedgerError> for Refusal {
    fn from(error: LedgerError) -> Refusal {
        let refusal = match error.is_full() {
            true => Refusal::new(StatusCode::INSUFFICIENT_STORAGE, "the gateway has no room for its receipts"),
            false => Refusal::unavailable("the gateway cannot write its receipts now"),
        };
        refusal.because(&error)
    }
}

impl From<AccessError> for Refusal {
    fn from(error: AccessError) -> Refusal {
        Refusal::unavailable("the gateway cannot look accounts up now").because(&error)
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let mut response = Response::new(Body::from(self.words + "\n"));
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
        if self.status == StatusCode::UNAUTHORIZED {
            headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Basic realm=\"stead\", charset=\"UTF-8\""));
        }
        if let Some(seconds) = self.retry_after {
            headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
        }
        if let Some(size) = self.size.and_then(|size| HeaderValue::from_str(&format!("bytes */{size}")).ok()) {
            headers.insert(http::header::CONTENT_RANGE, size);
        }
        response
    }
}
