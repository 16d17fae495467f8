//! `/docs`: the description of the API as a page. Nothing on it is fetched from anywhere, so it can be read offline.

use axum::{
    extract::State,
    response::{Html, IntoResponse},
};
use http::header;
use serde_json::Value;

use super::{openapi, routes};
use crate::gateway::App;

const STYLE: &str = "body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem}\
    h2{font:600 1rem/1.5 ui-monospace,monospace;margin:2rem 0 0;border-top:1px solid #ccc;padding-top:1rem}\
    h2 b{color:#06c}table{border-collapse:collapse}td{padding:.1rem .8rem .1rem 0;vertical-align:top}\
    code,pre{font-family:ui-monospace,monospace}pre{overflow:auto;background:#f4f4f4;padding:.5rem}\
    @media(prefers-color-scheme:dark){body{background:#111;color:#ddd}pre{background:#222}h2 b{color:#6af}}";

pub(super) async fn page(State(app): State<App>) -> impl IntoResponse {
    let document = openapi::build(&routes(&app.config.http));
    let policy = "default-src 'none'; style-src 'unsafe-inline'";
    ([(header::CONTENT_SECURITY_POLICY, policy)], Html(render(&document)))
}

fn render(document: &Value) -> String {
    let mut page = format!("<!doctype html><meta charset=utf-8><title>Dalston's API</title><style>{STYLE}</style>");
    page.push_str("<h1>Dalston's API</h1><p>For programs: <a href=openapi.json>openapi.json</a>.");
    page.push_str(" Routes marked * need a key where keys are on.</p>");
    for (path, methods) in entries(&document["paths"]) {
        for (method, operation) in entries(methods) {
            page.push_str(&described(path, method, operation));
        }
    }
    page.push_str("<h1>Shapes</h1>");
    for (name, schema) in entries(&document["components"]["schemas"]) {
        let schema = serde_json::to_string_pretty(schema).unwrap_or_default();
        let (name, schema) = (escaped(name), escaped(&schema));
        page.push_str(&format!("<details id={name}><summary>{name}</summary><pre>{schema}</pre></details>"));
    }
    page
}

fn described(path: &str, method: &str, operation: &Value) -> String {
    let key = if operation.get("security").is_some() { " *" } else { "" };
    let method = method.to_ascii_uppercase();
    let mut text = format!("<h2><b>{method}</b> {}{key}</h2><p>{}</p>", escaped(path), said(&operation["summary"]));
    let parameters = operation["parameters"].as_array().into_iter().flatten();
    let mut rows: Vec<[String; 3]> = parameters
        .map(|parameter| [said(&parameter["name"]), said(&parameter["in"]), said(&parameter["description"])])
        .collect();
    let form = &operation["requestBody"]["content"]["multipart/form-data"]["schema"]["properties"];
    rows.extend(entries(form).map(|(name, field)| [escaped(name), "form".into(), said(&field["description"])]));
    if !rows.is_empty() {
        let row = |[name, place, about]: &[String; 3]| {
            format!("<tr><td><code>{name}</code></td><td>{place}</td><td>{about}</td></tr>")
        };
        text.push_str(&format!("<table>{}</table>", rows.iter().map(row).collect::<String>()));
    }
    text
}

fn entries(object: &Value) -> impl Iterator<Item = (&str, &Value)> {
    object.as_object().into_iter().flatten().map(|(name, value)| (name.as_str(), value))
}

fn said(value: &Value) -> String {
    escaped(value.as_str().unwrap_or_default())
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::HttpLimits;

    #[test]
    fn the_page_shows_every_route_and_needs_nothing_from_elsewhere() {
        let routes = routes(&HttpLimits::default());
        let page = render(&openapi::build(&routes));
        for route in &routes {
            assert!(page.contains(&escaped(&route.path.replace("{*", "{"))), "{}", route.path);
        }
        assert!(page.contains("speaker_detection"), "the form's fields are missing");
        for fetched in ["src=", "http://", "https://", "<script", "<link", "@import", "url("] {
            assert!(!page.contains(fetched), "{fetched}");
        }
    }
}
