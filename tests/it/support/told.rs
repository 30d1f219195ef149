//! Everything one gateway has told the world besides its answers, searched when it ends.
//!
//! Its log, the library's log of this process at trace level, and its admin pages. The pages are
//! looked at before a stop that a test asks for, else at the very end: a gateway in this process is
//! asked without a socket, since whoever drops it cannot wait for one; a child over a socket, which
//! it serves by itself. The exports are searched by the collector, which has them.

use std::io;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::{Arc, Mutex, Weak};
use std::thread::JoinHandle;
use std::time::Duration;

use http::{HeaderMap, Method};
use koodrive_gateway::admin::Pages;
use koodrive_gateway::body::OutboundBody;
use koodrive_gateway::telemetry::LogWriter;

use crate::support::canary::Canaries;
use crate::support::logs::Logs;
use crate::support::own_log;

const PAGES: [&str; 6] = ["/", "/metrics", "/config", "/refusals", "/readyz", "/livez"];
/// Longest wait for a page, or for a line to be written.
const PATIENCE: Duration = Duration::from_secs(5);

pub(super) struct Told {
    canaries: Canaries,
    pages: Mutex<Vec<u8>>,
    by: By,
}

/// Who tells, and how to hear the last of it.
enum By {
    Here { mark: usize, pages: Weak<Pages>, writer: LogWriter },
    Child { admin: SocketAddr, following: Mutex<Option<JoinHandle<()>>> },
}

impl Told {
    /// `mark`: where its part of this process's log begins.
    pub(super) fn here(
        canaries: &Canaries,
        mark: usize,
        pages: &Arc<Pages>,
        writer: LogWriter,
    ) -> Self {
        Self::by(canaries, By::Here { mark, pages: Arc::downgrade(pages), writer })
    }

    /// `following`: the thread that reads its log.
    pub(super) fn child(canaries: &Canaries, admin: SocketAddr, following: JoinHandle<()>) -> Self {
        Self::by(canaries, By::Child { admin, following: Mutex::new(Some(following)) })
    }

    fn by(canaries: &Canaries, by: By) -> Self {
        Self { canaries: canaries.clone(), pages: Mutex::default(), by }
    }

    /// Keeps what the admin pages show now, as long as they are served.
    pub(super) fn look_at_pages(&self) {
        let mut kept = self.pages.lock().expect("no holder panics");
        for path in PAGES {
            match &self.by {
                By::Here { pages, .. } => {
                    let Some(pages) = pages.upgrade() else { return };
                    let (head, body) =
                        pages.answer(&Method::GET, path, &HeaderMap::new()).into_parts();
                    let OutboundBody::Whole(Some(page)) = body else {
                        panic!("{path} is not in memory");
                    };
                    kept.extend_from_slice(format!("{:?}\n", head.headers).as_bytes());
                    kept.extend_from_slice(&page);
                }
                By::Child { admin, .. } => match visit(*admin, path) {
                    Ok(page) => kept.extend_from_slice(&page),
                    // It was killed, or holds still: then there is nothing to see.
                    Err(_) => return,
                },
            }
        }
    }

    /// # Panics
    /// When a secret of its world stands in anything the gateway told. It must have ended.
    pub(super) fn holds_no_secret(&self, logs: &Logs) {
        let net = self.canaries.net();
        match &self.by {
            By::Here { mark, writer, .. } => {
                writer.flush(PATIENCE);
                let own = own_log::since(*mark);
                net.find_none_in(own.as_bytes(), "the library's log");
            }
            By::Child { following, .. } => {
                let following = following.lock().expect("no holder panics").take();
                // Its end of the pipe is closed, so this is no long wait.
                following.map_or(Ok(()), JoinHandle::join).expect("reading does not panic");
            }
        }
        net.find_none_in(logs.behind(0).as_bytes(), "the gateway's log");
        net.find_none_in(&self.pages.lock().expect("no holder panics"), "an admin page");
    }
}

/// One page of another process, headers and all.
fn visit(admin: SocketAddr, path: &str) -> io::Result<Vec<u8>> {
    let mut connection = TcpStream::connect_timeout(&admin, PATIENCE)?;
    connection.set_read_timeout(Some(PATIENCE))?;
    write!(connection, "GET {path} HTTP/1.1\r\nhost: {admin}\r\nconnection: close\r\n\r\n")?;
    let mut page = Vec::new();
    connection.read_to_end(&mut page)?;
    Ok(page)
}
