//! ntfy: a line on somebody's phone, with the alert behind it.

use fleet::{Condition, NoticeKind};

use super::firm::Inside;
use super::letter::{Letter, News};
use super::own::Topic;
use super::reach;
use super::sending::Unsent;

/// Sends; what was answered. Title and address are ASCII, what machines are called stands in the body.
pub(super) async fn send(topic: &Topic, inside: Inside, letter: &Letter) -> Result<String, Unsent> {
    let sent = reach::call(&topic.address, inside, |client, url| {
        let mut request = client
            .post(url)
            .header("title", letter.title())
            .header("priority", priority(letter))
            .header("click", &letter.link)
            .header("tags", tag(letter))
            .body(letter.text());
        if !topic.token.0.is_empty() {
            request = request.bearer_auth(&topic.token.0);
        }
        request
    });
    Ok(sent.await?)
}

/// 5 rings through a phone's own silence, 3 is the usual.
fn priority(letter: &Letter) -> &'static str {
    match (letter.news, letter.condition) {
        (News::Test | News::Alert(NoticeKind::Over), _) => "3",
        (_, Some(Condition::Storage | Condition::Quarantined | Condition::Messages)) => "5",
        _ => "4",
    }
}

fn tag(letter: &Letter) -> &'static str {
    match letter.news {
        News::Test => "bell",
        News::Alert(NoticeKind::Over) => "white_check_mark",
        News::Alert(_) => "warning",
    }
}
