//! Asks the admin listener of a running gateway.

use std::io;
use std::time::Duration;

use koodrive_gateway::config::ListenAddress;
use tokio::io::{
    AsyncBufRead, AsyncBufReadExt as _, AsyncRead, AsyncReadExt as _, AsyncWrite,
    AsyncWriteExt as _, BufReader,
};
use tokio::net::{TcpStream, UnixStream};

/// A body as it comes.
pub(super) type Coming = Box<dyn AsyncBufRead + Unpin>;

/// What was answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Reply {
    pub(super) status: u16,
    pub(super) text: String,
}

/// A page, whole.
pub(super) async fn ask(admin: &ListenAddress, path: &str, within: Duration) -> io::Result<Reply> {
    whole(admin, &get(path), within).await
}

/// Has the gateway forget what it remembers of a caller, or of all.
pub(super) async fn forget(
    admin: &ListenAddress,
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
    whole(admin, &request, within).await
}

async fn whole(admin: &ListenAddress, request: &str, within: Duration) -> io::Result<Reply> {
    let asking = async {
        let (status, body) = send(admin, request).await?;
        let mut text = String::new();
        body.take(ANSWER_BYTES_MAX).read_to_string(&mut text).await?;
        Ok(Reply { status, text })
    };
    tokio::time::timeout(within, asking).await.unwrap_or(Err(io::ErrorKind::TimedOut.into()))
}

/// The status of a page, and its body as it comes.
pub(super) async fn follow(admin: &ListenAddress, path: &str) -> io::Result<(u16, Coming)> {
    send(admin, &get(path)).await
}

/// Of version 1.0, so that the body is not cut into chunks and ends with the connection.
fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.0\r\nHost: localhost\r\nAccept: text/plain\r\n\r\n")
}

async fn send(admin: &ListenAddress, request: &str) -> io::Result<(u16, Coming)> {
    match admin {
        ListenAddress::Tcp(address) => put(request, TcpStream::connect(address).await?).await,
        ListenAddress::Unix(socket) => put(request, UnixStream::connect(socket).await?).await,
    }
}

async fn put<T>(request: &str, mut stream: T) -> io::Result<(u16, Coming)>
where
    T: AsyncRead + AsyncWrite + Unpin + 'static,
{
    stream.write_all(request.as_bytes()).await?;
    let mut reader = BufReader::new(stream);
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        let left = HEAD_BYTES_MAX.saturating_sub(head.len() as u64);
        if (&mut reader).take(left).read_line(&mut head).await? == 0 {
            return Err(io::ErrorKind::InvalidData.into());
        }
    }
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
    let status = status.filter(|_| head.starts_with("HTTP/")).ok_or(io::ErrorKind::InvalidData)?;
    Ok((status, Box::new(reader)))
}

/// Why there is no answer, and what to look at.
pub(super) fn unanswered(admin: &ListenAddress, error: &io::Error, within: Duration) -> String {
    match (error.kind(), admin) {
        (io::ErrorKind::ConnectionRefused, _) => {
            "nobody listens there; is it running, and is this its admin.address?".to_owned()
        }
        (io::ErrorKind::NotFound, ListenAddress::Unix(_)) => {
            "there is no such socket; is it running, and is this its admin.address?".to_owned()
        }
        (io::ErrorKind::TimedOut, _) => format!("no answer within {within:?}"),
        (io::ErrorKind::InvalidData, _) => "what answers there does not speak HTTP".to_owned(),
        _ => error.to_string(),
    }
}

const HEAD_BYTES_MAX: u64 = 16 * 1024;
const ANSWER_BYTES_MAX: u64 = 1024 * 1024;
