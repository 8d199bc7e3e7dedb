//! The console: a page to search, reword, import and look at banks, which makes the calls of the gateway.
//!
//! Plain files, part of the binary. The page names the others by a version, which is a hash over all of them: so they
//! are cached for good, and a newer server's page asks for newer ones. Nothing comes from elsewhere, and the page's
//! policy sees to that.

use std::sync::LazyLock;

use axum::Router;
use axum::extract::Path;
use axum::http::StatusCode;
use axum::http::header::{self, HeaderMap, HeaderName, HeaderValue};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use sha2::{Digest as _, Sha256};

/// What the page may load and send: this server's, and no more. Scripts and styles are files, so that text which comes
/// from a bank cannot become one.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
    base-uri 'none'; form-action 'none'; frame-ancestors 'none'";
/// A file of one version never changes.
const FOR_GOOD: &str = "public, max-age=31536000, immutable";

/// A file by its name, with its type.
type File = (&'static str, &'static str, &'static str);

macro_rules! files {
    ($kind:literal: $($name:literal),*) => { [$(($name, $kind, include_str!($name))),*] };
}

const SCRIPTS: [File; 18] = files!("text/javascript; charset=utf-8":
    "api.js", "banks.js", "chart.js", "colour.js", "csv.js", "dom.js", "generate.js", "import.js", "main.js", "map.js",
    "questions.js", "search.js", "sender.js", "sha256.js", "state.js", "took.js", "turn.js", "words.js");
const STYLES: [File; 2] = files!("text/css; charset=utf-8": "base.css", "views.css");
const PICTURES: [File; 1] = files!("image/svg+xml": "icon.svg");
const PAGE: &str = include_str!("page.html");

fn files() -> impl Iterator<Item = File> {
    SCRIPTS.into_iter().chain(STYLES).chain(PICTURES)
}

/// Names all files as they are.
static VERSION: LazyLock<String> = LazyLock::new(|| {
    let mut hasher = Sha256::new();
    files().for_each(|(name, _, text)| hasher.update(format!("{name} {} {text}", text.len())));
    hasher.update(PAGE);
    hasher.finalize().iter().take(8).fold(String::new(), |hex, byte| format!("{hex}{byte:02x}"))
});

static VERSIONED_PAGE: LazyLock<String> = LazyLock::new(|| PAGE.replace("{version}", &VERSION));

/// The routes of the page and its files.
pub(super) fn add_to(router: Router) -> Router {
    let page = async |headers: HeaderMap| answer(&headers, "text/html; charset=utf-8", &VERSIONED_PAGE, "no-cache");
    router.route("/", get(page)).route("/console/{version}/{name}", get(file))
}

async fn file(Path((version, name)): Path<(String, String)>, headers: HeaderMap) -> Response {
    match files().find(|(known, ..)| *known == name).filter(|_| version == *VERSION) {
        Some((_, kind, text)) => answer(&headers, kind, text, FOR_GOOD),
        None => super::unknown(&format!("/console/{version}/{name}")),
    }
}

/// A file, or word that the caller has it.
fn answer(asked: &HeaderMap, kind: &'static str, text: &'static str, cache: &'static str) -> Response {
    let tag = format!("\"{}\"", *VERSION);
    let same = |value: &HeaderValue| {
        let tags = value.to_str().unwrap_or_default().split(',').map(|tag| tag.trim().trim_start_matches("W/"));
        tags.into_iter().any(|known| known == tag || known == "*")
    };
    let mut response = match asked.get_all(header::IF_NONE_MATCH).iter().any(same) {
        true => StatusCode::NOT_MODIFIED.into_response(),
        false => ([(header::CONTENT_TYPE, kind)], text).into_response(),
    };
    let headers = response.headers_mut();
    let mut say = |name: HeaderName, value: &'static str| headers.insert(name, HeaderValue::from_static(value));
    say(header::CACHE_CONTROL, cache);
    say(header::CONTENT_SECURITY_POLICY, POLICY);
    say(header::X_CONTENT_TYPE_OPTIONS, "nosniff");
    say(header::REFERRER_POLICY, "no-referrer");
    if let Ok(tag) = HeaderValue::from_str(&tag) {
        headers.insert(header::ETAG, tag);
    }
    response
}
