//! The files that pages load: the console's own, and two vendored libraries with their licenses.

use axum::Router;
use axum::extract::Path;
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use http::{StatusCode, header};

use crate::Desk;

/// Name, content type and content. The version in the path of an asset is that of the command, so a browser
/// may keep it.
const FILES: [(&str, &str, &str); 7] = [
    ("console.css", "text/css; charset=utf-8", include_str!("../assets/console.css")),
    ("console.js", "text/javascript; charset=utf-8", include_str!("../assets/console.js")),
    ("htmx.js", "text/javascript; charset=utf-8", include_str!("../assets/htmx-2.0.11.min.js")),
    ("htmx.LICENSE", "text/plain; charset=utf-8", include_str!("../assets/htmx-2.0.11.LICENSE")),
    ("uplot.js", "text/javascript; charset=utf-8", include_str!("../assets/uplot-1.6.32.min.js")),
    ("uplot.css", "text/css; charset=utf-8", include_str!("../assets/uplot-1.6.32.min.css")),
    ("uplot.LICENSE", "text/plain; charset=utf-8", include_str!("../assets/uplot-1.6.32.LICENSE")),
];

pub(crate) fn routes() -> Router<Desk> {
    Router::new().route("/assets/{version}/{name}", get(file))
}

async fn file(Path((_, name)): Path<(String, String)>) -> Response {
    match FILES.iter().find(|(known, ..)| *known == name) {
        Some((_, content_type, content)) => {
            let headers =
                [(header::CONTENT_TYPE, *content_type), (header::CACHE_CONTROL, "public, max-age=86400")];
            (headers, *content).into_response()
        }
        None => StatusCode::NOT_FOUND.into_response(),
    }
}
