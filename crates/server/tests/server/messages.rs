//! Messages arrive: alert, escalation, silence and recovery, each once, by e-mail, ntfy and webhook; and the watchdog.

use std::sync::atomic::Ordering;

use continuity::Role;
use fleet::{AlertId, AlertKey, ClientId, Condition, Finding, MachineId, Observation, Subject, TenantId};
use jiff::SignedDuration;

use crate::browser::Browser;
use crate::post::{Hook, Hooked, Line, Ntfy, Papers, PostOffice, header, until};
use crate::process::Process;
use crate::shop::{PASSWORD, Shop};

const JIM: &str = "jim@example.org";
const ANNA: &str = "anna@example.org";

/// A firm with a machine, and its owner at a browser.
struct Stage {
    shop: Shop,
    tenant: TenantId,
    client: ClientId,
    machine: MachineId,
    jim: Browser,
    anna: String,
    me: String,
}

impl Stage {
    async fn set() -> Stage {
        let shop = Shop::open().await;
        let tenant = shop.firm("Brightside", JIM).await;
        let client = shop.client(JIM, tenant, "Harbour Dental").await;
        let machine = shop.machine(JIM, client, "HD-SRV1").await;
        let anna = shop.member(JIM, tenant, ANNA, Role::Technician).await.to_string();
        let me = shop.scope(JIM).await.person().to_string();
        let mut jim = shop.signed_in(JIM).await;
        jim.get("/messages").await;
        let stage = Stage { shop, tenant, client, machine, jim, anna, me };
        // What the machine itself is late with is not told here.
        stage.pause().await
    }

    async fn pause(mut self) -> Stage {
        let path = format!("/machines/{}/pause", self.machine);
        assert_eq!(self.jim.send(&path, &[("reason", "moving"), ("hours", "700")]).await.status, 303);
        self
    }

    async fn save(&mut self, path: &str, fields: &[(&str, &str)]) -> String {
        let tenant = self.tenant.to_string();
        let fields: Vec<_> = fields.iter().copied().chain([("tenant", tenant.as_str())]).collect();
        let answer = self.jim.send(path, &fields).await;
        assert!(answer.status < 400, "{path}: {} {}", answer.status, answer.text);
        answer.text
    }

    /// A webhook, and that addresses of this machine may be called.
    async fn hook(&mut self) -> Hook {
        let hook = Hook::default();
        let address = hook.open().await;
        self.save("/messages/watchdog", &[("address", ""), ("inside", "on")]).await;
        let page = self.save("/messages/webhook", &[("address", &address)]).await;
        let key = page.split_once(r#"id="new-key">"#).unwrap().1.split('<').next().unwrap();
        *hook.key.lock() = key.replace("&#43;", "+").replace("&#47;", "/").replace("&#61;", "=");
        let shown = self.jim.get("/messages").await.text;
        assert!(!shown.contains(key), "a key is shown once");
        hook
    }

    /// Something is wrong, or is not any more.
    async fn observe(&self, condition: Condition, finding: Finding) {
        let subject = Subject::Machine(self.client, self.machine);
        let (seen, now) = (Observation { key: AlertKey { subject, condition }, finding }, self.shop.now());
        let bits = self.shop.bits();
        let change = |board: &mut store::TenantBoard| {
            board.board.observe(vec![seen], now, || AlertId::made(now, bits));
            Vec::new()
        };
        self.shop.store.system().on_board(self.tenant, now, change).await.unwrap();
    }

    /// Makes this the firm's mail server and sends a test; what the page says.
    async fn posts(&mut self, post: &PostOffice, protection: &str, authority: &str) -> String {
        let port = post.port.to_string();
        let fields = [("host", "localhost"), ("port", port.as_str()), ("protection", protection), ("user", "")];
        let rest = [("password", ""), ("from", "stead@example.org"), ("authority", authority)];
        self.save("/messages/mail", &[&fields[..], &rest[..]].concat()).await;
        self.save("/messages/test", &[("way", "mail")]).await
    }

    async fn wrong(&self) {
        let sentence = "HD-SRV1: two machines use one identity — 株式会社";
        self.observe(Condition::Quarantined, Finding::Wrong(sentence.into())).await;
    }
}

fn kinds(received: &[Hooked]) -> Vec<&str> {
    received.iter().map(|hooked| hooked.kind.as_str()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn alert_escalation_silence_and_recovery_arrive_once_by_each_way() {
    let (Some(post), Some(ntfy)) = (PostOffice::open().await, Ntfy::open().await) else { return };
    let mut stage = Stage::set().await;
    let hook = stage.hook().await;
    let port = post.port.to_string();
    let mail = [
        ("host", "localhost"),
        ("port", &port),
        ("protection", "plain"),
        ("user", ""),
        ("password", ""),
        ("from", "stead@example.org"),
    ];
    stage.save("/messages/mail", &mail).await;
    stage.save("/settings/messages", &[("mail", "on"), ("topic", &ntfy.topic()), ("ntfy_token", &ntfy.token)]).await;
    let (me, anna) = (format!("0-{}", stage.me), format!("1-{}", stage.anna));
    let steps = [("0-after", "0"), (&me, "on"), ("0-webhook", "on"), ("1-after", "30"), (&anna, "on")];
    stage.save("/messages/steps", &steps).await;

    // The buttons really send, and show what was answered.
    let answer = stage.save("/messages/test", &[("way", "mail")]).await;
    assert!(answer.contains("localhost answered 250"), "{answer}");
    assert!(stage.save("/messages/test", &[("way", "webhook")]).await.contains("127.0.0.1 answered 200: heard"));
    assert!(stage.save("/settings/messages/test", &[("way", "ntfy")]).await.contains("127.0.0.1 answered 200"));
    assert_eq!((post.letters(JIM).len(), ntfy.messages().await.len(), hook.received().len()), (1, 1, 1));

    stage.wrong().await;
    until("the alert arrives by each way", async || {
        post.letters(JIM).len() == 2 && ntfy.messages().await.len() == 2 && hook.received().len() == 2
    })
    .await;
    assert_eq!(post.letters(ANNA).len(), 0);
    let told = hook.received().remove(1);
    let line = ntfy.messages().await.remove(1);
    assert_eq!((line["title"].as_str(), line["priority"].as_i64()), (Some("stead: needs somebody"), Some(5)));
    assert!(line["message"].as_str().unwrap().contains("株式会社"), "{line}");
    assert_eq!(line["click"], told.body["data"]["link"]);

    // Nobody has it for half an hour.
    stage.shop.wait(31 * 60);
    until("the next one is told", async || post.letters(ANNA).len() == 1).await;

    // By the link, after signing in, it is taken on.
    let link = told.body["data"]["link"].as_str().unwrap().strip_prefix(&stage.shop.origin).unwrap().to_owned();
    stage.shop.signed_in(ANNA).await;
    let mut anna = Browser::new(stage.shop.address);
    let page = anna.get(&link).await;
    assert_eq!(page.status, 401);
    let back = format!("/sign-in?next={}", link.replace('/', "%2F"));
    assert!(page.text.contains(&back), "{back}: {}", page.text);
    let fields = [("email", ANNA), ("password", PASSWORD), ("next", &link)];
    assert_eq!(anna.send("/sign-in", &fields).await.leads_to(), link);
    let page = anna.get(&link).await;
    assert!(page.status == 200 && page.text.contains("I have it"), "{}", page.text);
    assert_eq!(anna.send(&format!("{link}/acknowledge"), &[]).await.status, 303);

    // What is silenced is counted, not told.
    let silence = [("reason", "new disk"), ("hours", "1")];
    assert_eq!(stage.jim.send(&format!("/clients/{}/silence", stage.client), &silence).await.status, 303);
    stage.observe(Condition::Messages, Finding::Wrong("HD-SRV1: unheard".into())).await;
    until("it is counted", async || stage.jim.get("/alerts").await.text.contains("1 message was held back")).await;
    stage.observe(Condition::Messages, Finding::Fine).await;
    stage.shop.wait(61 * 60);

    stage.observe(Condition::Quarantined, Finding::Fine).await;
    until("all who heard of it hear that it is over", async || {
        post.letters(JIM).len() == 3 && post.letters(ANNA).len() == 2 && ntfy.messages().await.len() == 3
    })
    .await;
    until("the webhook, too", async || hook.received().len() == 3).await;
    stage.shop.close().await;

    // Nothing came twice, and everything was signed.
    assert_eq!((post.letters(JIM).len(), post.letters(ANNA).len(), ntfy.messages().await.len()), (3, 2, 3));
    assert_eq!(kinds(&hook.received()), ["test", "alert.there", "alert.over"]);
    assert!(hook.received().iter().all(|hooked| hooked.is_signed), "{:?}", hook.received());
    assert_eq!(hook.ids().len(), 3);
    let letters = post.letters(JIM).into_iter().chain(post.letters(ANNA));
    let ids: Vec<_> = letters.map(|letter| header(&letter, "Message-ID").to_owned()).collect();
    assert_eq!(ids.iter().collect::<std::collections::BTreeSet<_>>().len(), 5, "{ids:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_server_was_sending_when_it_went_away_is_sent_again_with_the_same_identity() {
    let mut stage = Stage::set().await;
    let hook = stage.hook().await;
    stage.save("/messages/steps", &[("0-after", "0"), ("0-webhook", "on")]).await;
    hook.status.store(0, Ordering::SeqCst);
    stage.wrong().await;
    until("it is being sent", async || hook.received().len() == 1).await;
    hook.status.store(200, Ordering::SeqCst);
    stage.shop.replace().await;
    stage.shop.wait(3 * 60);
    until("the other server sends it", async || hook.received().len() == 2).await;
    assert_eq!(hook.ids().len(), 1, "{:?}", hook.received());
    assert_eq!(kinds(&hook.received()), ["alert.there", "alert.there"]);
    stage.shop.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_killed_process_was_sending_is_sent_by_the_next_one_with_the_same_identity() {
    let mut stage = Stage::set().await;
    let hook = stage.hook().await;
    stage.save("/messages/steps", &[("0-after", "0"), ("0-webhook", "on")]).await;
    stage.shop.ends().await;
    hook.status.store(0, Ordering::SeqCst);
    stage.wrong().await;
    let first = Process::begin(stage.shop.folder(), SignedDuration::ZERO);
    until("it is being sent", async || hook.received().len() == 1).await;
    first.kill();
    hook.status.store(200, Ordering::SeqCst);
    let _second = Process::begin(stage.shop.folder(), SignedDuration::from_mins(4));
    until("the next process sends it", async || hook.received().len() == 2).await;
    assert_eq!(hook.ids().len(), 1, "{:?}", hook.received());
    assert!(hook.received().iter().all(|hooked| hooked.is_signed), "the key was opened by both");
    // Once it was taken, it is not sent again.
    stage.observe(Condition::Quarantined, Finding::Fine).await;
    until("and what comes after it", async || hook.received().len() == 3).await;
    assert_eq!(kinds(&hook.received()), ["alert.there", "alert.there", "alert.over"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn passwords_and_keys_of_messages_lie_sealed_in_the_database() {
    let mut stage = Stage::set().await;
    let hook = stage.hook().await;
    let mail = [
        ("host", "mail.example.org"),
        ("port", "587"),
        ("protection", "starttls"),
        ("user", "brightside"),
        ("password", "open sesame"),
        ("from", "stead@example.org"),
    ];
    stage.save("/messages/mail", &mail).await;
    let own = [("mail", "on"), ("topic", "https://ntfy.example/jim"), ("ntfy_token", "tk_secret_of_jim")];
    stage.save("/settings/messages", &own).await;
    let key = hook.key.lock().trim_start_matches("whsec_").to_owned();
    stage.shop.ends().await;
    let mut stored = Vec::new();
    for file in std::fs::read_dir(stage.shop.folder()).unwrap().flatten() {
        if file.file_name().to_string_lossy().starts_with("stead.db") {
            stored.extend(std::fs::read(file.path()).unwrap());
        }
    }
    let holds = |text: &str| stored.windows(text.len()).any(|piece| piece == text.as_bytes());
    assert!(holds("mail.example.org") && holds("sealed:1:"), "they are looked for where they are");
    for secret in ["open sesame", "tk_secret_of_jim", &key] {
        assert!(!holds(secret), "{secret}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_sent_for_a_day_is_an_alert_of_its_own_until_messages_arrive_again() {
    let mut stage = Stage::set().await;
    let hook = stage.hook().await;
    stage.save("/messages/steps", &[("0-after", "0"), ("0-webhook", "on")]).await;
    hook.status.store(500, Ordering::SeqCst);
    stage.wrong().await;
    for attempt in 1..=5 {
        until("it is tried again", async || hook.received().len() >= attempt).await;
        stage.shop.wait(7 * 3_600);
    }
    until("it is an alert", async || stage.jim.get("/alerts").await.text.contains("Messages did not arrive for a day"))
        .await;
    assert!(stage.jim.get("/alerts").await.text.contains("127.0.0.1 answered 500"));
    hook.status.store(200, Ordering::SeqCst);
    stage.shop.wait(2 * 3_600);
    until("the alert ends when messages arrive", async || {
        !stage.jim.get("/alerts").await.text.contains("Messages did not arrive")
    })
    .await;
    let troubles = std::mem::take(&mut *stage.shop.troubles.lock());
    assert!(troubles.iter().all(|words| words.starts_with("gave up a message to webhook")), "{troubles:?}");
    stage.shop.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn letters_go_over_tls_to_whom_the_certificate_names_and_to_nobody_else() {
    letters_go_by(Line::Tls, "tls").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn letters_go_over_starttls_to_whom_the_certificate_names_and_to_nobody_else() {
    letters_go_by(Line::Starttls, "starttls").await;
}

async fn letters_go_by(line: Line, word: &str) {
    let (papers, elsewhere) = (Papers::of("localhost"), Papers::of("elsewhere.example"));
    let mut stage = Stage::set().await;
    // Addresses of this machine may be called.
    stage.save("/messages/watchdog", &[("address", ""), ("inside", "on")]).await;
    let Some(post) = PostOffice::protected(line, &papers).await else { return };
    let told = stage.posts(&post, word, &papers.authority).await;
    assert!(told.contains("localhost answered 250"), "{told}");
    assert_eq!(post.letters(JIM).len(), 1);
    let told = stage.posts(&post, word, "").await;
    assert!(told.contains("comes from nobody who is trusted here"), "{told}");
    let told = stage.posts(&post, word, &elsewhere.authority).await;
    assert!(told.contains("was not signed by the authority"), "{told}");
    // Somebody else's certificate, by the right authority.
    let Some(other) = PostOffice::protected(line, &elsewhere).await else { return };
    let told = stage.posts(&other, word, &elsewhere.authority).await;
    assert!(told.contains("is for another name"), "{told}");
    // Whoever takes the word for TLS away gets nothing in plain.
    let Some(plain) = PostOffice::open().await else { return };
    let told = stage.posts(&plain, word, &papers.authority).await;
    assert!(told.contains("Not sent"), "{told}");
    assert_eq!([&post, &other, &plain].map(|office| office.letters(JIM).len()), [1, 0, 0]);
    let tenant = stage.tenant.to_string();
    let fields =
        [("tenant", tenant.as_str()), ("host", "localhost"), ("port", "25"), ("protection", word), ("user", "")];
    let rest = [("password", ""), ("from", "stead@example.org"), ("authority", "no certificate")];
    let refused = stage.jim.send("/messages/mail", &[&fields[..], &rest[..]].concat()).await;
    assert!(refused.status == 422 && refused.text.contains("no certificate"), "{}", refused.text);
    stage.shop.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_cannot_back_up_itself_says_so_until_it_can() {
    let mut stage = Stage::set().await;
    let hook = stage.hook().await;
    stage.save("/messages/steps", &[("0-after", "0"), ("0-webhook", "on")]).await;
    let (store, now) = (stage.shop.store.clone(), stage.shop.now());
    for why in ["no space left on device", "no space left on device, still"] {
        stead_server::own_backup::failed(&store, why, now).await.unwrap();
    }
    until("it is told", async || hook.received().len() == 1).await;
    let page = stage.jim.get("/alerts").await.text;
    assert!(page.contains("cannot back up itself") && page.contains("no space left on device"), "{page}");
    let fleet = stage.jim.get("/").await.text;
    assert!(fleet.contains("cannot back up itself"), "the first page says it: {fleet}");
    stead_server::own_backup::made(&store, stage.shop.now()).await.unwrap();
    until("it is over", async || hook.received().len() == 2).await;
    assert_eq!(kinds(&hook.received()), ["alert.there", "alert.over"]);
    assert_eq!(stead_server::own_backup::last(&store).await.unwrap(), Some(stage.shop.now()));
    stage.shop.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_wait_for_the_end_of_quiet_hours_but_for_what_wakes_people() {
    let Some(post) = PostOffice::open().await else { return };
    let mut stage = Stage::set().await;
    let port = post.port.to_string();
    let mail = [
        ("host", "127.0.0.1"),
        ("port", &port),
        ("protection", "plain"),
        ("user", ""),
        ("password", ""),
        ("from", "stead@example.org"),
    ];
    stage.save("/messages/mail", &mail).await;
    let me = format!("0-{}", stage.me);
    stage.save("/messages/steps", &[("0-after", "0"), (&me, "on")]).await;
    // It is the middle of quiet hours, whatever time it is.
    let clock = |hours: i64| (stage.shop.now() + jiff::SignedDuration::from_hours(hours)).strftime("%H:%M").to_string();
    let (from, to) = (clock(-2), clock(2));
    let quiet = [("quiet", "on"), ("zone", "UTC"), ("from", &from), ("to", &to), ("storage", "on")];
    let fields: Vec<_> = quiet.into_iter().chain([("mail", "on"), ("topic", "")]).collect();
    stage.save("/settings/messages", &fields).await;
    stage.wrong().await;
    stage.observe(Condition::Messages, Finding::Wrong("HD-SRV1: soon over".into())).await;
    stage.observe(Condition::Storage, Finding::Wrong("HD-SRV1: the disk is damaged".into())).await;
    until("what wakes people arrives", async || post.letters(JIM).len() == 1).await;
    assert!(header(&post.letters(JIM)[0], "Subject").contains("damaged"));
    stage.observe(Condition::Messages, Finding::Fine).await;
    stage.shop.wait(2 * 3_600 + 60);
    until("what waited arrives", async || post.letters(JIM).len() == 2).await;
    stage.observe(Condition::Storage, Finding::Fine).await;
    until("and what comes after it", async || post.letters(JIM).len() == 3).await;
    let soon_over = post.letters(JIM).iter().filter(|letter| header(letter, "Subject").contains("soon over")).count();
    assert_eq!(soon_over, 0, "what was over before quiet hours were is not told");
    stage.shop.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_watchdog_is_called_every_minute_while_judging_works() {
    let mut stage = Stage::set().await;
    let dog = Hook::default();
    let address = dog.open().await;
    stage.save("/messages/watchdog", &[("address", &address), ("inside", "on")]).await;
    stage.shop.wait(61);
    until("it is called", async || !dog.received().is_empty()).await;
    let calls = dog.received().len();
    stage.shop.wait(61);
    until("it is called again", async || dog.received().len() > calls).await;
    stage.shop.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_typed_wrong_stays_and_nothing_inside_is_called_unless_an_owner_allows_it() {
    let mut stage = Stage::set().await;
    let tenant = stage.tenant.to_string();
    let mail = [
        ("tenant", tenant.as_str()),
        ("host", "mail.example.org"),
        ("port", "seven"),
        ("protection", "tls"),
        ("user", "brightside"),
        ("password", "sesame"),
        ("from", "stead@example.org"),
    ];
    let refused = stage.jim.send("/messages/mail", &mail).await;
    assert_eq!(refused.status, 422);
    for kept in ["mail.example.org", "value=\"seven\"", "brightside", "A port is a number"] {
        assert!(refused.text.contains(kept), "{kept}: {}", refused.text);
    }
    assert!(!refused.text.contains("sesame"), "passwords are not sent back");
    let plain = [("tenant", tenant.as_str()), ("address", "http://127.0.0.1:9/hook")];
    let refused = stage.jim.send("/messages/webhook", &plain).await;
    assert!(refused.status == 422 && refused.text.contains("http://127.0.0.1:9/hook"), "{}", refused.text);
    stage.save("/messages/webhook", &[("address", "https://127.0.0.1:9/hook")]).await;
    let answer = stage.save("/messages/test", &[("way", "webhook")]).await;
    assert!(answer.contains("is inside a network") && answer.contains("Not sent"), "{answer}");
    let own = stage.jim.send("/settings/messages", &[("topic", "https://ntfy.sh/"), ("quiet", "on")]).await;
    assert!(own.status == 422 && own.text.contains("ends in a topic"), "{}", own.text);
    stage.shop.close().await;
}
