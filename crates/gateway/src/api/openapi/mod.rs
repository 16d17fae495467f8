//! `/openapi.json`: the API as OpenAPI 3.1 (<https://spec.openapis.org/oas/v3.1.0>), built from what the server itself goes
//! by: the table of routes, the table of form fields, and values of the types that are sent.

mod operations;
mod shapes;

use axum::{Json, extract::State, response::IntoResponse};
use serde_json::{Map, Value, json};

use self::operations::{Answer, Body, OPERATIONS, Operation};
use super::{RouteInfo, routes};
use crate::{batch, gateway::App};

pub(super) async fn document(State(app): State<App>) -> impl IntoResponse {
    Json(build(&routes(&app.config.http)))
}

/// The whole description.
pub(super) fn build(routes: &[RouteInfo]) -> Value {
    let mut paths = Map::new();
    for route in routes {
        // A wildcard is a parameter like any other to whoever reads the description.
        let entry = paths.entry(route.path.replace("{*", "{")).or_insert_with(|| json!({}));
        for method in route.method.split(", ") {
            let operation = OPERATIONS.iter().find(|operation| operation.is(method, route.path));
            entry[method.to_ascii_lowercase()] =
                operation.map_or_else(|| json!({}), |operation| describe(operation, route));
        }
    }
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Dalston",
            "version": env!("CARGO_PKG_VERSION"),
            "summary": "Speech to text: live over WebSocket, files as jobs.",
        },
        "paths": paths,
        "components": {
            "schemas": shapes::schemas(),
            "securitySchemes": {
                "bearer": { "type": "http", "scheme": "bearer" },
                "xi-api-key": { "type": "apiKey", "in": "header", "name": "xi-api-key" },
            },
        },
    })
}

fn describe(operation: &Operation, route: &RouteInfo) -> Value {
    let mut parameters: Vec<Value> = in_path(route.path).map(|name| parameter(name, "path", true, "")).collect();
    parameters.extend(operation.query.iter().map(|(name, about)| parameter(name, "query", false, about)));
    parameters.extend(operation.headers.iter().map(|(name, about)| parameter(name, "header", false, about)));
    let mut responses = Map::new();
    for (status, answer) in operation.answers {
        responses.insert((*status).into(), response(answer));
    }
    responses.insert("default".into(), response(&Answer::Json("Error")));
    let mut described = json!({ "operationId": operation.id, "summary": operation.about, "responses": responses });
    if !parameters.is_empty() {
        described["parameters"] = parameters.into();
    }
    if let Some(content) = body(operation.body) {
        described["requestBody"] = json!({ "required": true, "content": content });
    }
    if !route.public {
        described["security"] = json!([{ "bearer": [] }, { "xi-api-key": [] }]);
    }
    described
}

/// Names between braces.
fn in_path(path: &'static str) -> impl Iterator<Item = &'static str> {
    path.split('{').skip(1).filter_map(|rest| Some(rest.split_once('}')?.0.trim_start_matches('*')))
}

fn parameter(name: &str, place: &str, required: bool, about: &str) -> Value {
    let mut parameter = json!({ "name": name, "in": place, "required": required, "schema": { "type": "string" } });
    if !about.is_empty() {
        parameter["description"] = about.into();
    }
    parameter
}

fn response(answer: &Answer) -> Value {
    let content = match answer {
        Answer::Empty => return json!({ "description": "nothing more" }),
        Answer::Socket => return json!({ "description": "a WebSocket" }),
        Answer::Json(name) => json!({ "application/json": { "schema": reference(name) } }),
        Answer::JsonOrText(names) => {
            let either: Vec<Value> = names.iter().map(|name| reference(name)).collect();
            json!({ "application/json": { "schema": { "anyOf": either } }, "text/plain": text() })
        }
        Answer::Object => json!({ "application/json": { "schema": { "type": "object" } } }),
        Answer::Text(kind) => json!({ *kind: text() }),
        Answer::Bytes => json!({ "application/octet-stream": {} }),
    };
    json!({ "description": "as described", "content": content })
}

fn text() -> Value {
    json!({ "schema": { "type": "string" } })
}

fn reference(name: &str) -> Value {
    json!({ "$ref": format!("#/components/schemas/{name}") })
}

fn body(body: Body) -> Option<Value> {
    match body {
        Body::None => None,
        Body::Json(name) => Some(json!({ "application/json": { "schema": reference(name) } })),
        Body::TranslationForm => Some(json!({ "multipart/form-data": { "schema": batch::translation_schema() } })),
        Body::Form => Some(json!({ "multipart/form-data": { "schema": batch::form_schema() } })),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::HttpLimits;

    fn served() -> BTreeSet<(String, String)> {
        let of = |route: &RouteInfo| {
            route.method.split(", ").map(|method| (method.to_owned(), route.path.to_owned())).collect::<Vec<_>>()
        };
        routes(&HttpLimits::default()).iter().flat_map(of).collect()
    }

    #[test]
    fn every_route_is_described_and_nothing_else() {
        let described: BTreeSet<_> =
            OPERATIONS.iter().map(|operation| (operation.method.to_owned(), operation.path.to_owned())).collect();
        assert_eq!(described, served());
        assert_eq!(OPERATIONS.len(), described.len(), "an operation is described twice");
        let ids: BTreeSet<_> = OPERATIONS.iter().map(|operation| operation.id).collect();
        assert_eq!(ids.len(), OPERATIONS.len(), "an operation's id stands twice");
    }

    #[test]
    fn every_reference_leads_somewhere() {
        let document = build(&routes(&HttpLimits::default()));
        let text = document.to_string();
        let references = text.split("\"$ref\":\"#").skip(1).map(|rest| rest.split('"').next().unwrap_or_default());
        let mut count = 0;
        for pointer in references {
            assert!(document.pointer(pointer).is_some(), "{pointer}");
            count += 1;
        }
        assert!(count > 20, "{count}");
    }

    #[test]
    fn every_parameter_of_a_path_is_declared() {
        let document = build(&routes(&HttpLimits::default()));
        let artifact = "/v1/audio/transcriptions/{id}/tasks/{task}/artifacts/{name}";
        let names: Vec<_> = document["paths"][artifact]["get"]["parameters"]
            .as_array()
            .unwrap()
            .iter()
            .map(|parameter| parameter["name"].as_str().unwrap())
            .collect();
        assert_eq!(names, ["id", "task", "name"]);
    }
}
