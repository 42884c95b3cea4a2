//! From a request to an answer.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Extension, Router};
use backend::FileName;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE, EXPECT, RANGE, SERVER};
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::body::{Pace, Pieces, receive};
use crate::gateway::{Caller, Gateway};
use crate::refusal::{Granted, Refusal};
use crate::target::Target;
use crate::visit::Visit;
use crate::{Meter, Viewer, download, listing, meter};

/// Who we say we are.
const NAME: &str = concat!("stead-gateway/", env!("CARGO_PKG_VERSION"));

/// So long a request waits while others are sent and received.
const TURN: Duration = Duration::from_secs(60);

/// What answers need.
#[derive(Clone)]
pub(crate) struct Service {
    pub(crate) gateway: Arc<Gateway>,
    pub(crate) pace: Pace,
    /// Files that are received and sent at the same time.
    pub(crate) transfers: Arc<Semaphore>,
    pub(crate) meter: Option<(Meter, Viewer)>,
}

impl Service {
    pub(crate) fn router(self) -> Router {
        Router::new().route("/metrics", get(metrics)).fallback(answer).with_state(self)
    }

    async fn turn(&self) -> Granted<OwnedSemaphorePermit> {
        let turn = tokio::time::timeout(TURN, Arc::clone(&self.transfers).acquire_owned()).await;
        turn.ok().and_then(Result::ok).ok_or_else(|| Refusal::unavailable("too many files are on their way"))
    }
}

/// Runs what may wait for storage in a thread of its own.
pub(crate) async fn in_thread<T: Send + 'static>(work: impl FnOnce() -> Granted<T> + Send + 'static) -> Granted<T> {
    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or_else(|_| Err(Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, "the gateway failed")))
}

async fn metrics(
    State(service): State<Service>,
    Extension(address): Extension<SocketAddr>,
    headers: HeaderMap,
) -> Response {
    let authorization = headers.get(AUTHORIZATION).and_then(|header| header.to_str().ok());
    match &service.meter {
        Some((meter, viewer)) if viewer.may(address.ip(), authorization) => meter.render().into_response(),
        Some(_) => Refusal::forbidden("figures are for others").into_response(),
        None => Refusal::missing().into_response(),
    }
}

async fn answer(
    State(service): State<Service>,
    Extension(address): Extension<SocketAddr>,
    request: Request,
) -> Response {
    let method = request.method().clone();
    let mut response = match service.handle(request, address.ip()).await {
        Ok(response) => response,
        Err(refusal) => {
            if let Some(cause) = refusal.cause.as_ref().filter(|_| refusal.status.is_server_error()) {
                (service.gateway.options.trouble)(cause);
            }
            refusal.into_response()
        }
    };
    response.headers_mut().insert(SERVER, HeaderValue::from_static(NAME));
    meter::answered(&method, response.status());
    response
}

impl Service {
    async fn handle(&self, request: Request, address: IpAddr) -> Granted<Response> {
        let (head, body) = request.into_parts();
        let caller = Caller { address, credential: credential(&head.headers) };
        let target = Target::parse(head.uri.path());
        let gateway = Arc::clone(&self.gateway);
        let admitted = in_thread(move || {
            let target = target.ok_or_else(Refusal::missing)?;
            let visit = gateway.admit(&caller, target.repository())?;
            Ok((target, Arc::new(visit)))
        });
        let (target, visit) = admitted.await?;
        match (&head.method, target) {
            (&Method::GET, Target::List(_, kind)) => list(visit, kind, text(&head.headers, ACCEPT)).await,
            (&Method::GET, Target::File(_, file)) => {
                download::send(visit, file, text(&head.headers, RANGE), self.turn().await?).await
            }
            (&Method::HEAD, Target::File(_, file)) => look(visit, file).await,
            (&Method::POST, Target::File(_, file)) => self.store(visit, file, &head, body).await,
            (&Method::POST, Target::Repository(_)) => create(visit, head.uri.query()).await,
            (&Method::DELETE, Target::File(_, file)) => done(in_thread(move || visit.remove(&file)).await),
            (&Method::DELETE, Target::Repository(_)) => {
                Err(Refusal::forbidden("a repository is never removed through the gateway"))
            }
            _ => Err(Refusal::new(StatusCode::METHOD_NOT_ALLOWED, "the protocol has no such request")),
        }
    }

    async fn store(&self, visit: Arc<Visit>, file: FileName, head: &Parts, body: Body) -> Granted<Response> {
        let length = text(&head.headers, CONTENT_LENGTH).and_then(|length| length.parse().ok());
        let _turn = self.turn().await?;
        let its = Arc::clone(&visit);
        let mut pieces = Pieces::new(body, self.pace);
        let result = match in_thread(move || its.begin(&file, length)).await {
            Ok(intake) => receive(&mut pieces, intake, &visit).await,
            Err(refusal) => Err(refusal),
        };
        // Who waits to be told to go on needs no hearing out.
        if result.is_err() && !head.headers.contains_key(EXPECT) {
            pieces.hear_out().await;
        }
        done(result)
    }
}

async fn list(visit: Arc<Visit>, kind: backend::FileKind, accept: Option<String>) -> Granted<Response> {
    let (media_type, body) = in_thread(move || Ok(listing::write(&visit.list(kind)?, accept.as_deref()))).await?;
    let mut response = Response::new(Body::from(body));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(media_type));
    Ok(response)
}

async fn look(visit: Arc<Visit>, file: FileName) -> Granted<Response> {
    let size = in_thread(move || visit.size(&file)).await?;
    let mut response = Response::new(Body::empty());
    response.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from(size));
    Ok(response)
}

async fn create(visit: Arc<Visit>, query: Option<&str>) -> Granted<Response> {
    if query != Some("create=true") {
        return Err(Refusal::new(StatusCode::BAD_REQUEST, "a repository is made with ?create=true"));
    }
    done(in_thread(move || visit.create()).await)
}

fn done(result: Granted<()>) -> Granted<Response> {
    result.map(|()| StatusCode::OK.into_response())
}

fn text(headers: &HeaderMap, name: HeaderName) -> Option<String> {
    headers.get(name)?.to_str().ok().map(str::to_owned)
}

/// User and password of basic authentication.
fn credential(headers: &HeaderMap) -> Option<(String, String)> {
    let (scheme, encoded) = headers.get(AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let decoded = String::from_utf8(STANDARD.decode(encoded.trim()).ok()?).ok()?;
    let (user, password) = decoded.split_once(':')?;
    Some((user.to_owned(), password.to_owned()))
}
