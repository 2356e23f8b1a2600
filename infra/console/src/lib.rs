//! The console: the shop's license desk in a browser, on this machine.
//!
//! | module | content |
//! |---|---|
//! | `access` | the one-time link, sessions, foreign hosts and origins, the headers of all responses |
//! | `assets` | the style sheet, the script and the vendored libraries |
//! | `commands` | subcommands as the pages run them, and what these print |
//! | `form` | the fields of a form, and the token that protects it |
//! | `imports` | the received files, and the imports that run |
//! | `pages` | the pages, one file for each |
//!
//! A page runs subcommands and shows their JSON output. So the console and the command do the same, and the
//! console knows neither DynamoDB nor KMS.

mod access;
mod assets;
mod commands;
mod form;
mod imports;
mod pages;

use std::path::Path;
use std::sync::Arc;

use axum::Router;
use axum::response::Redirect;
use axum::routing::get;

use imports::Imports;
use pages::LastCount;

pub use access::{Access, HOME};
pub use commands::{Commands, Ended, Event, Run};

/// The parts that every page needs.
#[derive(Clone)]
struct Desk {
    access: Arc<Access>,
    commands: Arc<Commands>,
    imports: Arc<Imports>,
    last_count: Arc<LastCount>,
}

/// The routes of the console, all below [`HOME`]. It stores the files of imports in `files`.
pub fn router(access: Arc<Access>, commands: Commands, files: &Path) -> Router {
    let imports = Arc::new(Imports::new(files.join("imports")));
    let desk = Desk {
        access: Arc::clone(&access),
        commands: Arc::new(commands),
        imports,
        last_count: Arc::default(),
    };
    let pages = pages::routes()
        .route_layer(axum::middleware::from_fn_with_state(Arc::clone(&access), access::require_session));
    let open = access::routes().merge(assets::routes());
    let all = pages.merge(open).fallback(pages::not_found).with_state(desk);
    // People type the address with a slash at its end, too.
    let with_slash = get(|| async { Redirect::permanent(HOME) });
    let all = Router::new().nest(HOME, all).route(&format!("{HOME}/"), with_slash);
    all.layer(axum::middleware::from_fn_with_state(access, access::guard))
}
