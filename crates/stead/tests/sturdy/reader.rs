//! A reader: the owner, signed in, who looks at a server's pages.

use std::path::Path;

use fleet::MachineId;
use jiff::Timestamp;
use store::{Secret, SessionId};

use crate::firm::Firm;

pub(crate) struct Reader<'f> {
    firm: &'f Firm,
    port: u16,
    session: Secret,
    client: reqwest::Client,
}

impl Firm {
    /// The owner, at the server at this port.
    pub(crate) fn reader(&self, port: u16) -> Reader<'_> {
        let (person, session, now) = (self.scope().person(), Secret::random(), Timestamp::now());
        let id = SessionId::made(now, rand::random());
        let system = self.store.system();
        self.runtime.block_on(system.open_session(id, person, &session, "a story", now)).expect("a session");
        Reader { firm: self, port, session, client: reqwest::Client::new() }
    }
}

impl Reader<'_> {
    /// Where a path in a snapshot is shown, or downloaded.
    pub(crate) fn at(&self, machine: MachineId, snapshot: &str, what: &str, path: &Path) -> String {
        let path = path.to_str().expect("text").replace('/', "%2F");
        format!("/machines/{machine}/snapshots/{snapshot}{what}?path={path}")
    }

    /// What is answered, whole.
    pub(crate) async fn bytes(&self, path: &str) -> Vec<u8> {
        let address = format!("http://127.0.0.1:{}{path}", self.port);
        let asked = self.client.get(address).header("cookie", format!("stead={}", self.session.text()));
        asked.send().await.expect("an answer").bytes().await.expect("all of it").to_vec()
    }

    pub(crate) fn page(&self, path: &str) -> String {
        String::from_utf8(self.firm.runtime.block_on(self.bytes(path))).expect("text")
    }

    /// The first snapshot on a machine's page of snapshots.
    pub(crate) fn newest_snapshot(&self, machine: MachineId) -> Option<String> {
        let list = format!("/machines/{machine}/snapshots");
        let page = self.page(&list);
        let (_, rest) = page.split_once(&format!("{list}/"))?;
        rest.get(..64).map(str::to_owned)
    }
}
