use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use axum::Router;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

/// The time that running requests get to finish when a server stops.
const STOP_WITHIN: Duration = Duration::from_secs(3);

/// An HTTP server on loopback that runs until it is stopped.
#[derive(Debug)]
pub(crate) struct Server {
    address: SocketAddr,
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

/// Binds a port of 127.0.0.1; 0 picks one.
pub(crate) async fn bind(port: u16) -> std::io::Result<TcpListener> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await
}

impl Server {
    /// Runs the future that `serve` returns. Its second argument is a signal to stop.
    pub(crate) fn start<F>(
        listener: TcpListener,
        serve: impl FnOnce(TcpListener, StopSignal) -> F,
    ) -> std::io::Result<Self>
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let address = listener.local_addr()?;
        let (stop, stopped) = oneshot::channel();
        let task = tokio::spawn(serve(listener, StopSignal(stopped)));
        Ok(Self { address, stop, task })
    }

    /// Serves `router`, whose handlers can extract the client's address.
    pub(crate) fn start_router(listener: TcpListener, router: Router) -> std::io::Result<Self> {
        Self::start(listener, |listener, stopped| async move {
            let service = router.into_make_service_with_connect_info::<SocketAddr>();
            let served = axum::serve(listener, service).with_graceful_shutdown(stopped.wait());
            if let Err(error) = served.await {
                tracing::error!(%error, "a local server ended");
            }
        })
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Stops listening and lets running requests finish. Returns when the server has ended.
    pub(crate) async fn stop(self) {
        // An error means that the server has already ended.
        let _ = self.stop.send(());
        let abort = self.task.abort_handle();
        if tokio::time::timeout(STOP_WITHIN, self.task).await.is_err() {
            abort.abort();
        }
    }
}

/// The signal to a server to stop. It also fires when the server's owner is gone.
pub(crate) struct StopSignal(oneshot::Receiver<()>);

impl StopSignal {
    pub(crate) async fn wait(self) {
        // An error means that the owner is gone. Stop in that case, too.
        let _ = self.0.await;
    }
}
