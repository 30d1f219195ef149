//! Detects which protocol a caller speaks when ALPN did not negotiate one.

use std::io;

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncReadExt as _};

/// Reads until it is certain whether the caller speaks HTTP/2 (RFC 9113 section 3.4). Returns
/// what was read, and whether it does.
pub(super) async fn detect<T: AsyncRead + Unpin>(mut stream: T) -> io::Result<(T, Bytes, bool)> {
    let mut prefix = [0; H2_PREFACE.len()];
    let mut len = 0;
    loop {
        let read = stream.read(&mut prefix[len..]).await?;
        if read == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        len += read;
        let seen = &prefix[..len];
        if !H2_PREFACE.starts_with(seen) {
            return Ok((stream, Bytes::copy_from_slice(seen), false));
        }
        if len == H2_PREFACE.len() {
            return Ok((stream, Bytes::copy_from_slice(seen), true));
        }
    }
}

const H2_PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
