//! Answers to questions, at once or not at all. Whoever asked may go: then the work stops.

use api::wire;
use api::wire::keeper::{Answer, FromKeeper, Kept, Question};
use repo::Repository;
use repo::snapshot::Snapshot;
use tokio::sync::mpsc;

use crate::sites::Sites;
use crate::storage::{Believes, Stop};
use crate::{Error, Result};

mod archive;
mod fetch;
mod list;
mod preview;
mod search;
mod sheet;
mod snapshots;
mod spot;

/// Bytes of a piece of a download.
pub(crate) const PIECE: usize = 256 << 10;

/// What goes out beside events: answers, and pieces of downloads.
#[derive(Debug)]
pub(crate) enum Out {
    Text(String),
    Bytes(Vec<u8>),
}

/// Whoever asked: gets one answer, or a beginning, pieces and an end.
pub(crate) struct Asker {
    pub(crate) ask: u64,
    pub(crate) out: mpsc::Sender<Out>,
    pub(crate) stop: Stop,
}

impl Asker {
    /// Says something; waits while the connection has no room. An error once nobody listens any more.
    fn say(&self, answer: std::result::Result<Answer, String>) -> Result<()> {
        let text = wire::written(&FromKeeper::Answer { ask: self.ask, answer });
        let text = text.map_err(|error| Error::Refused(format!("cannot write an answer: {error}")))?;
        self.send(Out::Text(text))
    }

    /// Sends a piece of a download.
    fn piece(&self, bytes: &[u8]) -> Result<()> {
        self.send(Out::Bytes([&self.ask.to_be_bytes()[..], bytes].concat()))
    }

    fn send(&self, out: Out) -> Result<()> {
        self.stop.check()?;
        self.out.blocking_send(out).map_err(|_| Error::Cancelled)
    }
}

/// Answers, on a thread that may wait.
pub(crate) fn answer(sites: &Sites, machine: &Kept, question: Question, asker: &Asker) {
    let answered = match question {
        Question::Fetch { snapshot, path } => fetch::fetch(sites, machine, &snapshot, &path, asker),
        question => short(sites, machine, question, asker).and_then(|answer| asker.say(Ok(answer))),
    };
    if let Err(error) = answered {
        // Nobody listens any more, or this is what they hear.
        let _ = asker.say(Err(error.words()));
    }
}

fn short(sites: &Sites, machine: &Kept, question: Question, asker: &Asker) -> Result<Answer> {
    let site = sites.site(machine, asker.stop.clone())?;
    match question {
        Question::Snapshots => snapshots::snapshots(&site),
        Question::List { snapshot, path, after } => list::list(&site, &snapshot, &path, after.as_deref()),
        Question::Search { text } => search::search(&site, &text),
        Question::Preview { snapshot, path } => preview::preview(&site, &snapshot, &path),
        Question::RecoverySheet { client } => sheet::sheet(&site, &client),
        Question::ProveSheet { client, groups } => sheet::prove(&site, &client, &groups),
        Question::Fetch { .. } => Err(Error::Refused("a download is no short answer".into())),
    }
}

/// Opens a repository and a snapshot of it.
fn open_snapshot(site: &crate::work::Site, name: &str) -> Result<(std::sync::Arc<Repository>, repo::Id, Snapshot)> {
    let id = name.parse().map_err(|_| Error::Refused(format!("{name:?} is no snapshot's name")))?;
    let repo = site.open(Believes::Cache)?;
    let snapshot = repo.find_snapshot(name, &repo::snapshot::SnapshotFilter::default())?.snapshot;
    Ok((repo, id, snapshot))
}
