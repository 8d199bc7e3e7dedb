//! The description of the port, made of the descriptors and of the comments in `proto/`.
//! Source: OpenAPI Specification 3.1.

mod comment;
mod schema;

use prost_reflect::{DescriptorPool, MethodDescriptor};
use serde_json::{Map, Value, json};

use self::schema::Schemas;
use super::route::{ROUTES, Route, Verb};
use crate::Result;

/// What holds for all calls.
const DESCRIPTION: &str = "The calls of `proto/simbert/v1` as JSON, in the canonical mapping of protocol buffers: names \
    in lowerCamelCase (the contract's own are taken, too), 64-bit integers as strings (numbers are taken, too), \
    durations as `0.003s`. Unknown fields are refused. In replies, fields that are empty are there all the same, \
    unless they are optional.";

/// What monitoring asks for: path, name, what it says, and in which form.
const PROBES: &[(&str, &str, &str, &str)] = &[
    ("/healthz", "Alive", "Whether the server is alive", "application/json"),
    ("/readyz", "Ready", "Whether it can answer calls now", "application/json"),
    ("/metrics", "Metrics", "What can be measured of it, in Prometheus' text format", "text/plain"),
];

/// The document, as JSON.
///
/// # Errors
/// The descriptors do not fit the table of routes.
pub(super) fn document(pool: &DescriptorPool) -> Result<String> {
    let mut schemas = Schemas::default();
    let mut paths = Map::new();
    for route in ROUTES {
        let operation = operation(route, &route.method(pool)?, &mut schemas);
        let path = paths.entry(route.path).or_insert_with(|| Value::Object(Map::new()));
        path[route.verb.name()] = operation;
    }
    for &(path, name, summary, content_type) in PROBES {
        let content = json!({ content_type: {} });
        let found = json!({ "description": "It is.", "content": content });
        let unable = json!({ "$ref": "#/components/responses/Error" });
        paths.insert(
            (*path).to_owned(),
            json!({ "get": {
            "operationId": name,
            "tags": ["Monitoring"],
            "summary": summary,
            "parameters": [],
            "responses": { "200": found, "default": unable },
        } }),
        );
    }
    let tags = |service| comment::of_service(pool, service);
    let document = json!({
        "openapi": "3.1.0",
        "info": { "title": "simbert", "version": env!("CARGO_PKG_VERSION"), "description": DESCRIPTION },
        "tags": services().map(|name| json!({ "name": name, "description": tags(name) })).collect::<Vec<_>>(),
        "paths": paths,
        "components": {
            "schemas": schemas.finish(),
            "parameters": { "Timeout": timeout() },
            "responses": { "Error": error() },
            "securitySchemes": { "key": {
                "type": "http", "scheme": "bearer", "description": "An API key, where the server asks for one.",
            } },
        },
        "security": [{}, { "key": [] }],
    });
    Ok(document.to_string())
}

/// The services that have routes, in the order of these.
fn services() -> impl Iterator<Item = &'static str> {
    let mut seen = Vec::new();
    ROUTES.iter().filter_map(move |route| {
        let service = service(route);
        let new = !seen.contains(&service);
        seen.push(service);
        new.then_some(service)
    })
}

fn service(route: &Route) -> &'static str {
    route.call.split('/').next().unwrap_or_default()
}

fn operation(route: &Route, method: &MethodDescriptor, schemas: &mut Schemas) -> Value {
    let text = comment::of_method(method);
    let summary = text.split_inclusive(". ").next().unwrap_or_default().trim_end_matches(['.', ' ']);
    let (input, output) = (method.input(), method.output());
    let mut parameters = vec![json!({ "$ref": "#/components/parameters/Timeout" })];
    for field in input.fields() {
        let place = match route.fields().any(|name| name == field.name()) {
            true => "path",
            false if route.verb == Verb::Get => "query",
            false => continue,
        };
        let name = if place == "path" { field.name() } else { field.json_name() };
        let mut schema = schemas.field(&field);
        let description = schema.as_object_mut().and_then(|schema| schema.remove("description"));
        parameters.push(json!({
            "name": name,
            "in": place,
            "required": place == "path",
            "description": description.unwrap_or_else(|| "".into()),
            "schema": schema,
        }));
    }
    let mut operation = json!({
        "operationId": method.name(),
        "tags": [service(route)],
        "summary": summary,
        "description": text,
        "parameters": parameters,
        "responses": {
            "200": { "description": "Done.", "content": content(&schemas.message(&output)) },
            "default": { "$ref": "#/components/responses/Error" },
        },
    });
    if route.verb == Verb::Post {
        operation["requestBody"] = json!({ "required": true, "content": content(&schemas.message(&input)) });
    }
    operation
}

fn content(schema: &Value) -> Value {
    json!({ "application/json": { "schema": schema } })
}

fn timeout() -> Value {
    json!({
        "name": "x-timeout-ms",
        "in": "header",
        "description": "Milliseconds that the caller waits; the work ends then, with DEADLINE_EXCEEDED.",
        "schema": { "type": "integer", "minimum": 1, "maximum": 99_999_999 },
    })
}

fn error() -> Value {
    let text = |description: &str| json!({ "type": "string", "description": description });
    let fields = json!({
        "code": text("The name of a gRPC status code, such as INVALID_ARGUMENT or NOT_FOUND."),
        "message": text("What was expected, what came, and what to do."),
    });
    json!({
        "description": "It failed.",
        "content": content(&json!({
            "type": "object",
            "required": ["error"],
            "properties": {
                "error": { "type": "object", "required": ["code", "message"], "properties": fields },
            },
        })),
    })
}
