//! Signing in: one-time links, passwords, sessions, and those who try.

use crate::browser::Browser;
use crate::shop::{PASSWORD, Shop};

const ANNA: &str = "anna@example.org";

async fn with_anna() -> Shop {
    let shop = Shop::open().await;
    shop.firm("Brightside", ANNA).await;
    shop
}

async fn try_in(browser: &mut Browser, email: &str, password: &str) -> u16 {
    browser.send("/sign-in", &[("email", email), ("password", password)]).await.status
}

#[tokio::test]
async fn who_has_a_link_sets_a_password_and_is_in() {
    let shop = with_anna().await;
    let mut anna = shop.signed_in(ANNA).await;
    let page = anna.get("/").await;
    assert_eq!(page.status, 200);
    assert!(page.text.contains("No machines yet."), "{}", page.text);
    let mut elsewhere = Browser::new(shop.address);
    assert_eq!(try_in(&mut elsewhere, " Anna@Example.org ", PASSWORD).await, 303);
    assert_eq!(elsewhere.get("/settings").await.status, 200);
    shop.close().await;
}

#[tokio::test]
async fn a_link_is_good_once_and_for_a_day() {
    let shop = with_anna().await;
    let (first, late) = (shop.link(ANNA).await, shop.link(ANNA).await);
    let mut browser = Browser::new(shop.address);
    let fields = [("password", PASSWORD), ("again", PASSWORD)];
    let weak = browser.send(&first, &[("password", "short"), ("again", "short")]).await;
    assert_eq!(weak.status, 422);
    assert!(weak.text.contains("at least 12 characters"), "{}", weak.text);
    assert_eq!(browser.send(&first, &fields).await.status, 303);
    assert_eq!(browser.send(&first, &fields).await.status, 410);
    assert_eq!(browser.get(&late).await.status, 200);
    shop.wait(25 * 3_600);
    let ended = browser.get(&late).await;
    assert_eq!(ended.status, 410);
    assert!(ended.text.contains("no backup is touched"), "{}", ended.text);
    shop.close().await;
}

#[tokio::test]
async fn strangers_are_told_nothing_and_sent_to_sign_in() {
    let shop = with_anna().await;
    let mut stranger = Browser::new(shop.address);
    let page = stranger.get("/").await;
    assert_eq!((page.status, page.leads_to()), (303, "/sign-in"));
    let known = stranger.send("/sign-in", &[("email", ANNA), ("password", "wrong wrong wrong")]).await;
    let unknown = stranger.send("/sign-in", &[("email", "no@example.org"), ("password", "wrong wrong wrong")]).await;
    assert_eq!((known.status, unknown.status), (401, 401));
    assert_eq!(known.text.replace(ANNA, ""), unknown.text.replace("no@example.org", ""));
    stranger.cookie = "stead=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA".into();
    assert_eq!(stranger.get("/settings").await.status, 401);
    shop.close().await;
}

#[tokio::test]
async fn a_new_password_ends_the_other_sessions_and_signing_out_ends_this_one() {
    let shop = with_anna().await;
    let mut here = shop.signed_in(ANNA).await;
    let mut there = Browser::new(shop.address);
    assert_eq!(try_in(&mut there, ANNA, PASSWORD).await, 303);
    let sessions = here.get("/settings").await.text;
    assert_eq!(sessions.matches("/settings/sessions/").count(), 1, "the other one can be ended");
    let new = "another four words";
    let wrong = here.send("/settings/password", &[("now", "not it, not it"), ("password", new), ("again", new)]).await;
    assert_eq!(wrong.status, 422);
    let right = here.send("/settings/password", &[("now", PASSWORD), ("password", new), ("again", new)]).await;
    assert_eq!(right.status, 303);
    assert_eq!(there.get("/settings").await.status, 401);
    assert_eq!(here.get("/settings").await.status, 200);
    let kept = here.cookie.clone();
    assert_eq!(here.send("/sign-out", &[]).await.status, 303);
    here.cookie = kept;
    assert_eq!(here.get("/settings").await.status, 401);
    shop.close().await;
}

#[tokio::test]
async fn ten_thousand_attempts_let_nobody_in_and_the_server_goes_on() {
    let shop = with_anna().await;
    let mut anna = shop.signed_in(ANNA).await;
    let (mut heard, mut refused) = (0, 0);
    let tries = (0..50).map(|attacker| {
        let mut attacker_browser = Browser::new(shop.address);
        async move {
            let mut statuses = Vec::new();
            for number in 0..200 {
                let email = if number % 2 == 0 { ANNA.to_owned() } else { format!("{attacker}.{number}@example.org") };
                statuses.push(try_in(&mut attacker_browser, &email, &format!("guess number {number}")).await);
            }
            statuses
        }
    });
    for status in futures_util::future::join_all(tries).await.into_iter().flatten() {
        match status {
            401 => heard += 1,
            429 => refused += 1,
            other => panic!("{other}"),
        }
    }
    assert_eq!(heard + refused, 10_000);
    assert!(heard < 200, "{heard} attempts were heard");
    assert_eq!(anna.get("/").await.status, 200);
    shop.close().await;
}

#[tokio::test]
async fn over_tls_the_cookie_is_for_this_host_alone() {
    let shop = Shop::with_tls().await;
    shop.firm("Brightside", ANNA).await;
    let path = shop.link(ANNA).await;
    let mut browser = shop.browser();
    let answer = browser.send(&path, &[("password", PASSWORD), ("again", PASSWORD)]).await;
    let cookie = answer.header("set-cookie");
    assert!(cookie.starts_with("__Host-stead="), "{cookie}");
    for part in ["Path=/", "HttpOnly", "SameSite=Lax", "Secure"] {
        assert!(cookie.contains(part), "{cookie}");
    }
    assert_eq!(browser.get("/").await.status, 200);
    shop.close().await;
}

/// The secret of RFC 6238, appendix B, and the letters that a phone shows for it.
const SECRET: &[u8] = b"12345678901234567890";
const LETTERS: &str = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ";

/// What a phone shows now.
fn code(shop: &Shop) -> String {
    let phone = totp_rs::Builder::new().with_secret(totp_rs::Secret::from(SECRET.to_vec())).build().unwrap();
    phone.generate(shop.now().as_second().unsigned_abs()).to_string()
}

/// Signs in with a code, half a minute after the one before.
async fn with_code(shop: &Shop, code: impl Fn(&Shop) -> String) -> crate::browser::Answer {
    shop.wait(30);
    let fields = [("email", ANNA), ("password", PASSWORD), ("code", &code(shop))];
    Browser::new(shop.address).send("/sign-in", &fields).await
}

async fn stored(shop: &Shop) -> Vec<u8> {
    shop.store.system().sign_in(ANNA).await.unwrap().unwrap().totp.unwrap()
}

fn holds(stored: &[u8], secret: &[u8]) -> bool {
    stored.windows(secret.len()).any(|some| some == secret)
}

#[tokio::test]
async fn codes_let_in_and_what_they_are_made_from_lies_sealed() {
    let shop = with_anna().await;
    let mut anna = shop.signed_in(ANNA).await;
    anna.get("/settings").await;
    let confirmed = anna.send("/settings/factor/confirm", &[("letters", LETTERS), ("code", &code(&shop))]).await;
    assert_eq!(confirmed.status, 303, "{}", confirmed.text);
    let sealed = stored(&shop).await;
    assert!(!holds(&sealed, SECRET) && !holds(&sealed, LETTERS.as_bytes()));
    assert_eq!(with_code(&shop, code).await.status, 303);
    assert_eq!(with_code(&shop, |_| String::new()).await.status, 401);
    shop.close().await;
}

#[tokio::test]
async fn what_an_older_program_stored_is_sealed_by_the_next_start_and_codes_go_on() {
    let shop = with_anna().await;
    drop(shop.signed_in(ANNA).await);
    let scope = shop.scope(ANNA).await;
    shop.store.within(&scope).set_totp(Some(SECRET)).await.unwrap();
    assert_eq!(with_code(&shop, code).await.status, 303);
    let shop = shop.begun_again().await;
    while holds(&stored(&shop).await, SECRET) {}
    // The clock of a server that began again is right again: its code was used before.
    shop.wait(60);
    assert_eq!(with_code(&shop, code).await.status, 303);
    shop.close().await;
}

#[tokio::test]
async fn with_another_key_codes_cannot_be_checked_and_a_link_lets_in() {
    let mut shop = with_anna().await;
    let mut anna = shop.signed_in(ANNA).await;
    anna.get("/settings").await;
    anna.send("/settings/factor/confirm", &[("letters", LETTERS), ("code", &code(&shop))]).await;
    std::fs::write(shop.folder().join("server.key"), "ab".repeat(32)).unwrap();
    shop.replace().await;
    let refused = with_code(&shop, code).await;
    assert!(refused.status == 409 && refused.text.contains("one-time link"), "{}", refused.text);
    assert!(shop.troubles.lock().iter().any(|words| words.contains("cannot open the second factor of anna")));
    shop.troubles.lock().clear();
    let mut by_link = shop.signed_in(ANNA).await;
    assert_eq!(by_link.get("/settings").await.status, 200);
    shop.close().await;
}
