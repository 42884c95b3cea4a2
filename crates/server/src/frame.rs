//! The frame around every answer: security headers, where requests may come from, how large and how slow they may be,
//! and how problems look.

use std::sync::Arc;
use std::time::Duration;

use askama::Template;
use axum::Json;
use axum::body::{Body, BodyDataStream, Bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Version, header};
use axum::middleware::Next;
use axum::response::{Html, IntoResponse, Response};
use futures_util::StreamExt;
use serde::Serialize;
use tokio::time::timeout;

use crate::app::App;
use crate::observer::Event;
use crate::page::Frame;
use crate::problem::Problem;

/// Bytes of a request's body that are taken anywhere.
pub(crate) const LIMIT: usize = 256 << 10;

const SLOW: Duration = Duration::from_secs(30);

/// What is read of a body that is refused, and for how long at most.
const DRAINED: usize = 2 << 20;
const DRAINING: Duration = Duration::from_secs(3);

/// No script and no style but our own files, nothing from anywhere else, in nobody's frame.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
                      form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

const HEADERS: [(HeaderName, &str); 7] = [
    (header::CONTENT_SECURITY_POLICY, POLICY),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::REFERRER_POLICY, "same-origin"),
    (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    (HeaderName::from_static("permissions-policy"), "camera=(), geolocation=(), microphone=()"),
    (header::X_FRAME_OPTIONS, "DENY"),
];

/// What an answer to a request depends on when it is a problem.
struct Asked {
    wants_json: bool,
    /// Where somebody wanted to go; what changes something is not repeated.
    next: String,
}

impl Asked {
    fn of(request: &Request) -> Asked {
        let (uri, is_get) = (request.uri(), request.method() == Method::GET);
        let next = uri.path_and_query().filter(|path| is_get && path.as_str().len() < 1_000);
        Asked { wants_json: uri.path().starts_with("/api/"), next: next.map_or("/", |path| path.as_str()).to_owned() }
    }
}

/// Middleware around all routes.
pub(crate) async fn around(State(app): State<App>, request: Request, next: Next) -> Response {
    let is_http1 = request.version() <= Version::HTTP_11;
    let asked = Asked::of(&request);
    let answered = match judge(&request) {
        Err(problem) => {
            if !is_http1 && matches!(problem, Problem::TooLarge { .. }) {
                drain(&mut request.into_body().into_data_stream()).await;
            }
            problem.into_response()
        }
        Ok(()) => match timeout(SLOW, next.run(request)).await {
            Ok(response) => response,
            Err(_) => Problem::Slow.into_response(),
        },
    };
    let mut response = told(&app, answered, &asked);
    let is_too_large = response.status() == StatusCode::PAYLOAD_TOO_LARGE;
    let headers = response.headers_mut();
    if is_too_large && is_http1 {
        // The rest of what is being sent is not read. HTTP/2 ends the stream, and knows no such header.
        headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    for (name, value) in HEADERS {
        headers.insert(name, HeaderValue::from_static(value));
    }
    // What a page says is true now, for this person.
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    response
}

/// A body in memory, if it is no larger than that.
pub(crate) async fn whole(body: Body, limit: usize) -> Result<Bytes, Problem> {
    let (mut pieces, mut whole) = (body.into_data_stream(), Vec::new());
    while let Some(piece) = pieces.next().await {
        let piece = piece.map_err(|_| Problem::Invalid("The request ended in the middle.".into()))?;
        if whole.len() + piece.len() > limit {
            drain(&mut pieces).await;
            return Err(Problem::TooLarge { limit });
        }
        whole.extend_from_slice(&piece);
    }
    Ok(whole.into())
}

/// Reads some of what is not wanted: a client that is busy sending, over HTTP/2 most of all, hears why only then.
async fn drain(pieces: &mut BodyDataStream) {
    let reading = async {
        let mut left = DRAINED;
        while let Some(Ok(piece)) = pieces.next().await {
            left = left.saturating_sub(piece.len());
            if left == 0 {
                return;
            }
        }
    };
    _ = timeout(DRAINING, reading).await;
}

/// What can be said of a request before anybody reads it.
fn judge(request: &Request) -> Result<(), Problem> {
    let headers = request.headers();
    let length = headers.get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
    if length.is_some_and(|length| length > LIMIT as u64) {
        return Err(Problem::TooLarge { limit: LIMIT });
    }
    let changes = !matches!(*request.method(), Method::GET | Method::HEAD | Method::OPTIONS);
    // A token is put in by a program on purpose; a browser sends none by itself.
    let by_token = headers.contains_key(header::AUTHORIZATION);
    match changes && !by_token && !is_from_here(headers, request.uri().authority().map(|host| host.as_str())) {
        true => Err(Problem::Foreign),
        false => Ok(()),
    }
}

/// Whether a browser says that one of our own pages asks. What says neither where it comes from is no browser's page.
fn is_from_here(headers: &HeaderMap, authority: Option<&str>) -> bool {
    let text = |name: &str| headers.get(name).map(|value| value.to_str().unwrap_or("?"));
    if let Some(site) = text("sec-fetch-site") {
        return matches!(site, "same-origin" | "none");
    }
    let Some(origin) = text("origin") else { return true };
    let host = text("host").or(authority);
    let origin = origin.strip_prefix("https://").or_else(|| origin.strip_prefix("http://"));
    origin.is_some() && origin == host
}

/// Makes a page, or JSON, of a problem; tells the observer what is for people who run the server.
fn told(app: &App, mut response: Response, asked: &Asked) -> Response {
    let problem = match response.extensions_mut().remove::<Arc<Problem>>() {
        Some(problem) => problem,
        None => return dressed(response, asked),
    };
    if let Some(words) = problem.for_the_log() {
        app.observe(Event::Problem(words));
    }
    shown(response, &problem, asked)
}

/// The framework's own refusals (no such route, wrong method) become problems too.
fn dressed(response: Response, asked: &Asked) -> Response {
    let problem = match response.status().as_u16() {
        404 if response.headers().get(header::CONTENT_TYPE).is_none() => Problem::NotFound,
        400 => Problem::Invalid("The address cannot be understood.".into()),
        405 => Problem::Invalid("This cannot be asked for in this way.".into()),
        _ => return response,
    };
    shown(response, &problem, asked)
}

#[derive(Template)]
#[template(path = "problem.html")]
struct ProblemPage<'p> {
    frame: Frame,
    status: u16,
    sentence: String,
    meaning: &'p str,
    advice: &'p str,
    /// Where to go after signing in, if that is what is missing.
    sign_in: Option<&'p str>,
}

/// A problem on the wire.
#[derive(Serialize)]
struct ProblemBody<'p> {
    status: u16,
    sentence: String,
    meaning: &'p str,
    advice: &'p str,
}

fn shown(response: Response, problem: &Problem, asked: &Asked) -> Response {
    let status = response.status();
    let (sentence, meaning, advice) = (problem.sentence(), problem.meaning(), problem.advice());
    let body = if asked.wants_json {
        Json(ProblemBody { status: status.as_u16(), sentence, meaning, advice }).into_response()
    } else {
        let frame = Frame::outside("Problem");
        let sign_in = matches!(problem, Problem::SignIn).then_some(asked.next.as_str());
        let page = ProblemPage { frame, status: status.as_u16(), sentence, meaning, advice, sign_in };
        page.render().map_or_else(|_| advice.into_response(), |html| Html(html).into_response())
    };
    let mut dressed = (status, body).into_response();
    for name in [header::RETRY_AFTER, header::ALLOW, header::SET_COOKIE] {
        if let Some(value) = response.headers().get(&name) {
            dressed.headers_mut().insert(name, value.clone());
        }
    }
    dressed
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_ours(pairs: &[(&'static str, &'static str)]) -> bool {
        let pairs = pairs.iter().map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)));
        is_from_here(&pairs.collect(), None)
    }

    #[test]
    fn what_another_site_sends_is_foreign() {
        assert!(is_ours(&[("sec-fetch-site", "same-origin")]));
        assert!(!is_ours(&[("sec-fetch-site", "cross-site")]));
        assert!(!is_ours(&[("sec-fetch-site", "same-site")]));
        assert!(is_ours(&[("host", "backup.example:8443"), ("origin", "https://backup.example:8443")]));
        assert!(!is_ours(&[("host", "backup.example:8443"), ("origin", "https://evil.example")]));
        assert!(!is_ours(&[("host", "backup.example"), ("origin", "null")]));
        assert!(is_ours(&[("host", "backup.example")]));
    }
}
