//! The API's description (OpenAPI), and a page to read and try it. The program contains all of it, and
//! downloads nothing.

use std::sync::{Arc, LazyLock};

use axum::body::Body;
use http::{HeaderValue, Response, StatusCode, header};
use utoipa_swagger_ui::Config;

/// The description in YAML.
const YAML: &str = include_str!("../../../openapi.yaml");

/// The description in JSON. It would be empty if the description were not YAML; a test checks that.
static JSON: LazyLock<String> = LazyLock::new(|| {
    let description = serde_saphyr::from_str::<serde_json::Value>(YAML);
    description.map(|description| format!("{description:#}")).unwrap_or_default()
});

/// The configuration of the page.
static CONFIG: LazyLock<Arc<Config<'static>>> = LazyLock::new(|| {
    let config = Config::new(["/openapi.yaml"]).try_it_out_enabled(true).display_request_duration(true);
    // Otherwise the page would send the description to a validator on the Internet.
    Arc::new(config.validator_url("none"))
});

/// The file at `path`, if it belongs to the documentation.
pub(super) fn page(path: &str) -> Option<Response<Body>> {
    match path {
        "/openapi.yaml" => Some(file("application/yaml", YAML)),
        "/openapi.json" => Some(file("application/json", JSON.as_str())),
        // The page's files have relative URLs.
        "/docs" => {
            let mut moved = Response::new(Body::empty());
            *moved.status_mut() = StatusCode::PERMANENT_REDIRECT;
            moved.headers_mut().insert(header::LOCATION, HeaderValue::from_static("/docs/"));
            Some(moved)
        }
        _ => {
            let part = utoipa_swagger_ui::serve(path.strip_prefix("/docs/")?, Arc::clone(&CONFIG)).ok()??;
            Some(file(&part.content_type, part.bytes.into_owned()))
        }
    }
}

fn file(content_type: &str, content: impl Into<Body>) -> Response<Body> {
    let mut response = Response::new(content.into());
    if let Ok(content_type) = HeaderValue::from_str(content_type) {
        response.headers_mut().insert(header::CONTENT_TYPE, content_type);
    }
    response
}
