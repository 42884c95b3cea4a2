//! Those who try: ten thousand passwords, old tokens, bodies that are too large, hours that do not exist.

use std::time::{Duration, Instant};

use continuity::Act;
use jiff::SignedDuration;
use store::{Secret, Token, TokenId};

use crate::browser::Browser;
use crate::shop::Shop;

const OWNER: &str = "owner@example.org";

/// Bytes of memory that this process has now.
fn memory() -> u64 {
    let text = std::fs::read_to_string("/proc/self/statm").unwrap();
    text.split(' ').nth(1).unwrap().parse::<u64>().unwrap() * 4_096
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_passwords_are_refused_quickly_and_in_little_memory() {
    let shop = Shop::open().await;
    shop.firm("Brightside", OWNER).await;
    let client = reqwest::Client::new();
    let (address, mut before, begun) = (format!("{}/sign-in", shop.origin), 0, Instant::now());
    let (mut tried, mut heard) = (0, 0);
    for number in 0..10_000 {
        let email = if number % 2 == 0 { OWNER.to_owned() } else { format!("{number}@example.org") };
        let body = serde_urlencoded::to_string([("email", email.as_str()), ("password", &format!("guess {number}"))]);
        let asked = client.post(&address).header("content-type", "application/x-www-form-urlencoded");
        match asked.body(body.unwrap()).send().await.unwrap().status().as_u16() {
            401 => heard += 1,
            status => assert_eq!(status, 429),
        }
        tried += 1;
        // Comparing a password takes memory on purpose; refusing one must not.
        if tried == 500 {
            before = memory();
        }
    }
    let took = begun.elapsed();
    // 40 at once, and one every ten seconds.
    assert!(heard <= 41 + took.as_secs() / 10, "{heard} of {tried} passwords were compared");
    assert!(took < Duration::from_secs(300), "{took:?}");
    let more = memory().saturating_sub(before);
    assert!(more < 48 << 20, "{more} bytes more for 9,500 attempts");
    shop.close().await;
}

#[tokio::test]
async fn a_token_opens_nothing_after_its_end_and_nothing_of_another_firm() {
    let shop = Shop::open().await;
    let tenant = shop.firm("Brightside", OWNER).await;
    let client = shop.client(OWNER, tenant, "Harbour").await;
    let machine = shop.machine(OWNER, client, "HD-SRV1").await;
    shop.firm("Elsewhere", "stranger@example.org").await;
    let token = async |email: &str| {
        let (scope, made, secret) = (shop.scope(email).await, shop.now(), Secret::random());
        let (id, ends) = (TokenId::made(made, shop.bits()), made + SignedDuration::from_hours(1));
        let token = Token { id, name: "script".into(), acts: Act::ALL.into(), made, ends };
        shop.store.within(&scope).add_token(&token, &secret).await.unwrap();
        secret.text().to_owned()
    };
    let (ours, theirs) = (token(OWNER).await, token("stranger@example.org").await);
    let (browser, path) = (Browser::new(shop.address), format!("/api/v1/machines/{machine}"));
    assert_eq!(browser.status("GET", &path, Some(&ours)).await, 200);
    assert_eq!(browser.status("GET", &path, Some(&theirs)).await, 404);
    assert_eq!(browser.status("GET", &path, Some(&ours[1..])).await, 401);
    shop.wait(3_601);
    assert_eq!(browser.status("GET", &path, Some(&ours)).await, 401);
    shop.close().await;
}

#[tokio::test]
async fn who_sends_too_much_over_http_2_hears_why() {
    let shop = Shop::with_tls().await;
    let client = reqwest::Client::builder().add_root_certificate(shop.authority()).build().unwrap();
    for size in [300 << 10, 1_500 << 10] {
        let asked = client.post(format!("{}/api/v1/enrol", shop.origin)).body(vec![b'x'; size]);
        let answer = asked.send().await.unwrap();
        assert_eq!((answer.version(), answer.status().as_u16()), (reqwest::Version::HTTP_2, 413));
        assert!(answer.text().await.unwrap().contains("too large"));
    }
    shop.close().await;
}

#[tokio::test]
async fn a_policy_at_an_hour_that_the_clock_skips_is_shown_and_saved() {
    let shop = Shop::open().await;
    let tenant = shop.firm("Brightside", OWNER).await.to_string();
    let mut owner = shop.signed_in(OWNER).await;
    owner.get("/policies/new").await;
    let fields = [
        ("tenant", tenant.as_str()),
        ("name", "Santiago at midnight"),
        ("paths", "/home"),
        ("at", "00:00"),
        ("zone", "America/Santiago"),
        ("windows", "00:00-00:30"),
    ];
    let with = |what: &'static str| fields.into_iter().chain([("do", what)]).collect::<Vec<_>>();
    let page = owner.send("/policies", &with("preview")).await;
    assert!(page.status == 200 && page.text.contains("Runs every day at 00:00 (America/Santiago)"), "{}", page.text);
    assert!(!owner.get("/policies").await.text.contains("Santiago"), "a preview saves nothing");
    assert_eq!(owner.send("/policies", &with("save")).await.status, 303);
    assert!(owner.get("/policies").await.text.contains("Santiago at midnight"));
    let wrong = [("tenant", tenant.as_str()), ("name", "Kept <b>"), ("at", "25:00"), ("zone", "UTC"), ("do", "save")];
    let refused = owner.send("/policies", &wrong).await;
    assert!(refused.status == 422 && refused.text.contains("Kept &#60;b&#62;"), "{}", refused.text);
    assert!(refused.text.contains("25:00"), "{}", refused.text);
    shop.close().await;
}
