//! The description of the port.

use serde_json::Value;

use super::served;

/// Calls `see` with each object in a document.
fn walk(value: &Value, see: &mut impl FnMut(&serde_json::Map<String, Value>)) {
    match value {
        Value::Object(fields) => {
            see(fields);
            fields.values().for_each(|field| walk(field, see));
        }
        Value::Array(items) => items.iter().for_each(|item| walk(item, see)),
        _ => {}
    }
}

#[tokio::test]
async fn it_is_whole() {
    let (_served, http) = served().await;
    let document = http.get("/openapi.json").await.ok();
    assert_eq!(document["openapi"], "3.1.0");
    let mut references = 0;
    walk(&document, &mut |fields| {
        if let Some(Value::String(reference)) = fields.get("$ref") {
            references += 1;
            let pointer = reference.strip_prefix('#').expect("nothing outside");
            assert!(document.pointer(pointer).is_some_and(|found| !found.is_null()), "{reference} leads nowhere");
        }
    });
    assert!(references > 30, "{references}");
    let mut ids = Vec::new();
    for (path, verbs) in document["paths"].as_object().unwrap() {
        for (verb, operation) in verbs.as_object().unwrap() {
            let name = format!("{verb} {path}");
            ids.push(operation["operationId"].as_str().unwrap_or_else(|| panic!("{name} has no id")).to_owned());
            assert!(!operation["summary"].as_str().unwrap().is_empty(), "{name}");
            assert!(operation["responses"]["200"]["description"].is_string(), "{name}");
            let parameters = operation["parameters"].as_array().unwrap();
            let in_path: Vec<_> = parameters.iter().filter(|parameter| parameter["in"] == "path").collect();
            assert_eq!(in_path.len(), path.matches('{').count(), "{name}");
            for parameter in in_path {
                assert!(path.contains(&format!("{{{}}}", parameter["name"].as_str().unwrap())), "{name}");
                assert_eq!(parameter["required"], true);
            }
            assert_eq!(operation.get("requestBody").is_some(), verb == "post", "{name}");
        }
    }
    let count = ids.len();
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), count, "operation ids are unique");
}

#[tokio::test]
async fn each_path_in_it_is_answered() {
    let (_served, http) = served().await;
    let document = http.get("/openapi.json").await.ok();
    for (path, verbs) in document["paths"].as_object().unwrap() {
        let path = path.replace("{bank}", "faq").replace("{name}", "faq");
        for verb in verbs.as_object().unwrap().keys() {
            let answer = match verb.as_str() {
                "get" => http.get(&path).await,
                _ => http.post(&path, "{}").await,
            };
            assert!(![404, 405, 500].contains(&answer.status), "{verb} {path}: {} {}", answer.status, answer.text());
        }
    }
}

#[tokio::test]
async fn it_says_what_the_contract_says() {
    let (_served, http) = served().await;
    let document = http.get("/openapi.json").await.ok();
    let search = &document["paths"]["/v1/banks/{bank}/search"]["post"];
    assert_eq!(search["summary"], "Looks one query up");
    let schemas = &document["components"]["schemas"];
    let options = &schemas["SearchOptions"]["properties"];
    assert_eq!(options["groupByFaq"]["type"], "boolean");
    assert!(options["k"]["description"].as_str().unwrap().starts_with("Most hits, 1 to 1000"));
    assert_eq!(schemas["Filter"]["properties"]["not"]["$ref"], "#/components/schemas/Filter");
    assert!(schemas["Query"]["description"].as_str().unwrap().ends_with("At most one of `text`, `vector`."));
    assert_eq!(schemas["Bank"]["properties"]["bytesOnDisk"]["type"], "string");
    assert_eq!(
        schemas["Question"]["properties"]["metadata"]["additionalProperties"]["$ref"],
        "#/components/schemas/MetadataValue"
    );
    let list = &document["paths"]["/v1/banks/{bank}/questions"]["get"]["parameters"];
    let names: Vec<_> = list.as_array().unwrap().iter().filter_map(|parameter| parameter["name"].as_str()).collect();
    assert_eq!(names, ["bank", "pageSize", "pageToken"]);
}
