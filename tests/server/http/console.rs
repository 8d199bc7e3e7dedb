//! The page at `/` and its files, as a browser asks for them. What the page does is tested in `tests/browser`.

use super::served;

/// The addresses that a page names by `src` and `href`, and those of the other modules that a script imports.
fn named(page: &str, mark: &str) -> Vec<String> {
    page.split(mark).skip(1).filter_map(|rest| rest.split('"').next()).map(str::to_owned).collect()
}

#[tokio::test]
async fn the_page_and_its_files_are_there_and_are_cached() {
    let (_served, http) = served().await;
    let page = http.get("/").await;
    assert_eq!((page.status, page.headers["content-type"].as_str()), (200, "text/html; charset=utf-8"));
    assert_eq!(page.headers["cache-control"], "no-cache");
    let policy = &page.headers["content-security-policy"];
    assert!(policy.starts_with("default-src 'none'; script-src 'self'") && !policy.contains("unsafe"), "{policy}");
    assert_eq!(page.headers["x-content-type-options"], "nosniff");
    let text = String::from_utf8(page.body).unwrap();
    assert!(!text.contains("{version}"));

    let mut files: Vec<String> = [named(&text, "src=\""), named(&text, "href=\"console")].concat();
    let script = files[0].clone();
    files.iter_mut().skip(1).for_each(|file| *file = format!("console{file}"));
    let folder = script.trim_end_matches("main.js");
    let main = String::from_utf8(http.get(&format!("/{script}")).await.body).unwrap();
    files.extend(named(&main, "from \"./").into_iter().map(|name| format!("{folder}{name}")));
    assert!(files.len() > 8, "{files:?}");
    for file in files {
        let path = format!("/{file}");
        let answer = http.get(&path).await;
        assert_eq!(answer.status, 200, "{path}");
        assert!(answer.headers["cache-control"].contains("immutable") && !answer.body.is_empty(), "{path}");
        let known = [("if-none-match", answer.headers["etag"].as_str())];
        let again = http.send("GET", &path, &known, b"").await;
        assert!(again.status == 304 && again.body.is_empty(), "{path}");
    }
    http.get(&format!("/{folder}other.js")).await.assert_error(404, "NOT_FOUND", "other.js");
    http.get("/console/0000000000000000/main.js").await.assert_error(404, "NOT_FOUND", "main.js");
    http.post("/", "{}").await.assert_error(405, "UNIMPLEMENTED", "POST is not for `/`");
}

#[tokio::test]
async fn a_map_comes_as_json() {
    let (_served, http) = served().await;
    let map = http.get("/v1/banks/faq/map?points=4&nearDuplicateScore=0.9&labelKey=domain").await.ok();
    assert_eq!(map["points"].as_array().unwrap().len(), 4);
    assert_eq!(map["questions"], "5");
    assert!(map["points"][0]["x"].is_number() && map["points"][0]["label"] == "bank", "{map}");
    assert!(map["neighboursKept"].is_number() && map["nearDuplicates"].is_array());
    http.get("/v1/banks/faq/map?points=0").await.assert_error(400, "INVALID_ARGUMENT", "points: expected 1 to 10000");
}
