//! An upstream that answers byte by byte, for what no HTTP server would do.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use crate::support::world::{Plan, World};

const PATIENCE: Duration = Duration::from_secs(10);

/// Listens where KooDrive should.
pub(super) struct Upstream {
    socket: TcpListener,
}

/// One connection of the gateway.
pub(super) struct Connection {
    stream: TcpStream,
    unread: Vec<u8>,
}

impl Upstream {
    pub(super) async fn start() -> Self {
        Self { socket: TcpListener::bind("127.0.0.1:0").await.unwrap() }
    }

    fn address(&self) -> SocketAddr {
        self.socket.local_addr().unwrap()
    }

    /// A world whose gateway forwards here.
    pub(super) fn plan(&self) -> Plan {
        let upstream = format!("[forward]\nupstream = 'http://{}'", self.address());
        World::plan().config("[limit]\nmode = 'off'").config(&upstream)
    }

    pub(super) async fn accept(&self) -> Connection {
        let accepted = tokio::time::timeout(PATIENCE, self.socket.accept()).await;
        let (stream, _) = accepted.expect("a connection").unwrap();
        stream.set_nodelay(true).unwrap();
        Connection { stream, unread: Vec::new() }
    }

    /// Nobody connects for a while.
    pub(super) async fn stays_alone(&self) -> bool {
        tokio::time::timeout(Duration::from_millis(200), self.socket.accept()).await.is_err()
    }
}

impl Connection {
    /// The head of the next request and, by its length, its body; `None` at the end.
    pub(super) async fn request(&mut self) -> Option<String> {
        loop {
            let text = String::from_utf8_lossy(&self.unread).into_owned();
            if let Some(end) = text.find("\r\n\r\n") {
                let head = text.to_lowercase();
                let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
                let length: usize = length.map_or(0, |length| length.parse().unwrap());
                if end + 4 + length <= self.unread.len() {
                    let request = self.unread.drain(..end + 4 + length).collect();
                    return Some(String::from_utf8(request).unwrap());
                }
            }
            let reading = self.stream.read_buf(&mut self.unread);
            let read = tokio::time::timeout(PATIENCE, reading).await.expect("bytes or an end");
            if read.unwrap_or(0) == 0 {
                return None;
            }
        }
    }

    pub(super) async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.stream.write_all(bytes.as_ref()).await.unwrap();
    }

    /// Everything that comes, until the other side closes.
    pub(super) async fn rest(&mut self) -> Vec<u8> {
        let mut rest = std::mem::take(&mut self.unread);
        let reading = self.stream.read_to_end(&mut rest);
        // A reset is an end too.
        tokio::time::timeout(PATIENCE, reading).await.expect("an end").unwrap_or(0);
        rest
    }
}
