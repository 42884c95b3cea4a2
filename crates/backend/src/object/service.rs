//! Requests of the object-store library on our own HTTP client, remembering what was seen of the one in hand.

use std::cell::Cell;
use std::fmt;
use std::pin::Pin;

use object_store::ClientOptions;
use object_store::client::{
    HttpClient, HttpConnector, HttpError, HttpErrorKind, HttpRequest, HttpResponse, HttpService,
};

use super::*;
use crate::http::{Failure, class};
use crate::runtime;

/// Slower than this an upload counts as stuck, in bytes per second.
const SLOWEST: u64 = 16 << 10;

/// How a request ended, beyond what the library tells.
#[derive(Clone, Copy, Debug)]
pub(super) struct Observed {
    pub(super) class: Class,
    pub(super) status: Option<u16>,
    pub(super) wait: Option<Duration>,
}

tokio::task_local! {
    static SEEN: Cell<Option<Observed>>;
}

/// Runs `operation` and tells how its last request ended if that was no success.
pub(super) async fn observe<T>(operation: impl Future<Output = T>) -> (T, Option<Observed>) {
    SEEN.scope(Cell::new(None), async {
        let result = operation.await;
        (result, SEEN.with(Cell::get))
    })
    .await
}

/// Status of the last answer that was no success.
pub(super) fn last_status() -> Option<u16> {
    SEEN.try_with(Cell::get).ok().flatten().and_then(|seen| seen.status)
}

fn remember(seen: Option<Observed>) {
    // Credentials may be fetched outside of an operation; nobody asks about those.
    let _ = SEEN.try_with(|cell| cell.set(seen));
}

/// Hands our client to the library.
#[derive(Clone)]
pub(super) struct Service(pub(super) reqwest::Client);

impl fmt::Debug for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Service")
    }
}

impl HttpConnector for Service {
    fn connect(&self, _: &ClientOptions) -> object_store::Result<HttpClient> {
        Ok(HttpClient::new(self.clone()))
    }
}

impl Service {
    async fn answer(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        let size = request.body().content_length() as u64;
        let patience = runtime::patience() + Duration::from_secs(size / SLOWEST);
        remember(None);
        match tokio::time::timeout(patience, HttpService::call(&self.0, request)).await {
            Ok(Ok(answer)) => {
                remember(observed(&answer));
                Ok(answer)
            }
            Ok(Err(error)) => {
                remember(Some(Observed { class: class_of(&error), status: None, wait: None }));
                Err(error)
            }
            Err(_) => Err(HttpError::new(HttpErrorKind::Timeout, runtime::Stuck(patience))),
        }
    }
}

fn observed(answer: &HttpResponse) -> Option<Observed> {
    let status = answer.status();
    if status.is_success() {
        return None;
    }
    let wait = answer.headers().get(::http::header::RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok());
    Some(Observed { class: class(status), status: Some(status.as_u16()), wait: wait.map(Duration::from_secs) })
}

fn class_of(error: &HttpError) -> Class {
    let cause = std::error::Error::source(error).and_then(|cause| cause.downcast_ref::<reqwest::Error>());
    match (cause, error.kind()) {
        (Some(cause), _) => Failure::class_of(cause),
        (None, HttpErrorKind::Connect) => Class::Offline,
        (None, _) => Class::Transient,
    }
}

impl HttpService for Service {
    fn call<'this, 'future>(
        &'this self,
        request: HttpRequest,
    ) -> Pin<Box<dyn Future<Output = Result<HttpResponse, HttpError>> + Send + 'future>>
    where
        'this: 'future,
        Self: 'future,
    {
        Box::pin(self.answer(request))
    }
}
