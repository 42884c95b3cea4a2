//! What was backed up: snapshots, their folders, what a name is found in, a look at a file, a download. All of it is asked
//! from the keeper and stored nowhere here; who may restore may see names and contents.

pub(crate) mod opened;

use std::time::Duration;

use api::wire::keeper::{self, Answer, EntryKind, Question};
use askama::Template;
use axum::body::Body;
use axum::extract::{Path, Query, State as Shared};
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use continuity::{Act, Verb};
use fleet::{Machine, MachineId, size_in_words};
use futures_util::{StreamExt, stream};
use serde::Deserialize;
use tokio::time::timeout;

use crate::app::App;
use crate::keepers::{self, Download, Piece};
use crate::page::{Frame, Just, Place, show};
use crate::problem::Problem;
use crate::visitor::Visitor;
use crate::when::When;
use opened::{Opened, in_image};

/// Bytes of a path, and of a text to search.
const LONGEST: usize = 4_096;
const LONGEST_TEXT: usize = 200;

/// How long the list of snapshots waits for what is in the newest.
const AT_ONCE: Duration = Duration::from_secs(5);

/// Whoever looks at backups of a machine: the machine, and whose it is.
pub(crate) async fn enter(app: &App, visitor: &Visitor, id: MachineId) -> Result<Machine, Problem> {
    let machine = app.store.within(&visitor.scope).machine(id).await?;
    let act = Act::Do(Verb::Restore);
    match visitor.scope.reach(act).machine(id, machine.client, machine.tenant) {
        true => Ok(machine),
        false => Err(Problem::Forbidden(act.word())),
    }
}

/// A snapshot's name: 64 hexadecimal digits.
pub(crate) fn snapshot(text: &str) -> Result<String, Problem> {
    let good = text.len() == 64 && text.bytes().all(|digit| matches!(digit, b'0'..=b'9' | b'a'..=b'f'));
    if good { Ok(text.to_owned()) } else { Err(Problem::Invalid("This is no snapshot's name.".into())) }
}

/// An absolute path without steps back.
pub(crate) fn path(text: &str) -> Result<String, Problem> {
    let good = text.starts_with('/')
        && text.len() <= LONGEST
        && !text.contains('\0')
        && text.split('/').all(|part| part != "." && part != "..");
    if good { Ok(text.to_owned()) } else { Err(Problem::Invalid("This is no path in a snapshot.".into())) }
}

/// The same; nothing is the top.
pub(crate) fn path_or_top(text: &str) -> Result<String, Problem> {
    if text.is_empty() { Ok("/".into()) } else { path(text) }
}

/// The path of a name in a folder.
pub(crate) fn below(folder: &str, name: &str) -> String {
    format!("{}/{name}", folder.trim_end_matches('/'))
}

fn query(pairs: &[(&str, &str)]) -> String {
    serde_urlencoded::to_string(pairs).unwrap_or_default()
}

/// The keeper said something that no question of ours is answered by.
fn something_else() -> Problem {
    Problem::Conflict("The keeper answered something else.".into())
}

/// A machine's snapshots, the newest first.
pub(crate) async fn all(app: &App, machine: MachineId) -> Result<Vec<keeper::Snapshot>, Problem> {
    match keepers::ask(app, machine, Question::Snapshots).await? {
        Answer::Snapshots(snapshots) => Ok(snapshots),
        _ => Err(something_else()),
    }
}

/// What is in a folder of a snapshot after a name, and whether there is more.
pub(crate) async fn list_of(
    app: &App,
    machine: MachineId,
    snapshot: &str,
    path: &str,
    after: Option<String>,
) -> Result<(Vec<keeper::Entry>, bool), Problem> {
    let question = Question::List { snapshot: snapshot.to_owned(), path: path.to_owned(), after };
    match keepers::ask(app, machine, question).await? {
        Answer::Entries { entries, more } => Ok((entries, more)),
        _ => Err(something_else()),
    }
}

#[derive(Template)]
#[template(path = "snapshots.html")]
struct SnapshotsPage {
    frame: Frame,
    address: String,
    machine: String,
    newest: Option<Newest>,
    older: Vec<SnapshotLine>,
    problem: Option<String>,
}

/// The newest snapshot, open where there is something to choose.
struct Newest {
    line: SnapshotLine,
    opened: Option<Opened>,
}

struct SnapshotLine {
    address: String,
    at: When,
    about: String,
}

/// `GET /machines/{machine}/snapshots`
pub(crate) async fn list(
    Shared(app): Shared<App>,
    visitor: Visitor,
    Path(id): Path<MachineId>,
) -> Result<Response, Problem> {
    let machine = enter(&app, &visitor, id).await?;
    let (snapshots, problem) = match all(&app, id).await {
        Ok(snapshots) => (snapshots, None),
        Err(Problem::Conflict(why)) => (Vec::new(), Some(why)),
        Err(problem) => return Err(problem),
    };
    let now = app.now();
    let line = |found: keeper::Snapshot| SnapshotLine {
        address: format!("/machines/{id}/snapshots/{}", found.id),
        at: When::past(found.at, now),
        about: match found.size {
            Some(size) => format!("{}, {}", found.paths.join(", "), size_in_words(size)),
            None => found.paths.join(", "),
        },
    };
    let mut snapshots = snapshots.into_iter();
    let newest = match snapshots.next() {
        Some(newest) => {
            // Why it cannot be opened at once is told to whoever opens it.
            let opened = timeout(AT_ONCE, Opened::at_first_choice(&app, id, &newest.id)).await;
            let opened = opened.ok().and_then(Result::ok);
            Some(Newest { opened, line: line(newest) })
        }
        None => None,
    };
    let page = SnapshotsPage {
        frame: Frame::new(&machine.name, Place::Fleet, &visitor, &Just::default()),
        address: format!("/machines/{id}"),
        machine: machine.name,
        newest,
        older: snapshots.map(line).collect(),
        problem,
    };
    Ok(show(&page)?.into_response())
}

#[derive(Template)]
#[template(path = "folder.html")]
struct FolderPage {
    frame: Frame,
    address: String,
    machine: String,
    snapshot: String,
    path: String,
    opened: Opened,
    download: String,
    request: String,
}

#[derive(Deserialize)]
pub(crate) struct Asked {
    #[serde(default)]
    path: String,
    after: Option<String>,
}

/// `GET /machines/{machine}/snapshots/{snapshot}`
pub(crate) async fn folder(
    Shared(app): Shared<App>,
    visitor: Visitor,
    Path((id, of)): Path<(MachineId, String)>,
    Query(asked): Query<Asked>,
) -> Result<Response, Problem> {
    let machine = enter(&app, &visitor, id).await?;
    let (of, path) = (snapshot(&of)?, path_or_top(&asked.path)?);
    let opened = Opened::folder(&app, id, &of, &path, asked.after).await?;
    let here = format!("/machines/{id}/snapshots/{of}");
    let page = FolderPage {
        frame: Frame::new(&machine.name, Place::Fleet, &visitor, &Just::default()),
        address: format!("/machines/{id}"),
        machine: machine.name,
        download: format!("{here}/download?{}", query(&[("path", &path)])),
        request: opened.request.clone(),
        opened,
        snapshot: of,
        path,
    };
    Ok(show(&page)?.into_response())
}

#[derive(Template)]
#[template(path = "preview.html")]
struct PreviewPage {
    frame: Frame,
    address: String,
    machine: String,
    snapshot: String,
    crumbs: Vec<(String, String)>,
    path: String,
    about: String,
    text: Option<String>,
    download: String,
    request: String,
}

/// `GET /machines/{machine}/snapshots/{snapshot}/preview`
pub(crate) async fn preview(
    Shared(app): Shared<App>,
    visitor: Visitor,
    Path((id, of)): Path<(MachineId, String)>,
    Query(asked): Query<Asked>,
) -> Result<Response, Problem> {
    let machine = enter(&app, &visitor, id).await?;
    let (of, path) = (snapshot(&of)?, path_or_top(&asked.path)?);
    let question = Question::Preview { snapshot: of.clone(), path: path.clone() };
    let Answer::Preview { text, size } = keepers::ask(&app, id, question).await? else {
        return Err(something_else());
    };
    note(&app, &visitor, &machine, "file look", &path).await?;
    let page = PreviewPage {
        frame: Frame::new(&machine.name, Place::Fleet, &visitor, &Just::default()),
        address: format!("/machines/{id}"),
        machine: machine.name,
        crumbs: opened::crumbs(
            &format!("/machines/{id}/snapshots/{of}"),
            path.rsplit_once('/').map_or("", |(above, _)| above),
        ),
        about: size_in_words(size),
        text,
        download: format!("/machines/{id}/snapshots/{of}/download?{}", query(&[("path", &path)])),
        request: hex::encode(app.random()?),
        snapshot: of,
        path,
    };
    Ok(show(&page)?.into_response())
}

/// Whoever reads what a machine holds is in the log.
async fn note(app: &App, visitor: &Visitor, machine: &Machine, act: &'static str, path: &str) -> Result<(), Problem> {
    let detail = format!("{path} of {}", machine.name);
    let (actor, about) = (visitor.person.actor(), machine.id.to_string());
    Ok(app.store.system().record(machine.tenant, &actor, app.now(), act, &about, &detail).await?)
}

/// `GET /machines/{machine}/snapshots/{snapshot}/download`
pub(crate) async fn download(
    Shared(app): Shared<App>,
    visitor: Visitor,
    Path((id, of)): Path<(MachineId, String)>,
    Query(asked): Query<Asked>,
) -> Result<Response, Problem> {
    let machine = enter(&app, &visitor, id).await?;
    fetched(&app, &visitor, &machine, snapshot(&of)?, path_or_top(&asked.path)?).await
}

/// A file of a snapshot, or a folder as a tar archive, as it comes from the keeper.
pub(crate) async fn fetched(
    app: &App,
    visitor: &Visitor,
    machine: &Machine,
    snapshot: String,
    path: String,
) -> Result<Response, Problem> {
    let question = Question::Fetch { snapshot, path: path.clone() };
    let download = keepers::fetch(app, machine.id, question).await?;
    note(app, visitor, machine, "file download", &path).await?;
    Ok(streamed(download))
}

/// The bytes as they come. A download that is broken off ends as an error, never as a shorter file.
fn streamed(download: Download) -> Response {
    let Download { name, size, pieces, asked } = download;
    let pieces = stream::unfold(Some((pieces, asked)), |from| async {
        let (mut pieces, asked) = from?;
        match pieces.recv().await {
            Some(Piece::Bytes(bytes)) => Some((Ok(bytes), Some((pieces, asked)))),
            Some(Piece::End) => None,
            None => Some((Err(std::io::Error::other("the keeper broke off")), None)),
        }
    });
    // Whoever is between may ask once more after the end.
    let mut response = Body::from_stream(pieces.fuse()).into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
    let name: String = name.chars().filter(|c| !c.is_control()).take(200).collect();
    let name = query(&[("n", &name)]).replace('+', "%20");
    let disposition = format!("attachment; filename*=UTF-8''{}", name.trim_start_matches("n="));
    if let Ok(disposition) = HeaderValue::from_str(&disposition) {
        headers.insert(header::CONTENT_DISPOSITION, disposition);
    }
    if let Some(size) = size {
        headers.insert(header::CONTENT_LENGTH, HeaderValue::from(size));
    }
    // What is somebody's file is not compressed on the way: its length is told.
    headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static("identity"));
    response
}

#[derive(Template)]
#[template(path = "search.html")]
struct SearchPage {
    frame: Frame,
    address: String,
    machine: String,
    text: String,
    request: String,
    places: Vec<PlaceLine>,
    more: bool,
    incomplete: Option<String>,
}

struct PlaceLine {
    path: String,
    snapshot: String,
    address: String,
    about: String,
    at: When,
    may_return: bool,
}

#[derive(Deserialize)]
pub(crate) struct Sought {
    #[serde(default)]
    text: String,
}

/// What a search found.
#[derive(Default)]
pub(crate) struct Hits {
    /// Where, the newest first.
    pub(crate) places: Vec<keeper::Place>,
    /// Whether there are more.
    pub(crate) more: bool,
    /// Why names may be missing.
    pub(crate) incomplete: Option<String>,
}

/// What is looked for, of what was typed.
pub(crate) fn searched(text: &str) -> String {
    text.trim().chars().take(LONGEST_TEXT).collect()
}

/// Looks for names that contain this, in all snapshots; nothing is found nowhere.
pub(crate) async fn search(app: &App, machine: MachineId, text: &str) -> Result<Hits, Problem> {
    if text.is_empty() {
        return Ok(Hits::default());
    }
    match keepers::ask(app, machine, Question::Search { text: text.to_owned() }).await? {
        Answer::Places { places, more, incomplete } => Ok(Hits { places, more, incomplete }),
        _ => Err(something_else()),
    }
}

/// `GET /machines/{machine}/find`
pub(crate) async fn find(
    Shared(app): Shared<App>,
    visitor: Visitor,
    Path(id): Path<MachineId>,
    Query(sought): Query<Sought>,
) -> Result<Response, Problem> {
    let machine = enter(&app, &visitor, id).await?;
    let text = searched(&sought.text);
    let Hits { places, more, incomplete } = search(&app, id, &text).await?;
    let now = app.now();
    let line = |found: keeper::Place| {
        let here = format!("/machines/{id}/snapshots/{}", found.snapshot);
        let asked = query(&[("path", &found.path)]);
        let address = match found.kind {
            EntryKind::File => format!("{here}/preview?{asked}"),
            _ => format!("{here}?{asked}"),
        };
        let may_return = !in_image(&found.path);
        let (about, at) = (size_in_words(found.size), When::past(found.at, now));
        PlaceLine { address, path: found.path, snapshot: found.snapshot, about, at, may_return }
    };
    let page = SearchPage {
        frame: Frame::new(&machine.name, Place::Fleet, &visitor, &Just::default()),
        address: format!("/machines/{id}"),
        machine: machine.name,
        text,
        request: hex::encode(app.random()?),
        places: places.into_iter().map(line).collect(),
        more,
        incomplete,
    };
    Ok(show(&page)?.into_response())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_and_names_that_are_none_are_refused() {
        assert!(path("/home/müller/a b.txt").is_ok());
        for bad in ["", "home", "/a/../b", "/./a", "/a\0b"] {
            assert!(path(bad).is_err(), "{bad:?}");
        }
        assert!(snapshot(&"ab".repeat(32)).is_ok());
        assert!(snapshot("../../etc").is_err() && snapshot(&"AB".repeat(32)).is_err());
    }
}
