//! What is too large, from elsewhere, or nonsense.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::browser::Browser;
use crate::shop::{PASSWORD, Shop};

const OWNER: &str = "owner@example.org";

/// Sends bytes, and reads whatever comes back.
async fn raw(shop: &Shop, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect(shop.address).await.unwrap();
    stream.write_all(bytes).await.unwrap();
    let mut answer = Vec::new();
    _ = stream.read_to_end(&mut answer).await;
    String::from_utf8_lossy(&answer).into_owned()
}

#[tokio::test]
async fn two_gigabytes_for_a_json_route_are_refused_before_they_are_sent() {
    let shop = Shop::open().await;
    let head = "POST /api/v1/enrol HTTP/1.1\r\nhost: stead\r\ncontent-type: application/json\r\n\
                content-length: 2147483648\r\n\r\n{\"code\": \"";
    let answer = raw(&shop, head.as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 413"), "{answer}");
    assert!(answer.contains("too large") && answer.contains("no backup is touched"), "{answer}");
    shop.close().await;
}

#[tokio::test]
async fn a_body_without_end_is_given_up() {
    let shop = Shop::open().await;
    let mut stream = TcpStream::connect(shop.address).await.unwrap();
    let head = "POST /sign-in HTTP/1.1\r\nhost: stead\r\ntransfer-encoding: chunked\r\n\r\n";
    stream.write_all(head.as_bytes()).await.unwrap();
    let piece = format!("4000\r\n{}\r\n", "x".repeat(0x4000));
    let mut sent = 0;
    while sent < 64 << 20 && stream.write_all(piece.as_bytes()).await.is_ok() {
        sent += piece.len();
    }
    assert!(sent < 64 << 20, "the server read {sent} bytes");
    shop.close().await;
}

#[tokio::test]
async fn what_other_sites_send_changes_nothing() {
    let shop = Shop::open().await;
    let tenant = shop.firm("Brightside", OWNER).await;
    let client = shop.client(OWNER, tenant, "Harbour").await;
    let mut owner = shop.signed_in(OWNER).await;
    owner.get("/settings").await;
    let (path, token) = (format!("/clients/{client}/silence"), owner.token.clone());
    let fields = [("reason", "x"), ("hours", "8")];
    let with_token = [("reason", "x"), ("hours", "8"), ("token", token.as_str())];
    for site in ["cross-site", "same-site"] {
        let answer = owner.send_as(&path, &with_token, &[("sec-fetch-site", site)]).await;
        assert_eq!(answer.status, 403, "{site}");
    }
    let foreign = [("origin", "https://evil.example")];
    assert_eq!(owner.send_as(&path, &with_token, &foreign).await.status, 403);
    assert_eq!(owner.send_as(&path, &fields, &[]).await.status, 403, "no token");
    let mut other = Browser::new(shop.address);
    assert_eq!(other.send("/sign-in", &[("email", OWNER), ("password", PASSWORD)]).await.status, 303);
    other.get("/settings").await;
    let stolen = [("reason", "x"), ("hours", "8"), ("token", other.token.as_str())];
    assert_eq!(owner.send_as(&path, &stolen, &[]).await.status, 403, "another session's token");
    assert!(!owner.get(&format!("/clients/{client}")).await.text.contains("silenced by"));
    assert_eq!(owner.send_as(&path, &with_token, &[("origin", &shop.origin)]).await.status, 303);
    assert!(owner.get(&format!("/clients/{client}")).await.text.contains("silenced by"));
    shop.close().await;
}

#[tokio::test]
async fn every_answer_forbids_what_pages_do_not_need() {
    let shop = Shop::open().await;
    let mut browser = Browser::new(shop.address);
    for path in ["/sign-in", "/nothing", "/health", "/api/v1/fleet", "/assets/x"] {
        let answer = browser.get(path).await;
        let policy = answer.header("content-security-policy");
        assert!(policy.starts_with("default-src 'none'") && !policy.contains("unsafe"), "{path}: {policy}");
        assert_eq!(answer.header("x-content-type-options"), "nosniff", "{path}");
        assert_eq!(answer.header("cache-control"), "no-store", "{path}");
    }
    let page = browser.get("/sign-in").await.text;
    let style = page.split('"').find(|part| part.starts_with("/assets/")).unwrap();
    assert!(browser.get(style).await.header("cache-control").contains("immutable"));
    shop.close().await;
}

#[tokio::test]
async fn nonsense_is_answered_in_words() {
    let shop = Shop::open().await;
    shop.firm("Brightside", OWNER).await;
    let mut owner = shop.signed_in(OWNER).await;
    for path in ["/machines/42", "/clients/../../etc", "/machines/%00", "/?after=1.2.3&state=%ff", "/audit?before=x"] {
        let answer = owner.get(path).await;
        assert!([200, 400, 404].contains(&answer.status), "{path}: {}", answer.status);
        assert!(answer.text.contains("<h1>"), "{path}: {}", answer.text);
    }
    let (status, body) = owner.tell("/api/v1/enrol", &serde_json::json!({"code": 7})).await;
    assert_eq!(status, 422);
    assert!(body["sentence"].as_str().unwrap().contains("cannot be read"), "{body}");
    shop.close().await;
}

#[tokio::test]
async fn codes_let_in_once_and_guessing_is_slowed_down() {
    let shop = Shop::open().await;
    let tenant = shop.firm("Brightside", OWNER).await;
    let client = shop.client(OWNER, tenant, "Harbour").await.to_string();
    let mut owner = shop.signed_in(OWNER).await;
    owner.get("/enrol").await;
    let wish = [("client", client.as_str()), ("class", "server"), ("uses", "1"), ("hours", "1")];
    let page = owner.send("/enrol", &wish).await;
    assert_eq!(page.status, 200, "{}", page.text);
    let code = page.text.split_once(r#"id="code">"#).unwrap().1.split('<').next().unwrap();
    let join = |code: &str, key: u8| {
        let identity = hex::encode([key; 32]);
        serde_json::json!({"code": code.to_lowercase(), "name": "srv-1", "identity": identity})
    };
    let (status, joined) = owner.tell("/api/v1/enrol", &join(code, 1)).await;
    assert_eq!(status, 200, "{joined}");
    assert_eq!(joined["client"], client.as_str());
    assert!(owner.get("/").await.text.contains("srv-1"));
    let mut statuses = Vec::new();
    for key in 2..30 {
        statuses.push(owner.tell("/api/v1/enrol", &join(code, key)).await.0);
    }
    assert_eq!(statuses[0], 404);
    assert!(statuses.contains(&429), "{statuses:?}");
    shop.close().await;
}
