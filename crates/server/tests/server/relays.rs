//! Two servers on one database: a page at one asks a keeper that is connected to the other.

use api::wire::keeper::{Answer, Entry, EntryKind, FromKeeper, Question, ToKeeper};
use testkit::Postgres;

use crate::browser::Browser;
use crate::caller::Caller;
use crate::keepers::{OWNER, Stage, answers, snapshot};
use crate::shop::Shop;

/// Bytes of the file that is downloaded: more than may lie in the database at once.
const FILE: u32 = 12_000_000;

/// A keeper at one server, and somebody who looks at the other.
struct Pair {
    stage: Stage,
    other: Shop,
    keeper: Caller,
    owner: Browser,
    // Goes last: the servers remember in it.
    _postgres: Option<Postgres>,
    _room: tempfile::TempDir,
}

impl Pair {
    async fn open(postgres: Option<Postgres>) -> Pair {
        let room = tempfile::tempdir().unwrap();
        let database = match &postgres {
            Some(postgres) => postgres.database("pair"),
            None => format!("sqlite:{}", room.path().join("stead.db").display()),
        };
        let stage = Stage::on(Shop::on(&database, 1).await).await;
        let other = stage.shop.beside(&database, 2).await;
        Pair::of(stage, other, (postgres, room)).await
    }

    async fn of(mut stage: Stage, other: Shop, under: (Option<Postgres>, tempfile::TempDir)) -> Pair {
        drop(stage.seal().await);
        let owner = other.signed_in(OWNER).await;
        let keeper = Caller::welcomed(&stage.shop, &mut stage.keeper).await;
        stage.is_known_at(&other).await;
        Pair { stage, other, keeper, owner, _postgres: under.0, _room: under.1 }
    }

    fn snapshots(&self) -> String {
        format!("/machines/{}/snapshots", self.stage.machine)
    }

    fn file(&self) -> String {
        format!("{}/{}/download?path=%2Fa", self.snapshots(), "ab".repeat(32))
    }

    async fn close(self) {
        drop(self.keeper);
        self.other.close().await;
        self.stage.shop.close().await;
    }
}

impl Stage {
    /// Waits until another server knows that the keeper is connected here.
    async fn is_known_at(&self, other: &Shop) {
        let system = other.store.system();
        let keeper = system.keepers().await.unwrap()[0].id;
        while !system.keeper_is_elsewhere(keeper, fleet::Uuid::nil(), other.now()).await.unwrap() {}
    }
}

/// Begins a download, and sends as many pieces of it.
async fn sends(keeper: &mut Caller, body: &[u8], pieces: usize) -> u64 {
    let size = Some(body.len() as u64);
    let ask = answers(keeper, |_| Ok(Answer::Fetching { name: "a".into(), size })).await;
    for piece in body.chunks(256 << 10).take(pieces) {
        keeper.sends([&ask.to_be_bytes(), piece].concat()).await;
    }
    ask
}

async fn looks_and_downloads(mut pair: Pair) {
    let found = snapshot(&pair.stage.shop);
    let folder = format!("{}/{}?path=%2Fhome", pair.snapshots(), found.id);
    let letter = Entry { name: "letter".into(), kind: EntryKind::File, size: 7, changed: None };
    let entries = |_: &Question| Ok(Answer::Entries { entries: vec![letter.clone()], more: false });
    let (page, _) = tokio::join!(pair.owner.get(&folder), answers(&mut pair.keeper, entries));
    assert!(page.status == 200 && page.text.contains("letter"), "{}", page.text);
    let (page, _) =
        tokio::join!(pair.owner.get(&folder), answers(&mut pair.keeper, |_| Err("the pack is gone".into())));
    assert!(page.status == 409 && page.text.contains("cannot answer: the pack is gone."), "{}", page.text);

    let (file, body) = (pair.file(), (0..FILE / 4).flat_map(u32::to_be_bytes).collect::<Vec<u8>>());
    let whole = async {
        let ask = sends(&mut pair.keeper, &body, usize::MAX).await;
        pair.keeper.says(&FromKeeper::Answer { ask, answer: Ok(Answer::Fetched) }).await;
    };
    let (page, ()) = tokio::join!(pair.owner.get(&file), whole);
    assert_eq!((page.header("content-length"), page.bytes == body), (FILE.to_string().as_str(), true));
    let broken = async {
        let ask = sends(&mut pair.keeper, &body, 3).await;
        pair.keeper.says(&FromKeeper::Answer { ask, answer: Err("the pack is damaged".into()) }).await;
    };
    let (page, ()) = tokio::join!(pair.owner.get(&file), broken);
    assert!(page.bytes.len() < body.len(), "it was broken off");
    pair.close().await;
}

#[tokio::test]
async fn a_page_at_another_server_lists_a_folder_and_downloads_a_file_whole_or_not_at_all() {
    looks_and_downloads(Pair::open(None).await).await;
}

#[tokio::test]
async fn on_postgresql_a_page_at_another_server_does_so_too() {
    let Some(postgres) = Postgres::start() else { return };
    looks_and_downloads(Pair::open(Some(postgres)).await).await;
}

#[tokio::test]
async fn a_keeper_is_told_when_a_browser_at_another_server_leaves() {
    let mut pair = Pair::open(None).await;
    let body = vec![7; 64 << 20];
    let file = pair.file();
    // The head is read and the connection closed.
    let (status, ask) = tokio::join!(pair.owner.status("GET", &file, None), sends(&mut pair.keeper, &body, 1));
    assert_eq!(status, 200);
    for piece in body.chunks(256 << 10) {
        pair.keeper.sends([&ask.to_be_bytes(), piece].concat()).await;
    }
    pair.keeper.waits_for(|message: ToKeeper| (message == ToKeeper::Forget { ask }).then_some(())).await;
    pair.close().await;
}

#[tokio::test]
async fn servers_with_different_keys_say_so_and_who_left_is_not_waited_for() {
    let room = tempfile::tempdir().unwrap();
    let database = format!("sqlite:{}", room.path().join("stead.db").display());
    let stage = Stage::on(Shop::on(&database, 1).await).await;
    let stranger = Shop::on(&database, 2).await;
    let mut pair = Pair::of(stage, stranger, (None, room)).await;
    let list = pair.snapshots();
    let page = pair.owner.get(&list).await;
    assert!(page.text.contains("has another key") && page.text.contains("--server-key"), "{}", page.text);

    let counter = pair.stage.keeper.counter;
    pair.keeper = Caller::welcomed(&pair.other, &mut pair.stage.keeper).await;
    assert!(pair.stage.keeper.counter > counter, "it called again, at the other server");
    let found = snapshot(&pair.stage.shop);
    let none = async {
        answers(&mut pair.keeper, |_| Ok(Answer::Snapshots(vec![found.clone()]))).await;
        answers(&mut pair.keeper, |_| Err("not now".into())).await;
    };
    let (page, ()) = tokio::join!(pair.owner.get(&list), none);
    assert!(page.text.contains(&found.id), "{}", page.text);
    pair.close().await;
}

#[tokio::test]
async fn a_keeper_that_has_left_its_server_is_not_connected() {
    let Pair { stage, other, keeper, mut owner, _postgres, _room } = Pair::open(None).await;
    let list = format!("/machines/{}/snapshots", stage.machine);
    drop(keeper);
    let keeper = stage.shop.store.system().keepers().await.unwrap()[0].id;
    let system = other.store.system();
    while system.keeper_is_elsewhere(keeper, fleet::Uuid::nil(), other.now()).await.unwrap() {}
    assert!(owner.get(&list).await.text.contains("is not connected now"));
    other.close().await;
    stage.shop.close().await;
}
