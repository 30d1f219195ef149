//! HTTP/2 frame by frame, for what no HTTP/2 library would send.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

pub(crate) const DATA: u8 = 0;
pub(crate) const HEADERS: u8 = 1;
pub(crate) const RST_STREAM: u8 = 3;
pub(crate) const SETTINGS: u8 = 4;
pub(crate) const PING: u8 = 6;
pub(crate) const GOAWAY: u8 = 7;
pub(crate) const WINDOW_UPDATE: u8 = 8;
pub(crate) const CONTINUATION: u8 = 9;

pub(crate) const END_STREAM: u8 = 1;
pub(crate) const ACK: u8 = 1;
pub(crate) const END_HEADERS: u8 = 4;

const PATIENCE: Duration = Duration::from_secs(10);

/// A frame as it stands on the wire (RFC 9113 section 4.1).
#[derive(Clone, Debug)]
pub(crate) struct Frame {
    pub(crate) kind: u8,
    pub(crate) flags: u8,
    pub(crate) stream: u32,
    pub(crate) payload: Vec<u8>,
}

impl Frame {
    /// The error code of a reset or of a farewell.
    pub(crate) fn code(&self) -> u32 {
        let at = if self.kind == GOAWAY { 4 } else { 0 };
        u32::from_be_bytes(self.payload[at..at + 4].try_into().unwrap())
    }
}

/// A connection with prior knowledge that leaves everything to the test but pings and settings.
pub(crate) struct Frames {
    stream: TcpStream,
}

/// What became of a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    Answer { status: u16, body: Vec<u8> },
    Reset(u32),
    Farewell(u32),
    Closed,
}

impl Frames {
    pub(crate) async fn open(address: SocketAddr) -> Self {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.set_nodelay(true).unwrap();
        stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await.unwrap();
        let mut frames = Self { stream };
        frames.send(SETTINGS, 0, 0, &[]).await.unwrap();
        frames
    }

    pub(crate) async fn send(
        &mut self,
        kind: u8,
        flags: u8,
        stream: u32,
        payload: &[u8],
    ) -> io::Result<()> {
        let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
        let mut frame = length[1..].to_vec();
        frame.extend([kind, flags]);
        frame.extend(stream.to_be_bytes());
        frame.extend(payload);
        self.stream.write_all(&frame).await
    }

    /// Fields without indexing, names and values as they are (RFC 7541 section 6.2.2).
    pub(crate) fn block(fields: &[(&str, &str)]) -> Vec<u8> {
        let mut block = Vec::new();
        for (name, value) in fields {
            block.push(0);
            string(&mut block, name.as_bytes());
            string(&mut block, value.as_bytes());
        }
        block
    }

    /// A request; with a body it is sent whole behind it.
    pub(crate) async fn request(
        &mut self,
        stream: u32,
        fields: &[(&str, &str)],
        body: Option<&[u8]>,
    ) {
        let flags = if body.is_none() { END_HEADERS | END_STREAM } else { END_HEADERS };
        let block = Self::block(fields);
        // A refusal may end the connection before everything was sent.
        self.send(HEADERS, flags, stream, &block).await.unwrap_or(());
        if let Some(body) = body {
            self.send(DATA, END_STREAM, stream, body).await.unwrap_or(());
        }
    }

    /// The next frame that is neither settings nor a ping; `None` at the end.
    pub(crate) async fn next(&mut self) -> Option<Frame> {
        loop {
            let frame = tokio::time::timeout(PATIENCE, self.frame()).await.expect("a frame")?;
            match (frame.kind, frame.flags & ACK) {
                (SETTINGS, 0) => self.send(SETTINGS, ACK, 0, &[]).await.unwrap_or(()),
                (PING, 0) => self.send(PING, ACK, 0, &frame.payload).await.unwrap_or(()),
                (SETTINGS | PING | WINDOW_UPDATE, _) => {}
                _ => return Some(frame),
            }
        }
    }

    async fn frame(&mut self) -> Option<Frame> {
        let mut head = [0; 9];
        self.stream.read_exact(&mut head).await.ok()?;
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
        let mut payload = vec![0; length as usize];
        self.stream.read_exact(&mut payload).await.ok()?;
        let stream = u32::from_be_bytes([head[5], head[6], head[7], head[8]]) & 0x7fff_ffff;
        Some(Frame { kind: head[3], flags: head[4], stream, payload })
    }

    /// Reads until the stream has ended, in whatever way.
    pub(crate) async fn outcome(&mut self, stream: u32) -> Outcome {
        let mut answer: Option<(u16, Vec<u8>)> = None;
        while let Some(frame) = self.next().await {
            match frame.kind {
                GOAWAY if frame.code() != 0 => return Outcome::Farewell(frame.code()),
                _ if frame.stream != stream => {}
                RST_STREAM => return Outcome::Reset(frame.code()),
                HEADERS if answer.is_none() => {
                    answer = Some((status(&frame.payload), Vec::new()));
                }
                DATA => answer.as_mut().expect("headers first").1.extend(&frame.payload),
                _ => {}
            }
            if frame.stream == stream
                && frame.flags & END_STREAM != 0
                && let Some((status, body)) = answer.take()
            {
                return Outcome::Answer { status, body };
            }
        }
        Outcome::Closed
    }
}

fn string(block: &mut Vec<u8>, text: &[u8]) {
    if text.len() < 127 {
        block.push(u8::try_from(text.len()).unwrap());
    } else {
        block.push(127);
        let mut rest = text.len() - 127;
        while 128 <= rest {
            block.push(u8::try_from(rest % 128).unwrap() | 128);
            rest /= 128;
        }
        block.push(u8::try_from(rest).unwrap());
    }
    block.extend(text);
}

/// `:status`, always the first field of an answer: indexed, or three digits behind its name.
pub(crate) fn status(block: &[u8]) -> u16 {
    // A change of the table's size may come first.
    let from = block.iter().position(|byte| byte & 0xe0 != 0x20).expect("a field");
    let block = &block[from..];
    let known = [200, 204, 206, 304, 400, 404, 500];
    if block[0] & 0x80 != 0 {
        return known[usize::from(block[0] & 0x7f) - 8];
    }
    let (length, huffman) = (usize::from(block[1] & 0x7f), block[1] & 0x80 != 0);
    let value = &block[2..2 + length];
    let text = if huffman { digits(value) } else { String::from_utf8(value.to_vec()).unwrap() };
    text.parse().unwrap()
}

/// Digits in the code of RFC 7541 appendix B: five bits for 0 to 2, six for the others.
fn digits(bytes: &[u8]) -> String {
    let bits: Vec<u8> =
        bytes.iter().flat_map(|byte| (0..8).rev().map(move |at| byte >> at & 1)).collect();
    let mut text = String::new();
    let mut rest = &bits[..];
    let number = |bits: &[u8]| bits.iter().fold(0_u8, |all, bit| all << 1 | bit);
    while text.len() < 3 {
        let five = number(&rest[..5]);
        if five < 3 {
            text.push(char::from(b'0' + five));
            rest = &rest[5..];
        } else {
            text.push(char::from(b'3' + number(&rest[..6]) - 0x19));
            rest = &rest[6..];
        }
    }
    text
}
