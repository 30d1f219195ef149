//! Accepts connections and hands each request to the pipeline that is current at that moment.
//!
//! Strict about framing, bounded in time and number. Knows nothing of what a request means.

mod connection;
mod framing;
mod guard;
mod h2_streams;
mod preface;
mod target;
mod tls;
mod write_timeout;

use std::sync::Arc;
use std::time::Duration;
use std::{fmt, io};

use tokio::sync::Semaphore;

use self::connection::Connections;
pub use self::tls::{Tls, TlsSetupError};
use crate::config::ListenConfig;
use crate::lifecycle::{DrainWatch, Phase};
use crate::listener::{CallerAddress, Listener};
use crate::pipeline::CurrentPipeline;

/// Accepts callers until the process drains.
pub struct Server {
    listener: Listener,
    tls: Option<Arc<Tls>>,
    places: Arc<Semaphore>,
    connections: Connections,
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server").field("listener", &self.listener).finish_non_exhaustive()
    }
}

impl Server {
    pub fn new(
        listener: Listener,
        config: &ListenConfig,
        tls: Option<Arc<Tls>>,
        pipeline: CurrentPipeline,
        drain: DrainWatch,
    ) -> Self {
        Self {
            listener,
            tls,
            places: Arc::new(Semaphore::new(config.max_connections)),
            connections: Connections {
                pipeline,
                drain,
                header_timeout: config.header_timeout,
                idle_timeout: config.idle_timeout,
                body_timeout: config.body_timeout,
                max_header_bytes: config.max_header_bytes,
            },
        }
    }

    /// Accepts connections until the process drains.
    pub async fn run(self) {
        let mut drain = self.connections.drain.clone();
        tokio::select! {
            () = self.accept_all() => {}
            () = drain.reached(Phase::Draining) => {}
        }
    }

    async fn accept_all(&self) {
        loop {
            let place = Arc::clone(&self.places)
                .acquire_owned()
                .await
                .expect("the semaphore is never closed");
            let (socket, peer) = match self.listener.accept().await {
                Ok(accepted) => accepted,
                Err(error) => {
                    if concerns_one_connection(&error) {
                        tracing::debug!(%error, "connection gone before it was accepted");
                        continue;
                    }
                    // Out of file descriptors, for example: the next try would fail at once too.
                    tracing::warn!(%error, "connection not accepted");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                    continue;
                }
            };
            let connections = self.connections.clone();
            let tls = self.tls.as_ref().map(|tls| tls.acceptor());
            let caller = CallerAddress {
                ip: peer.map(|peer| peer.ip()),
                tls: tls.is_some(),
                certificate: None,
            };
            self.connections.drain.serve(async move {
                let _place = place;
                connections.serve(socket, tls, caller).await;
            });
        }
    }
}

/// Whether the next connection may well be accepted.
fn concerns_one_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionRefused
            | io::ErrorKind::Interrupted
            | io::ErrorKind::InvalidInput
            | io::ErrorKind::NotConnected
    )
}

const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
