//! Where connections come from: TCP or a Unix socket.

mod write_timeout;

use std::fs::File;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

use listenfd::ListenFd;
use tokio::net::{TcpListener, TcpSocket, TcpStream, UnixListener, UnixSocket, UnixStream};
use tokio_util::either::Either;

pub use self::write_timeout::WriteTimeout;
use crate::config::ListenAddress;

/// Where a caller's connection comes from.
#[derive(Clone, Copy, Debug)]
pub struct CallerAddress {
    /// None on a Unix socket.
    pub ip: Option<IpAddr>,
    pub tls: bool,
    /// SHA-256 of the certificate the caller presented, if callers present any.
    pub certificate: Option<[u8; 32]>,
}

impl CallerAddress {
    /// The scheme the caller used.
    pub fn scheme(self) -> &'static str {
        if self.tls { "https" } else { "http" }
    }
}

/// A bound socket. The file of a Unix socket is ours to remove, unless the service manager made it.
#[derive(Debug)]
pub enum Listener {
    Tcp(TcpListener),
    Unix(UnixListener, Option<SocketFile>),
}

/// Removes the socket's file when the listener goes, unless another process has put its own there.
#[derive(Debug)]
pub struct SocketFile {
    path: PathBuf,
    /// Device and inode.
    identity: (u64, u64),
}

impl SocketFile {
    fn at(path: &Path) -> io::Result<Self> {
        Ok(Self { path: path.to_owned(), identity: identity_of(path)? })
    }
}

fn identity_of(path: &Path) -> io::Result<(u64, u64)> {
    let meta = std::fs::symlink_metadata(path)?;
    Ok((meta.dev(), meta.ino()))
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        let ours = identity_of(&self.path).is_ok_and(|identity| identity == self.identity);
        if ours && let Err(error) = std::fs::remove_file(&self.path) {
            tracing::debug!(%error, path = %self.path.display(), "socket file not removed");
        }
    }
}

/// A connection before TLS.
pub type Socket = Either<TcpStream, UnixStream>;

/// A connection on its way to the runtime that will serve it, and so part of none.
#[derive(Debug)]
pub struct Handover(Either<std::net::TcpStream, std::os::unix::net::UnixStream>);

impl Handover {
    pub fn of(socket: Socket) -> io::Result<Self> {
        Ok(Self(match socket {
            Either::Left(stream) => Either::Left(stream.into_std()?),
            Either::Right(stream) => Either::Right(stream.into_std()?),
        }))
    }

    /// Within the runtime that serves it.
    pub fn taken_over(self) -> io::Result<Socket> {
        Ok(match self.0 {
            Either::Left(stream) => Either::Left(TcpStream::from_std(stream)?),
            Either::Right(stream) => Either::Right(UnixStream::from_std(stream)?),
        })
    }
}

impl Listener {
    pub async fn bind(address: &ListenAddress) -> io::Result<Self> {
        match address {
            ListenAddress::Tcp(address) => listen(*address).map(Self::Tcp),
            ListenAddress::Unix(path) => {
                // Of two processes that start at once, one must see the socket of the other.
                let _alone = lock_folder_of(path)?;
                remove_stale(path).await?;
                let socket = UnixSocket::new_stream()?;
                socket.bind(path)?;
                let listener = socket.listen(BACKLOG)?;
                Ok(Self::Unix(listener, Some(SocketFile::at(path)?)))
            }
        }
    }

    /// The socket that the service manager listens on for this process (`sd_listen_fds(3)`):
    /// connections wait in it while nobody serves them, so that a restart refuses none.
    ///
    /// # Errors
    /// When there are several, or the one is no listening stream socket.
    pub fn inherited() -> io::Result<Option<Self>> {
        let mut sockets = ListenFd::from_env();
        match sockets.len() {
            0 => Ok(None),
            1 => Self::take(&mut sockets).map(Some),
            several => Err(io::Error::other(format!("LISTEN_FDS has {several} sockets, not one"))),
        }
    }

    /// Within a runtime.
    fn take(sockets: &mut ListenFd) -> io::Result<Self> {
        if let Ok(Some(listener)) = sockets.take_tcp_listener(0) {
            listener.set_nonblocking(true)?;
            return Ok(Self::Tcp(TcpListener::from_std(listener)?));
        }
        let listener = sockets.take_unix_listener(0)?.ok_or(io::ErrorKind::NotFound)?;
        listener.set_nonblocking(true)?;
        Ok(Self::Unix(UnixListener::from_std(listener)?, None))
    }

    /// The address that was really taken.
    pub fn address(&self) -> io::Result<ListenAddress> {
        match self {
            Self::Tcp(listener) => listener.local_addr().map(ListenAddress::Tcp),
            Self::Unix(listener, _) => {
                let address = listener.local_addr()?;
                let path = address.as_pathname().unwrap_or(Path::new("/"));
                Ok(ListenAddress::Unix(path.to_owned()))
            }
        }
    }

    pub async fn accept(&self) -> io::Result<(Socket, Option<SocketAddr>)> {
        match self {
            Self::Tcp(listener) => {
                let (stream, peer) = listener.accept().await?;
                stream.set_nodelay(true)?;
                Ok((Either::Left(stream), Some(peer)))
            }
            Self::Unix(listener, _) => {
                let (stream, _) = listener.accept().await?;
                Ok((Either::Right(stream), None))
            }
        }
    }
}

fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = match address {
        SocketAddr::V4(_) => TcpSocket::new_v4()?,
        SocketAddr::V6(_) => TcpSocket::new_v6()?,
    };
    // As std does: a restart need not wait until the last connections are forgotten.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// Callers who come at once wait their turn. Beyond it the kernel lets them try again after a second,
/// after three, after seven. It allows at most `net.core.somaxconn`.
const BACKLOG: u32 = 1024;

/// A socket file that nobody listens on any more is left over from a process that was killed.
async fn remove_stale(path: &Path) -> io::Result<()> {
    let is_socket = std::fs::symlink_metadata(path).is_ok_and(|meta| meta.file_type().is_socket());
    if !is_socket {
        return Ok(());
    }
    match UnixStream::connect(path).await {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
            std::fs::remove_file(path)
        }
        // Somebody listens, be it with a full backlog, for which the answer is to try again.
        Ok(_) => Err(io::ErrorKind::AddrInUse.into()),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
            Err(io::ErrorKind::AddrInUse.into())
        }
        Err(error) => Err(error),
    }
}

/// Locks the folder of a socket as long as what is returned lives.
fn lock_folder_of(path: &Path) -> io::Result<File> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    let folder = File::open(folder.unwrap_or(Path::new(".")))?;
    folder.lock()?;
    Ok(folder)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scratch(name: &str) -> (PathBuf, ListenAddress) {
        let folder = std::env::temp_dir().join(format!("listener-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let path = folder.join("socket");
        (path.clone(), ListenAddress::Unix(path))
    }

    #[tokio::test]
    async fn a_listener_whose_backlog_is_full_is_not_taken_for_a_left_over_file() {
        let (path, address) = scratch("backlog");
        let socket = UnixSocket::new_stream().unwrap();
        socket.bind(&path).unwrap();
        let _busy = socket.listen(1).unwrap();
        let mut waiting = Vec::new();
        let full = loop {
            match UnixStream::connect(&path).await {
                Ok(stream) => waiting.push(stream),
                Err(error) => break error,
            }
        };
        assert_eq!(full.kind(), io::ErrorKind::WouldBlock);
        let refused = Listener::bind(&address).await.unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::AddrInUse);
        assert!(path.exists());
    }

    #[tokio::test]
    async fn a_file_that_was_left_over_is_replaced_and_that_of_another_is_not_removed() {
        let (path, address) = scratch("left-over");
        std::fs::remove_file(&path).unwrap_or(());
        drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
        let old = Listener::bind(&address).await.unwrap();
        assert_eq!(Listener::bind(&address).await.unwrap_err().kind(), io::ErrorKind::AddrInUse);
        // Another process has put its own socket there.
        std::fs::remove_file(&path).unwrap();
        let new = Listener::bind(&address).await.unwrap();
        drop(old);
        assert!(path.exists(), "it is the new one's");
        UnixStream::connect(&path).await.unwrap();
        drop(new);
        assert!(!path.exists());
    }
}
