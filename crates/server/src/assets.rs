//! Assets: the stylesheet and the modules. The hash of their bytes is in their names, so they may be kept for ever.

use std::sync::LazyLock;

use axum::extract::Path;
use axum::http::{HeaderName, header};
use axum::response::{IntoResponse, Response};

use crate::problem::Problem;
use crate::token;

/// A file that pages load.
struct Asset {
    name: String,
    kind: &'static str,
    bytes: &'static [u8],
}

impl Asset {
    fn new(stem: &str, extension: &str, kind: &'static str, bytes: &'static [u8]) -> Asset {
        let hash = hex::encode(token::sha256(bytes));
        Asset { name: format!("{stem}-{}.{extension}", &hash[..12]), kind, bytes }
    }

    fn address(&self) -> String {
        format!("/assets/{}", self.name)
    }
}

static STYLE: LazyLock<Asset> =
    LazyLock::new(|| Asset::new("stead", "css", "text/css", include_bytes!("../assets/stead.css")));
static LIVE: LazyLock<Asset> =
    LazyLock::new(|| Asset::new("live", "js", "text/javascript", include_bytes!("../assets/live.js")));
static COPY: LazyLock<Asset> =
    LazyLock::new(|| Asset::new("copy", "js", "text/javascript", include_bytes!("../assets/copy.js")));
static PASSKEY: LazyLock<Asset> =
    LazyLock::new(|| Asset::new("passkey", "js", "text/javascript", include_bytes!("../assets/passkey.js")));
static ICON: LazyLock<Asset> =
    LazyLock::new(|| Asset::new("stead", "svg", "image/svg+xml", include_bytes!("../assets/stead.svg")));

/// Address of the stylesheet.
pub(crate) fn style() -> String {
    STYLE.address()
}

/// Address of the module that moves live regions.
pub(crate) fn live() -> String {
    LIVE.address()
}

/// Address of the module that copies text.
pub(crate) fn copy() -> String {
    COPY.address()
}

/// Address of the module that asks the browser for passkeys.
pub(crate) fn passkey() -> String {
    PASSKEY.address()
}

/// Address of the picture in a browser's tab.
pub(crate) fn icon() -> String {
    ICON.address()
}

/// `GET /assets/{name}`
pub(crate) async fn get(Path(name): Path<String>) -> Result<Response, Problem> {
    let all = [&*STYLE, &*LIVE, &*COPY, &*PASSKEY, &*ICON];
    let asset = all.into_iter().find(|asset| asset.name == name).ok_or(Problem::NotFound)?;
    let headers: [(HeaderName, String); 2] = [
        (header::CONTENT_TYPE, format!("{}; charset=utf-8", asset.kind)),
        (header::CACHE_CONTROL, "public, max-age=31536000, immutable".into()),
    ];
    Ok((headers, asset.bytes).into_response())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_change_with_the_bytes() {
        let name = |bytes| Asset::new("stead", "css", "text/css", bytes).name;
        assert_ne!(name(b"a"), name(b"b"));
        assert_eq!(name(b"a"), name(b"a"));
    }
}
