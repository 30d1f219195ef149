//! Asks another process whether it is ready: `wait-ready`.

use std::io;
use std::time::Duration;

use tokio::io::AsyncRead;
use tokio::io::AsyncReadExt as _;
use tokio::io::AsyncWrite;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio::net::UnixStream;

use crate::config::ListenAddress;

/// What `/readyz` said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Readiness {
    pub ready: bool,
    /// The JSON body, with the reasons.
    pub answer: String,
}

/// Asks `/readyz` of the admin listener at `address`.
pub async fn ask_readiness(address: &ListenAddress, within: Duration) -> io::Result<Readiness> {
    let asking = async {
        match address {
            ListenAddress::Tcp(address) => ask(TcpStream::connect(address).await?).await,
            ListenAddress::Unix(path) => ask(UnixStream::connect(path).await?).await,
        }
    };
    tokio::time::timeout(within, asking).await.unwrap_or(Err(io::ErrorKind::TimedOut.into()))
}

async fn ask<T: AsyncRead + AsyncWrite + Unpin>(mut stream: T) -> io::Result<Readiness> {
    stream.write_all(b"GET /readyz HTTP/1.0\r\nHost: admin\r\n\r\n").await?;
    let mut answer = String::new();
    stream.take(ANSWER_BYTES_MAX).read_to_string(&mut answer).await?;
    let (head, body) = answer.split_once("\r\n\r\n").ok_or(io::ErrorKind::InvalidData)?;
    let ready = head.split(' ').nth(1) == Some("200");
    Ok(Readiness { ready, answer: body.to_owned() })
}

const ANSWER_BYTES_MAX: u64 = 16 * 1024;
