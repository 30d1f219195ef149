//! Asks a running gateway whether it is ready, or alive, or to forget.

use std::io;
use std::time::Duration;

use koodrive_gateway::config::ListenAddress;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpStream, UnixStream};

/// What is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Question {
    /// `/readyz`
    Ready,
    /// `/livez`
    Alive,
}

impl Question {
    pub(super) fn path(self) -> &'static str {
        match self {
            Self::Ready => "/readyz",
            Self::Alive => "/livez",
        }
    }

    /// What is said when the answer is no.
    pub(super) fn no(self) -> &'static str {
        match self {
            Self::Ready => "not ready",
            Self::Alive => "not alive",
        }
    }
}

/// What was answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Reply {
    /// 200 is yes.
    pub(super) status: u16,
    /// The body; of `/readyz` it has the reasons.
    pub(super) text: String,
}

/// Asks the admin listener at `address`.
pub(super) async fn ask(
    address: &ListenAddress,
    question: Question,
    within: Duration,
) -> io::Result<Reply> {
    let request = format!("GET {} HTTP/1.0\r\nHost: localhost\r\n\r\n", question.path());
    send(address, &request, within).await
}

/// Has the gateway at `address` forget what it remembers of a caller, or of all.
pub(super) async fn forget(
    address: &ListenAddress,
    caller: Option<&str>,
    within: Duration,
) -> io::Result<Reply> {
    let whom = match caller {
        Some(digest) => serde_json::json!({ "caller": digest }),
        None => serde_json::json!({ "all": true }),
    };
    let body = whom.to_string();
    let request = format!(
        "POST /forget HTTP/1.0\r\nHost: localhost\r\nKoodrive-Gateway: forget\r\n\
         Content-Length: {}\r\n\r\n{body}",
        body.len()
    );
    send(address, &request, within).await
}

async fn send(address: &ListenAddress, request: &str, within: Duration) -> io::Result<Reply> {
    let asking = async {
        match address {
            ListenAddress::Tcp(address) => put(request, TcpStream::connect(address).await?).await,
            ListenAddress::Unix(path) => put(request, UnixStream::connect(path).await?).await,
        }
    };
    tokio::time::timeout(within, asking).await.unwrap_or(Err(io::ErrorKind::TimedOut.into()))
}

async fn put<T>(request: &str, mut stream: T) -> io::Result<Reply>
where
    T: AsyncRead + AsyncWrite + Unpin,
{
    stream.write_all(request.as_bytes()).await?;
    let mut answer = String::new();
    stream.take(ANSWER_BYTES_MAX).read_to_string(&mut answer).await?;
    let (head, body) = answer.split_once("\r\n\r\n").ok_or(io::ErrorKind::InvalidData)?;
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
    let status = status.filter(|_| head.starts_with("HTTP/")).ok_or(io::ErrorKind::InvalidData)?;
    Ok(Reply { status, text: body.to_owned() })
}

const ANSWER_BYTES_MAX: u64 = 16 * 1024;
