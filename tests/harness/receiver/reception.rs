use std::io;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::response::{Html, IntoResponse as _, Response};
use futures_util::{StreamExt as _, stream};
use http::{StatusCode, header};

use crate::faults::{KilledEnvironments, mix, number};

/// The page that the shop shows without the webhook key.
const HOME_PAGE: &str = "<!DOCTYPE html><html><body>Welcome to the shop</body></html>";

/// The time between two bytes of a dripping body.
const DRIP_EVERY: Duration = Duration::from_millis(20);

/// The reaction of a shop to a callback.
#[derive(Debug, Clone)]
pub enum Reception {
    /// Reacts like the plugin.
    Plugin,
    /// Drops the callback, and responds with this status.
    Status(u16),
    /// Drops the callback, and asks for another one after this number of seconds.
    Later(u64),
    /// Drops the callback, and redirects to another page of the shop.
    Redirect,
    /// Drops the callback, and responds with a web page.
    WebPage,
    /// Accepts the callback, and responds with an endless body.
    Endless,
    /// Accepts the callback, and responds with single bytes without end.
    Drip,
    /// Drops the callback, and never responds.
    Hang,
    /// Drops the callback, and cuts the connection.
    Cut,
    /// Accepts the callback, and never responds.
    TakeAndHang,
    /// Accepts the callback, and cuts the connection.
    TakeAndCut,
    /// The worker's environment dies before the shop accepts the callback.
    KillBefore(KilledEnvironments, u32),
    /// The worker's environment dies after the shop accepted the callback.
    KillAfter(KilledEnvironments, u32),
}

impl Reception {
    /// Returns the reception of the n-th callback of an order in a storm. A quarter of them fail.
    pub(super) fn in_storm(seed: u64, order: &str, nth: u64) -> Self {
        match mix(&[seed, 11, number(order), nth]) % 100 {
            0..6 => Self::Status(500),
            6..8 => Self::Status(503),
            8..10 => Self::Later(90),
            10..13 => Self::Cut,
            13..15 => Self::Hang,
            15..18 => Self::WebPage,
            18..22 => Self::TakeAndCut,
            22..25 => Self::TakeAndHang,
            _ => Self::Plugin,
        }
    }

    /// True if the shop accepts the callback.
    pub(super) fn takes(&self) -> bool {
        matches!(
            self,
            Self::Plugin
                | Self::Endless
                | Self::Drip
                | Self::TakeAndHang
                | Self::TakeAndCut
                | Self::KillAfter(..)
        )
    }

    /// Responds. `own` is the plugin's response.
    pub(super) async fn respond(self, own: Response) -> Response {
        match self {
            Self::Plugin => own,
            Self::Status(status) => (StatusCode::from_u16(status).unwrap(), "scripted").into_response(),
            Self::Later(seconds) => {
                (StatusCode::SERVICE_UNAVAILABLE, [(header::RETRY_AFTER, seconds.to_string())])
                    .into_response()
            }
            Self::Redirect => (StatusCode::FOUND, [(header::LOCATION, "/elsewhere")]).into_response(),
            Self::WebPage => web_page(),
            Self::Endless => {
                let chunk = Bytes::from(vec![b'x'; 65_536]);
                of_chunks(stream::repeat(chunk))
            }
            Self::Drip => {
                let drops = stream::repeat(Bytes::from_static(b"x"));
                of_chunks(drops.then(|drop| async {
                    tokio::time::sleep(DRIP_EVERY).await;
                    drop
                }))
            }
            Self::Hang | Self::TakeAndHang => std::future::pending().await,
            Self::Cut | Self::TakeAndCut => cut(),
            Self::KillBefore(deaths, environment) | Self::KillAfter(deaths, environment) => {
                deaths.kill(environment);
                cut()
            }
        }
    }
}

/// Returns the page that a shop shows without its webhook key.
pub(super) fn web_page() -> Response {
    Html(HOME_PAGE).into_response()
}

fn of_chunks(chunks: impl stream::Stream<Item = Bytes> + Send + 'static) -> Response {
    Response::new(Body::from_stream(chunks.map(Ok::<_, io::Error>)))
}

/// Makes a response that ends before its body.
fn cut() -> Response {
    let reset = stream::once(async { Err::<Bytes, _>(io::Error::from(io::ErrorKind::ConnectionReset)) });
    Response::new(Body::from_stream(reset))
}
