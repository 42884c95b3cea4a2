//! What leaves the server and is looked at elsewhere: the audit log, line by line.

use store::{AuditEntry, AuditError, verify_chain};

use crate::shop::Shop;

const OWNER: &str = "owner@example.org";

#[tokio::test]
async fn an_exported_audit_log_is_verified_without_the_server() {
    let shop = Shop::open().await;
    let tenant = shop.firm("Brightside", OWNER).await;
    // More than one page of the database.
    for number in 0..260 {
        let client = shop.client(OWNER, tenant, &format!("Client {number}")).await;
        shop.store.within(&shop.scope(OWNER).await).confirm_sheet(client, shop.now()).await.unwrap();
    }
    let mut owner = shop.signed_in(OWNER).await;
    let answer = owner.get("/audit/export").await;
    assert_eq!((answer.status, answer.header("content-type")), (200, "application/jsonl"));
    // Packed, it is as whole: a gzip file ends in the length of what is in it.
    let packed = owner.get_as("/audit/export", &[("accept-encoding", "gzip")]).await;
    assert_eq!((packed.status, packed.header("content-encoding")), (200, "gzip"));
    let length = packed.bytes.last_chunk::<4>().map(|length| u32::from_le_bytes(*length));
    assert_eq!(length, Some(answer.bytes.len() as u32));
    let mut lines: Vec<AuditEntry> = answer.text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(lines.len() > 520, "{}", lines.len());
    assert_eq!(verify_chain(None, &lines).unwrap().lines, lines.len() as u64);
    lines[300].detail = "nothing".into();
    assert_eq!(verify_chain(None, &lines), Err(AuditError::Changed(301)));
    shop.close().await;
}
