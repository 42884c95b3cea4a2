//! Names are shown as they are, whatever is in them, and run as nothing.

use continuity::Role;

use crate::shop::Shop;

const EVIL: &str = r#"<img src=x onerror=alert(1)>"'&</script>"#;

#[tokio::test]
async fn html_in_every_name_is_text() {
    let shop = Shop::open().await;
    let owner = "owner@example.org";
    let tenant = shop.firm(EVIL, owner).await;
    let client = shop.client(owner, tenant, EVIL).await;
    let machine = shop.machine(owner, client, EVIL).await;
    shop.member(owner, tenant, &format!("{EVIL}@example.org"), Role::Technician).await;
    let mut browser = shop.signed_in(owner).await;
    let machine = format!("/machines/{machine}");
    let silence = [("reason", EVIL), ("hours", "8")];
    browser.get("/settings").await;
    assert_eq!(browser.send(&format!("/clients/{client}/silence"), &silence).await.status, 303);
    assert_eq!(browser.send(&format!("{machine}/pause"), &silence).await.status, 303);
    let (client, settings) = (format!("/clients/{client}"), format!("{machine}/settings"));
    for path in [
        "/",
        &client,
        &machine,
        "/alerts",
        "/people",
        "/enrol",
        "/audit",
        "/messages",
        "/policies",
        &settings,
        "/?find=%3Cimg%20src%3Dx",
    ] {
        let page = browser.get(path).await;
        assert_eq!(page.status, 200, "{path}");
        assert!(!page.text.contains("<img"), "{path}: {}", page.text);
        assert!(!page.text.contains("</script>\""), "{path}");
        if path != "/?find=%3Cimg%20src%3Dx" {
            assert!(page.text.contains("&#60;img src=x"), "{path} does not show the name");
        }
    }
    shop.close().await;
}

#[tokio::test]
async fn names_in_any_script_come_back_as_they_were() {
    let shop = Shop::open().await;
    let owner = "owner@example.org";
    let tenant = shop.firm("株式会社バックアップ", owner).await;
    let mut browser = shop.signed_in(owner).await;
    browser.get("/enrol").await;
    let tenant = tenant.to_string();
    for name in ["Ångström & Söhne", "مكتب المحاماة", "Ελλάδα", "👩🏽‍💻 Labs", "z͑ͫ̓ͪ̂ͫ̽͏̴̙̤̞͉͚̯̞̠͍A"]
    {
        let answer = browser.send("/clients", &[("tenant", &tenant), ("name", name), ("zone", "Asia/Tokyo")]).await;
        assert_eq!(answer.status, 303, "{name}: {}", answer.text);
        let page = browser.get("/enrol").await.text.replace("&#38;", "&");
        assert!(page.contains(name), "{name}");
    }
    let wrong = browser.send("/clients", &[("tenant", &tenant), ("name", "x"), ("zone", "Middle/Earth")]).await;
    assert_eq!(wrong.status, 422);
    assert!(wrong.text.contains("Middle/Earth") && wrong.text.contains("There is no time zone"), "{}", wrong.text);
    shop.close().await;
}
