//! A problem: why a request was not answered as asked, in words for whoever asked. Causes inside go to the observer alone.

use std::error::Error;
use std::sync::Arc;

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Redirect, Response};

/// Why a request was not answered as asked.
#[derive(Debug)]
pub(crate) enum Problem {
    /// There is no such thing, or none that this person may know of.
    NotFound,
    /// Nobody is signed in.
    SignIn,
    /// This person may see it and not do it; what it is.
    Forbidden(&'static str),
    /// The request came from another site's page, or its form is from another session.
    Foreign,
    /// An enrolment code that lets nobody in: which of the reasons it is, is nobody's business.
    WrongCode,
    /// The request makes no sense, and why.
    Invalid(String),
    /// More was sent than is taken here.
    TooLarge {
        /// Bytes that are taken.
        limit: usize,
    },
    /// Too many attempts; seconds to wait.
    TooMany(u64),
    /// Somebody else was quicker, or it is so already.
    Conflict(String),
    /// It was there, and is over; what helps.
    Gone(&'static str),
    /// It took too long.
    Slow,
    /// Something of ours is broken.
    Internal {
        /// What was being done.
        doing: String,
        /// Why it failed.
        cause: Option<Box<dyn Error + Send + Sync>>,
    },
}

impl Problem {
    /// Something inside failed while `doing` that.
    pub(crate) fn internal(doing: &str, cause: impl Into<Box<dyn Error + Send + Sync>>) -> Problem {
        Problem::Internal { doing: doing.into(), cause: Some(cause.into()) }
    }

    /// Something inside is not as it must be.
    pub(crate) fn broken(doing: &str) -> Problem {
        Problem::Internal { doing: doing.into(), cause: None }
    }

    /// The status that the browser sees.
    pub(crate) fn status(&self) -> StatusCode {
        match self {
            Problem::NotFound | Problem::WrongCode => StatusCode::NOT_FOUND,
            Problem::SignIn => StatusCode::UNAUTHORIZED,
            Problem::Forbidden(_) | Problem::Foreign => StatusCode::FORBIDDEN,
            Problem::Invalid(_) => StatusCode::UNPROCESSABLE_ENTITY,
            Problem::TooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
            Problem::TooMany(_) => StatusCode::TOO_MANY_REQUESTS,
            Problem::Conflict(_) => StatusCode::CONFLICT,
            Problem::Gone(_) => StatusCode::GONE,
            Problem::Slow => StatusCode::SERVICE_UNAVAILABLE,
            Problem::Internal { .. } => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    /// What happened, in one sentence.
    pub(crate) fn sentence(&self) -> String {
        match self {
            Problem::NotFound => "There is nothing here.".into(),
            Problem::WrongCode => "This code lets nobody in: it is mistyped, used up or too old.".into(),
            Problem::SignIn => "Sign in first.".into(),
            Problem::Forbidden(what) => format!("You may not do this here: {what}."),
            Problem::Foreign => "This request did not come from a page of this server.".into(),
            Problem::Invalid(why) | Problem::Conflict(why) => why.clone(),
            Problem::TooLarge { limit } => {
                format!("That is too large: at most {} are taken here.", fleet::size_in_words(*limit as u64))
            }
            Problem::TooMany(seconds) => format!("Too many attempts. The next one is heard in {seconds} seconds."),
            Problem::Gone(_) => "This is over.".into(),
            Problem::Slow => "This took too long, and was given up.".into(),
            Problem::Internal { .. } => "Something inside the server failed.".into(),
        }
    }

    /// What it means for the backups.
    pub(crate) fn meaning(&self) -> &'static str {
        match self {
            Problem::Internal { .. } | Problem::Slow => {
                "Backups that run are not touched by it: machines carry on by themselves. What you wanted to change may \
                 not be changed."
            }
            _ => "Nothing was changed, and no backup is touched.",
        }
    }

    /// What to do.
    pub(crate) fn advice(&self) -> &'static str {
        match self {
            Problem::NotFound => {
                "Begin at the fleet. If a link brought you here, you may not be allowed to see it any more."
            }
            Problem::WrongCode => "Look at it again, or make a new one on the server's page Enrol.",
            Problem::SignIn => "Sign in, or give your token in the header Authorization: Bearer.",
            Problem::Forbidden(_) => "Ask an owner of the tenant for a role or a grant that allows it.",
            Problem::Foreign => "Go back, load the page again and repeat what you did there.",
            Problem::Invalid(_) | Problem::Conflict(_) => "Go back; what you typed is still there.",
            Problem::TooLarge { .. } => "Send less, or in parts.",
            Problem::TooMany(_) => "Wait. If it was not you who tried, nobody has come in.",
            Problem::Gone(advice) => advice,
            Problem::Slow => "Try again in a minute. If it stays so, look at the server's own log.",
            Problem::Internal { .. } => "Try again. If it stays so, look at the server's own log: it says why.",
        }
    }

    /// What the observer is told, if it is for the people who run the server.
    pub(crate) fn for_the_log(&self) -> Option<String> {
        let Problem::Internal { doing, cause } = self else { return None };
        let mut words = format!("cannot {doing}");
        let mut next = cause.as_deref().map(|cause| cause as &(dyn Error + 'static));
        while let Some(error) = next {
            words += &format!(": {error}");
            next = error.source();
        }
        Some(words)
    }
}

impl IntoResponse for Problem {
    /// The bare answer; the frame around the routes ([`crate::frame`]) makes a page or JSON of it.
    fn into_response(self) -> Response {
        let mut response = self.status().into_response();
        if let Problem::TooMany(seconds) = self {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response.extensions_mut().insert(Arc::new(self));
        response
    }
}

impl From<store::Error> for Problem {
    fn from(error: store::Error) -> Problem {
        match error {
            store::Error::NotFound(_) => Problem::NotFound,
            store::Error::NotAllowed(act) => Problem::Forbidden(act.word()),
            store::Error::Conflict(why) => Problem::Conflict(why),
            error => Problem::internal("use the database", error),
        }
    }
}

/// After a form was done: the browser loads the page that shows the result.
pub(crate) fn see(address: &str) -> Response {
    Redirect::to(address).into_response()
}
