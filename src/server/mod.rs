//! Accepts connections and hands each request to the pipeline that is current at that moment.
//!
//! Strict about framing, bounded in time and number. Knows nothing of what a request means.

mod connection;
mod framing;
mod guard;
mod h1;
mod h2;
mod h2_pace;
mod h2_streams;
mod preface;
mod presence;
mod renewal;
mod target;
mod tls;
mod unwritten;

use std::sync::Arc;
use std::time::Duration;
use std::{fmt, io};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use self::connection::Connections;
use self::presence::Roster;
pub use self::tls::Tls;
use crate::clock::Clock;
use crate::config::ListenConfig;
use crate::lifecycle::{DrainWatch, Phase};
use crate::listener::{CallerAddress, Handover, Listener};
use crate::pipeline::CurrentPipeline;

/// Accepts callers until the process drains.
pub struct Server {
    listener: Listener,
    tls: Option<Arc<Tls>>,
    places: Arc<Semaphore>,
    roster: Roster,
    connections: Connections,
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server").field("listener", &self.listener).finish_non_exhaustive()
    }
}

impl Server {
    /// `connections_max` is `listen.max_connections`, or as many as there are descriptors for.
    pub fn new(
        listener: Listener,
        config: &ListenConfig,
        connections_max: usize,
        tls: Option<Arc<Tls>>,
        pipeline: CurrentPipeline,
        drain: DrainWatch,
        clock: Clock,
    ) -> Self {
        Self {
            listener,
            tls,
            places: Arc::new(Semaphore::new(connections_max)),
            roster: Roster::new(clock),
            connections: Connections {
                pipeline,
                drain,
                waiting_streams: Arc::default(),
                header_timeout: config.header_timeout,
                idle_timeout: config.idle_timeout,
                body_timeout: config.body_timeout,
                max_header_bytes: config.max_header_bytes,
            },
        }
    }

    /// Accepts connections until the process drains. Whatever was accepted is served.
    pub async fn run(self) {
        let _accepting = self.connections.drain.accepting();
        let mut drain = self.connections.drain.clone();
        loop {
            let accepted = tokio::select! {
                accepted = self.listener.accept() => accepted,
                () = drain.reached(Phase::Draining) => return,
            };
            let (socket, peer) = match accepted {
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
            let place = tokio::select! {
                biased;
                place = self.place() => place,
                () = drain.reached(Phase::Draining) => return,
            };
            let ip = peer.map(|peer| peer.ip());
            let presence = self.roster.enter(ip);
            let connections = self.connections.clone();
            let tls = self.tls.as_ref().map(|tls| tls.acceptor());
            let caller = CallerAddress { ip, tls: tls.is_some(), certificate: None };
            let Ok(socket) = Handover::of(socket) else { continue };
            self.connections.drain.serve(async move {
                let _place = place;
                if let Ok(socket) = socket.taken_over() {
                    connections.serve(socket, tls, caller, presence).await;
                }
            });
        }
    }
}

impl Server {
    /// A place for the connection that was just accepted. When all are taken, an idle one leaves;
    /// while none is idle, nothing more is accepted.
    async fn place(&self) -> OwnedSemaphorePermit {
        loop {
            let place = Arc::clone(&self.places).acquire_owned();
            let wait = if self.places.available_permits() == 0 {
                self.roster.send_one_away();
                IDLE_LOOKED_FOR_EVERY
            } else {
                Duration::MAX
            };
            if let Ok(place) = tokio::time::timeout(wait, place).await {
                return place.expect("the semaphore is never closed");
            }
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

/// While all places are taken, and nobody was idle a moment ago or whoever was is slow to leave.
const IDLE_LOOKED_FOR_EVERY: Duration = Duration::from_millis(20);
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
