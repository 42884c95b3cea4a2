//! Two firms on one server, a guest of both, and what each of them sees.

use continuity::Role;

use crate::shop::Shop;

const ANNA: &str = "anna@brightside.example";
const BEN: &str = "ben@elsewhere.example";

#[tokio::test]
async fn nobody_sees_another_firms_machines_clients_people_or_log() {
    let shop = Shop::open().await;
    let (ours, theirs) = (shop.firm("Brightside", ANNA).await, shop.firm("Elsewhere", BEN).await);
    let (our_client, their_client) =
        (shop.client(ANNA, ours, "Harbour").await, shop.client(BEN, theirs, "Secret client").await);
    let our_machine = shop.machine(ANNA, our_client, "HARBOUR-1").await;
    let their_machine = shop.machine(BEN, their_client, "SECRET-1").await;
    shop.member(BEN, theirs, "secret@elsewhere.example", Role::Technician).await;
    let mut anna = shop.signed_in(ANNA).await;
    let ours_path = format!("/machines/{our_machine}");
    for path in
        ["/", "/?find=SECRET", "/alerts", "/people", "/enrol", "/audit", "/settings", &ours_path, "/api/v1/fleet"]
    {
        let page = anna.get(path).await;
        assert_eq!(page.status, 200, "{path}");
        for word in ["SECRET-1", "Secret client", "elsewhere.example", "Elsewhere"] {
            assert!(!page.text.contains(word), "{path} tells {word}");
        }
    }
    for path in [format!("/machines/{their_machine}"), format!("/clients/{their_client}")] {
        let (there, nowhere) = (anna.get(&path).await, anna.get(&path.replace('7', "6")).await);
        assert_eq!((there.status, nowhere.status), (404, 404), "{path}");
        assert_eq!(there.text, nowhere.text, "{path}");
    }
    shop.close().await;
}

#[tokio::test]
async fn a_grant_shows_one_client_and_ends_by_itself() {
    let shop = Shop::open().await;
    let ours = shop.firm("Brightside", ANNA).await;
    shop.firm("Elsewhere", BEN).await;
    let (lent, kept) = (shop.client(ANNA, ours, "Lent").await, shop.client(ANNA, ours, "Kept").await);
    shop.machine(ANNA, lent, "LENT-1").await;
    shop.machine(ANNA, kept, "KEPT-1").await;
    let mut ben = shop.signed_in(BEN).await;
    assert!(!ben.get("/").await.text.contains("LENT-1"));
    shop.grant(ANNA, ours, lent, BEN).await;
    let page = ben.get("/").await.text;
    assert!(page.contains("LENT-1") && !page.contains("KEPT-1"), "{page}");
    shop.wait(168 * 3_600 - 10);
    assert!(ben.get("/").await.text.contains("LENT-1"));
    shop.wait(10);
    assert!(!ben.get("/").await.text.contains("LENT-1"));
    shop.close().await;
}

#[tokio::test]
async fn the_log_says_that_it_is_whole_and_who_did_what() {
    let shop = Shop::open().await;
    let ours = shop.firm("Brightside", ANNA).await;
    shop.client(ANNA, ours, "Harbour").await;
    let mut anna = shop.signed_in(ANNA).await;
    let page = anna.get("/audit").await.text;
    assert!(page.contains("The audit log is whole."), "{page}");
    assert!(page.contains("client add, Harbour") && page.contains("person sign in"), "{page}");
    shop.close().await;
}
