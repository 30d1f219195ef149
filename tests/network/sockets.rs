//! What the files under test import in place of tokio's sockets and hyper-util's connector.

use std::cell::Cell;
use std::marker::PhantomData;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;
use std::{fmt, io};

use http::Uri;
use hyper_util::client::legacy::connect::{Connected, Connection};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use turmoil::net;

thread_local! {
    static OPEN: Cell<usize> = const { Cell::new(0) };
}

/// Connections of the gateways of this thread. turmoil counts also those that were given up before
/// they were made.
pub fn open() -> usize {
    OPEN.get()
}

#[derive(Debug)]
pub struct TcpStream(net::TcpStream);

impl Drop for TcpStream {
    fn drop(&mut self) {
        OPEN.set(OPEN.get() - 1);
    }
}

impl TcpStream {
    fn new(stream: net::TcpStream) -> Self {
        OPEN.set(OPEN.get() + 1);
        Self(stream)
    }

    /// There is one runtime: nothing is to be done to hand it over.
    pub fn into_std(self) -> io::Result<Self> {
        Ok(self)
    }

    pub fn from_std(stream: Self) -> io::Result<Self> {
        Ok(stream)
    }

    pub fn set_nodelay(&self, nodelay: bool) -> io::Result<()> {
        self.0.set_nodelay(nodelay)
    }
}

impl Connection for TcpStream {
    fn connected(&self) -> Connected {
        Connected::new()
    }
}

impl AsyncRead for TcpStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, into)
    }
}

impl AsyncWrite for TcpStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}

pub struct TcpListener(net::TcpListener);

impl fmt::Debug for TcpListener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TcpListener")
    }
}

impl TcpListener {
    pub async fn bind(address: &SocketAddr) -> io::Result<Self> {
        Ok(Self(net::TcpListener::bind(*address).await?))
    }

    pub fn from_std(_: std::net::TcpListener) -> io::Result<Self> {
        Err(io::ErrorKind::Unsupported.into())
    }

    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.0.local_addr()
    }

    pub async fn accept(&self) -> io::Result<(TcpStream, SocketAddr)> {
        let (stream, peer) = self.0.accept().await?;
        Ok((TcpStream::new(stream), peer))
    }
}

/// Connects by the names of hosts.
#[derive(Clone, Debug)]
pub struct HttpConnector<R>(PhantomData<fn() -> R>);

impl<R> HttpConnector<R> {
    pub fn new_with_resolver(_: R) -> Self {
        Self(PhantomData)
    }

    /// There is one runtime: nothing is to be done to hand it over.
    pub fn into_std(self) -> io::Result<Self> {
        Ok(self)
    }

    pub fn from_std(stream: Self) -> io::Result<Self> {
        Ok(stream)
    }

    pub fn set_nodelay(&mut self, _: bool) {}

    pub fn enforce_http(&mut self, _: bool) {}

    pub fn set_connect_timeout(&mut self, _: Option<Duration>) {}

    pub async fn call(self, to: Uri) -> io::Result<TokioIo<TcpStream>> {
        let host = to.host().unwrap_or_default().to_owned();
        let stream = net::TcpStream::connect((host, to.port_u16().unwrap_or(80))).await?;
        Ok(TokioIo::new(TcpStream::new(stream)))
    }
}
