//! Live: the parts of a page that move are sent again whenever they changed, until they can be read no more.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use askama::Template;
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::{Stream, StreamExt, stream};
use jiff::Timestamp;

use crate::app::App;
use crate::problem::Problem;
use crate::visitor::Visitor;

/// A stream ends after this long; the browser asks again, and is judged again.
const LONGEST: Duration = Duration::from_secs(300);

/// A silent stream says so this often, so that nobody on the way closes it.
const ALIVE: Duration = Duration::from_secs(15);

/// A part of a page as it is now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Part {
    /// What the page's script knows it by.
    word: &'static str,
    html: String,
}

impl Part {
    /// That part, filled.
    pub(crate) fn of(word: &'static str, template: &impl Template) -> Result<Part, Problem> {
        let html = template.render().map_err(|error| Problem::internal("fill a page", error))?;
        Ok(Part { word, html })
    }

    fn event(self) -> Event {
        Event::default().event(self.word).data(self.html.replace('\r', " "))
    }
}

/// Looks every `period`, at full periods of the clock: whoever looks, at whichever server, looks at the same moments, and two
/// people on the phone see the same figure. Who may not see it any more is told so by the end of the stream.
pub(crate) fn answer<R, F>(app: App, visitor: Visitor, period: Duration, read: R) -> Response
where
    R: Fn(App, Visitor) -> F + Send + 'static,
    F: Future<Output = Result<Vec<Part>, Problem>> + Send + 'static,
{
    let events = changes(app.clone(), visitor, period, read).take_until(Box::pin(over(app)));
    Sse::new(events).keep_alive(KeepAlive::new().interval(ALIVE)).into_response()
}

async fn over(app: App) {
    _ = tokio::time::timeout(LONGEST, app.stopped()).await;
}

/// What changed since it was sent last, look by look. What is empty is not sent: it stays until the page is loaded again.
fn changes<R, F>(app: App, visitor: Visitor, period: Duration, read: R) -> impl Stream<Item = Result<Event, Infallible>>
where
    R: Fn(App, Visitor) -> F + Send + 'static,
    F: Future<Output = Result<Vec<Part>, Problem>> + Send + 'static,
{
    let visitor = Arc::new(visitor);
    let looks = stream::unfold((read, BTreeMap::new()), move |(read, mut shown)| {
        let (app, visitor) = (app.clone(), Arc::clone(&visitor));
        async move {
            tokio::time::sleep(until_next(app.now(), period)).await;
            let visitor = visitor.again(&app).await.ok()?;
            let parts = read(app, visitor).await.ok()?;
            let changed: Vec<Part> = parts.into_iter().filter(|part| is_news(part, &shown)).collect();
            shown.extend(changed.iter().map(|part| (part.word, part.html.clone())));
            Some((stream::iter(changed.into_iter().map(|part| Ok(part.event()))), (read, shown)))
        }
    });
    looks.flatten()
}

fn is_news(part: &Part, shown: &BTreeMap<&str, String>) -> bool {
    !part.html.is_empty() && shown.get(part.word) != Some(&part.html)
}

/// Until the next full period.
fn until_next(now: Timestamp, period: Duration) -> Duration {
    let since = now.as_nanosecond().rem_euclid(period.as_nanos() as i128);
    period.saturating_sub(Duration::from_nanos(u64::try_from(since).unwrap_or_default()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everybody_looks_at_the_same_moments() {
        let at = |text: &str| text.parse::<Timestamp>().unwrap();
        let two = Duration::from_secs(2);
        assert_eq!(until_next(at("2026-11-22T08:00:00Z"), two), two);
        assert_eq!(until_next(at("2026-11-22T08:00:01.25Z"), two), Duration::from_millis(750));
    }

    #[test]
    fn only_what_changed_is_sent_and_what_is_gone_stays() {
        let part = |html: &str| Part { word: "region", html: html.into() };
        let mut shown = BTreeMap::new();
        assert!(is_news(&part("<p>1"), &shown));
        shown.insert("region", "<p>1".into());
        assert!(!is_news(&part("<p>1"), &shown) && is_news(&part("<p>2"), &shown) && !is_news(&part(""), &shown));
    }
}
