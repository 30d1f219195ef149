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

/// What a caller who does not speak HTTP begins with, if it is known.
pub(super) fn other_than_http(prefix: &[u8]) -> Option<&'static str> {
    // A TLS record of a handshake, of any version since 3.0 (RFC 8446 section 5.1).
    let is_tls = prefix.starts_with(&[22, 3]);
    is_tls.then_some(
        "a TLS hello on a listener without TLS: the caller wants https://, the listener needs \
         listen.tls_certificate_file or the caller http://",
    )
}

const H2_PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
