//! A server in a process of its own, so that it can be killed: this test's own program, begun again for one story.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use fleet::Zone;
use jiff::{SignedDuration, Timestamp};
use stead_server::listen::{Door, Protection};
use stead_server::seal::Seal;
use stead_server::{Facade, Setup};
use store::Store;

/// Where the process finds its folder; who begins the story without it runs nothing.
const FOLDER: &str = "STEAD_TEST_SERVER";

/// By how many seconds its clock is ahead.
const AHEAD: &str = "STEAD_TEST_AHEAD";

/// A server that runs in a process of its own.
pub(crate) struct Process(Child);

impl Process {
    /// Begins one on the database in a folder.
    pub(crate) fn begin(folder: &Path, ahead: SignedDuration) -> Process {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["process::serves_until_it_is_killed", "--exact", "--nocapture"]);
        command.env(FOLDER, folder).env(AHEAD, ahead.as_secs().to_string());
        Process(command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap())
    }

    /// Ends it with SIGKILL, wherever it is.
    pub(crate) fn kill(mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        _ = self.0.kill();
        _ = self.0.wait();
    }
}

/// No story of its own: what other stories begin as a process. Begun by itself it has nothing to do.
#[tokio::test(flavor = "multi_thread")]
async fn serves_until_it_is_killed() {
    let (Some(folder), Ok(ahead)) = (std::env::var_os(FOLDER), std::env::var(AHEAD)) else { return };
    let (folder, ahead) = (Path::new(&folder), SignedDuration::from_secs(ahead.parse().unwrap()));
    let store = Store::open(&format!("sqlite:{}", folder.join("stead.db").display())).await.unwrap();
    let door = Door::open("127.0.0.1:0".parse().unwrap(), &Protection::Plain).await.unwrap();
    let facade = Facade {
        address: format!("http://{}", door.address()),
        fingerprint: String::new(),
        own_authority: true,
        zone: Zone::utc(),
        demo: false,
    };
    let setup = Setup {
        store,
        door,
        protection: Protection::Plain,
        public: None,
        facade,
        seal: Seal::at(&folder.join("server.key")).unwrap(),
        clock: Arc::new(move || Timestamp::now() + ahead),
        observer: Arc::new(|_| ()),
    };
    let running = setup.start();
    // Whoever began it is gone after five minutes at the latest, and so is this.
    tokio::time::sleep(std::time::Duration::from_secs(300)).await;
    running.stop().await;
}
