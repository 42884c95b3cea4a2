//! The fleet as it changes: machines, counters and the sentence above them.

use std::time::Duration;

use tokio::io::AsyncReadExt;

use crate::browser::Stream;
use crate::shop::Shop;

const OWNER: &str = "owner@example.org";

/// Reads until the newest event of a part says something.
async fn told(stream: &mut Stream, so_far: &mut String, part: &str, words: &str) {
    let reading = async {
        let mut piece = [0; 4_096];
        loop {
            let newest = so_far.rsplit("event: ").find(|event| event.starts_with(part) && event.contains("\n\n"));
            if newest.is_some_and(|event| event.contains(words)) {
                return;
            }
            let length = stream.read(&mut piece).await.unwrap();
            assert!(length > 0, "the stream has ended: {so_far}");
            so_far.push_str(&String::from_utf8_lossy(&piece[..length]));
        }
    };
    let read = tokio::time::timeout(Duration::from_secs(60), reading).await;
    assert!(read.is_ok(), "{part} never said {words:?}: {so_far}");
}

#[tokio::test]
async fn counters_and_the_sentence_move_with_the_machines() {
    let shop = Shop::open().await;
    let tenant = shop.firm("Brightside", OWNER).await;
    let client = shop.client(OWNER, tenant, "Harbour").await;
    let machine = shop.machine(OWNER, client, "HD-SRV1").await;
    let mut owner = shop.signed_in(OWNER).await;
    let (mut stream, mut heard) = (owner.opens("/live").await, String::new());
    told(&mut stream, &mut heard, "counts", "The machine needs you.").await;
    told(&mut stream, &mut heard, "region", "HD-SRV1").await;
    owner.get("/settings").await;
    let pause = [("reason", "moving"), ("hours", "2")];
    assert_eq!(owner.send(&format!("/machines/{machine}/pause"), &pause).await.status, 303);
    told(&mut stream, &mut heard, "counts", "paused").await;
    told(&mut stream, &mut heard, "region", "paused").await;
    drop(stream);
    shop.close().await;
}

#[tokio::test]
async fn a_machines_headline_lights_and_runs_move_by_themselves() {
    let shop = Shop::open().await;
    let tenant = shop.firm("Brightside", OWNER).await;
    let client = shop.client(OWNER, tenant, "Harbour").await;
    let machine = shop.machine(OWNER, client, "HD-SRV1").await;
    let mut owner = shop.signed_in(OWNER).await;
    let (mut stream, mut heard) = (owner.opens(&format!("/machines/{machine}/live")).await, String::new());
    told(&mut stream, &mut heard, "region", "nothing ever ran").await;
    told(&mut stream, &mut heard, "headline", "Checked just now").await;
    told(&mut stream, &mut heard, "lights", "sentence-list").await;
    told(&mut stream, &mut heard, "runs", "No run yet").await;
    owner.get("/settings").await;
    assert_eq!(owner.send(&format!("/machines/{machine}/retire"), &[]).await.status, 303);
    told(&mut stream, &mut heard, "headline", "its backups are kept").await;
    drop(stream);
    shop.close().await;
}
