//! Asks another process whether it is ready, or alive: `wait-ready`.

use std::time::Duration;
use std::{fmt, io};

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpStream, UnixStream};

use crate::config::ListenAddress;

/// What is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Question {
    /// `/readyz`
    Ready,
    /// `/livez`
    Alive,
}

impl Question {
    fn path(self) -> &'static str {
        match self {
            Self::Ready => "/readyz",
            Self::Alive => "/livez",
        }
    }
}

/// The answer no.
impl fmt::Display for Question {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ready => "not ready",
            Self::Alive => "not alive",
        })
    }
}

/// What was answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    pub yes: bool,
    /// The body; of `/readyz` it has the reasons.
    pub text: String,
}

/// Asks the admin listener at `address`.
pub async fn ask(
    address: &ListenAddress,
    question: Question,
    within: Duration,
) -> io::Result<Asked> {
    let asking = async {
        match address {
            ListenAddress::Tcp(address) => put(question, TcpStream::connect(address).await?).await,
            ListenAddress::Unix(path) => put(question, UnixStream::connect(path).await?).await,
        }
    };
    tokio::time::timeout(within, asking).await.unwrap_or(Err(io::ErrorKind::TimedOut.into()))
}

async fn put<T>(question: Question, mut stream: T) -> io::Result<Asked>
where
    T: AsyncRead + AsyncWrite + Unpin,
{
    let request = format!("GET {} HTTP/1.0\r\nHost: admin\r\n\r\n", question.path());
    stream.write_all(request.as_bytes()).await?;
    let mut answer = String::new();
    stream.take(ANSWER_BYTES_MAX).read_to_string(&mut answer).await?;
    let (head, body) = answer.split_once("\r\n\r\n").ok_or(io::ErrorKind::InvalidData)?;
    let yes = head.split(' ').nth(1) == Some("200");
    Ok(Asked { yes, text: body.to_owned() })
}

const ANSWER_BYTES_MAX: u64 = 16 * 1024;
