//! What was backed up, as JSON. All of it is asked from the keeper, as the pages do; who may restore may see it.

use api::answer::backups::{Entry, Folder, Place, Places, Snapshot, Snapshots};
use api::wire::keeper;
use axum::Json;
use axum::extract::{Path, Query, State};
use axum::response::Response;
use serde::Deserialize;
use utoipa::IntoParams;

use super::{Refused, identity};
use crate::app::App;
use crate::pages::snapshots as shown;
use crate::problem::Problem;
use crate::visitor::Caller;
use crate::when::exact;

#[utoipa::path(get, path = "/api/v1/machines/{machine}/snapshots", params(("machine" = String, Path, description = "Whose")), responses(
    (status = 200, description = "The machine's snapshots, the newest first", body = Snapshots),
    Refused,
))]
pub(crate) async fn snapshots(
    State(app): State<App>,
    Caller(caller): Caller,
    Path(id): Path<String>,
) -> Result<Json<Snapshots>, Problem> {
    let machine = shown::enter(&app, &caller, identity(&id)?).await?;
    let found = shown::all(&app, machine.id).await?;
    Ok(Json(Snapshots { snapshots: found.into_iter().map(of_snapshot).collect() }))
}

fn of_snapshot(found: keeper::Snapshot) -> Snapshot {
    let keeper::Snapshot { id, at, paths, tags, size } = found;
    Snapshot { id, at: exact(at), paths, tags, size }
}

/// Which folder, and from where.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct Asked {
    /// An absolute path in the snapshot; none: the top.
    #[serde(default)]
    path: String,
    /// What comes after this name: a page's `next`.
    after: Option<String>,
}

#[utoipa::path(get, path = "/api/v1/machines/{machine}/snapshots/{snapshot}", params(
    ("machine" = String, Path, description = "Whose"),
    ("snapshot" = String, Path, description = "Which: 64 hexadecimal digits"),
    Asked,
), responses(
    (status = 200, description = "What is in the folder, by name", body = Folder),
    Refused,
))]
pub(crate) async fn folder(
    State(app): State<App>,
    Caller(caller): Caller,
    Path((id, of)): Path<(String, String)>,
    Query(asked): Query<Asked>,
) -> Result<Json<Folder>, Problem> {
    let machine = shown::enter(&app, &caller, identity(&id)?).await?;
    let (of, path) = (shown::snapshot(&of)?, shown::path_or_top(&asked.path)?);
    let (entries, more) = shown::list_of(&app, machine.id, &of, &path, asked.after).await?;
    let next = entries.last().map(|entry| entry.name.clone()).filter(|_| more);
    Ok(Json(Folder { entries: entries.into_iter().map(|entry| of_entry(&path, entry)).collect(), next }))
}

fn of_entry(folder: &str, entry: keeper::Entry) -> Entry {
    let keeper::Entry { name, kind, size, changed } = entry;
    let path = shown::below(folder, &name);
    Entry { name, path, kind: word(kind).into(), size, changed: changed.map(exact) }
}

fn word(kind: keeper::EntryKind) -> &'static str {
    match kind {
        keeper::EntryKind::File => "file",
        keeper::EntryKind::Folder => "folder",
        keeper::EntryKind::Image => "image",
        keeper::EntryKind::Other => "other",
    }
}

/// What is downloaded.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct Wanted {
    /// An absolute path in the snapshot; none: all of it.
    #[serde(default)]
    path: String,
}

#[utoipa::path(get, path = "/api/v1/machines/{machine}/snapshots/{snapshot}/download", params(
    ("machine" = String, Path, description = "Whose"),
    ("snapshot" = String, Path, description = "Which: 64 hexadecimal digits"),
    Wanted,
), responses(
    (status = 200, description = "The bytes of the file, or of a tar archive of the folder. A download that is broken off \
        ends as an error, never as a shorter file", content_type = "application/octet-stream", body = Vec<u8>),
    Refused,
))]
pub(crate) async fn download(
    State(app): State<App>,
    Caller(caller): Caller,
    Path((id, of)): Path<(String, String)>,
    Query(wanted): Query<Wanted>,
) -> Result<Response, Problem> {
    let machine = shown::enter(&app, &caller, identity(&id)?).await?;
    shown::fetched(&app, &caller, &machine, shown::snapshot(&of)?, shown::path_or_top(&wanted.path)?).await
}

/// What is looked for.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct Sought {
    /// What names contain; of 200 characters at most.
    #[serde(default)]
    text: String,
}

#[utoipa::path(get, path = "/api/v1/machines/{machine}/find", params(("machine" = String, Path, description = "Whose"), Sought), responses(
    (status = 200, description = "Where such names are, the newest snapshot first", body = Places),
    Refused,
))]
pub(crate) async fn find(
    State(app): State<App>,
    Caller(caller): Caller,
    Path(id): Path<String>,
    Query(sought): Query<Sought>,
) -> Result<Json<Places>, Problem> {
    let machine = shown::enter(&app, &caller, identity(&id)?).await?;
    let found = shown::search(&app, machine.id, &shown::searched(&sought.text)).await?;
    let places = found.places.into_iter().map(of_place).collect();
    Ok(Json(Places { places, more: found.more, incomplete: found.incomplete }))
}

fn of_place(place: keeper::Place) -> Place {
    let keeper::Place { snapshot, at, path, kind, size } = place;
    Place { snapshot, at: exact(at), path, kind: word(kind).into(), size }
}
