//! The console: the shop's license desk in a browser, on this machine.
//!
//! | module | content |
//! |---|---|
//! | `access` | the one-time link, sessions, foreign hosts and origins, the headers of all responses |
//! | `assets` | the style sheet, the script and the vendored libraries |
//! | `commands` | runs subcommands for the pages, and collects their output |
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

use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::middleware::from_fn_with_state;
use axum::response::Redirect;
use axum::routing::get;
use tokio::time::timeout;

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

/// The time that imports get to end when the console stops.
const STOP_WITHIN: Duration = Duration::from_secs(5);

/// The console of one target.
pub struct Console {
    desk: Desk,
}

impl fmt::Debug for Console {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Console").field("commands", &self.desk.commands).finish_non_exhaustive()
    }
}

impl Console {
    /// A console that stores the files of imports in `files`.
    #[must_use]
    pub fn new(access: Arc<Access>, commands: Commands, files: &Path) -> Self {
        let imports = Arc::new(Imports::new(files.join("imports")));
        Self { desk: Desk { access, commands: Arc::new(commands), imports, last_count: Arc::default() } }
    }

    /// Its routes, all below [`HOME`].
    pub fn router(&self) -> Router {
        let access = Arc::clone(&self.desk.access);
        let require_session = from_fn_with_state(Arc::clone(&access), access::require_session);
        let pages = pages::routes().route_layer(require_session);
        let open = access::routes().merge(assets::routes());
        let all = pages.merge(open).fallback(pages::not_found).with_state(self.desk.clone());
        // People type the address with a slash at its end, too.
        let with_slash = get(|| async { Redirect::permanent(HOME) });
        let all = Router::new().nest(HOME, all).route(&format!("{HOME}/"), with_slash);
        all.layer(from_fn_with_state(access, access::guard))
    }

    /// Interrupts the imports that run, and gives them five seconds to end. Their receipts show where they
    /// continue.
    pub async fn stop(&self) {
        // An import that does not end in time is safe, too: its receipt has every line that is done.
        let _ = timeout(STOP_WITHIN, self.desk.imports.stop_all()).await;
    }
}
