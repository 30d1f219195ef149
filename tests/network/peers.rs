//! Who the gateway talks to: an SSO, a KooDrive, and what they do by lot.

use std::collections::HashMap;
use std::io;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use turmoil::net::{TcpListener, TcpStream};

/// Chance, the same for the same seed (splitmix64). Clones share it.
#[derive(Clone)]
pub(crate) struct Lot(Arc<Mutex<u64>>);

impl Lot {
    pub(crate) fn new(seed: u64) -> Self {
        Self(Arc::new(Mutex::new(seed)))
    }

    pub(crate) fn below(&self, end: u64) -> u64 {
        let mut state = self.0.lock().unwrap();
        *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = *state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % end
    }

    pub(crate) fn percent(&self, share: u64) -> bool {
        self.below(100) < share
    }

    pub(crate) fn ms(&self, end: u64) -> Duration {
        Duration::from_millis(self.below(end))
    }
}

/// What one call has met at KooDrive.
#[derive(Clone, Debug, Default)]
pub(crate) struct Met {
    pub(crate) heads: usize,
    /// Answers by which its token was refused.
    pub(crate) refused: usize,
    pub(crate) whole: usize,
}

/// Clones share it.
#[derive(Clone)]
pub(crate) struct World {
    pub(crate) lot: Lot,
    /// Nothing but the closing of connections on which nothing is under way.
    pub(crate) calm: Arc<Mutex<bool>>,
    pub(crate) met: Arc<Mutex<HashMap<String, Met>>>,
    /// What has happened, for whoever wants to know why.
    pub(crate) told: Arc<Mutex<Vec<String>>>,
}

impl World {
    pub(crate) fn is_calm(&self) -> bool {
        *self.calm.lock().unwrap()
    }

    pub(crate) fn tell(&self, what: String) {
        let at = turmoil::sim_elapsed().unwrap_or_default();
        self.told.lock().unwrap().push(format!("{:8.3} {what}", at.as_secs_f64()));
    }

    fn meet(&self, id: &str, change: impl FnOnce(&mut Met)) {
        change(self.met.lock().unwrap().entry(id.to_owned()).or_default());
    }
}

struct Request {
    id: String,
    authorization: String,
    length: usize,
}

/// Reads the head of a request; `None` when there is none any more, or not in time.
async fn head(stream: &mut TcpStream, patience: Duration) -> Option<(Request, Vec<u8>)> {
    let mut bytes = Vec::new();
    let mut piece = [0; 4096];
    let end = loop {
        if let Some(at) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
            break at + 4;
        }
        let read = stream.read(&mut piece);
        let read = if bytes.is_empty() {
            tokio::time::timeout(patience, read).await.ok()?.ok()?
        } else {
            read.await.ok()?
        };
        if read == 0 {
            return None;
        }
        bytes.extend(&piece[..read]);
    };
    let body = bytes.split_off(end);
    let text = String::from_utf8(bytes).unwrap().to_lowercase();
    let field = |name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(name));
        line.unwrap_or_default().trim().to_owned()
    };
    assert!(field("transfer-encoding:").is_empty(), "callers name the length");
    let length = field("content-length:").parse().unwrap_or(0);
    let request = Request { id: field("x-id:"), authorization: field("authorization:"), length };
    Some((request, body))
}

async fn rest(stream: &mut TcpStream, length: usize, mut body: Vec<u8>) -> io::Result<()> {
    let mut piece = [0; 4096];
    while body.len() < length {
        match stream.read(&mut piece).await? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            read => body.extend(&piece[..read]),
        }
    }
    assert_eq!(body.len(), length, "nothing comes behind a request");
    Ok(())
}

/// Nobody closes a connection that was just made.
const FIRST: Duration = Duration::from_secs(1);

/// The body of the answer to a call.
pub(crate) fn answer_to(id: &str) -> String {
    let length = id.bytes().map(usize::from).sum::<usize>() * 7;
    format!("{{\"code\":0,\"id\":\"{id}\",\"filler\":\"{}\"}}", "x".repeat(length))
}

async fn write(stream: &mut TcpStream, status: &str, id: &str, body: &str) -> io::Result<()> {
    let (kind, length) = ("application/json", body.len());
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nX-Echo: {id}\r\nContent-Length: {length}\r\n\r\n"
    );
    stream.write_all((head + body).as_bytes()).await
}

pub(crate) async fn koodrive(world: World) -> turmoil::Result {
    let listener = TcpListener::bind("0.0.0.0:80").await?;
    loop {
        let (stream, _) = listener.accept().await?;
        let world = world.clone();
        tokio::spawn(async move { serve_koodrive(stream, &world).await });
    }
}

async fn serve_koodrive(mut stream: TcpStream, world: &World) -> io::Result<()> {
    let mut patience = FIRST;
    loop {
        let Some((request, begun)) = head(&mut stream, patience).await else {
            world.tell("koodrive: closes".to_owned());
            return Ok(());
        };
        patience = world.lot.ms(150) + Duration::from_millis(1);
        let id = request.id;
        assert!(request.authorization.starts_with("bearer tok-"), "{}", request.authorization);
        world.meet(&id, |met| met.heads += 1);
        let lot = if world.is_calm() { world.lot.below(50) } else { world.lot.below(100) };
        world.tell(format!("koodrive: {id} has lot {lot}"));
        let body = answer_to(&id);
        if (90..95).contains(&lot) {
            // What it has not read resets the connection.
            return write(&mut stream, "200 OK", &id, &body).await;
        }
        rest(&mut stream, request.length, begun).await?;
        world.meet(&id, |met| met.whole += 1);
        match lot {
            0..40 => write(&mut stream, "200 OK", &id, &body).await?,
            40..50 => return write(&mut stream, "200 OK", &id, &body).await,
            50..58 => return Ok(()),
            58..66 => {
                let half = body.len() / 2;
                let head = format!("HTTP/1.1 200 OK\r\nX-Echo: {id}\r\n");
                let length = format!("Content-Length: {}\r\n\r\n", body.len());
                let text = head + &length + &body[..half];
                return stream.write_all(text.as_bytes()).await;
            }
            66..72 => std::future::pending().await,
            72..84 => {
                tokio::time::sleep(world.lot.ms(500)).await;
                write(&mut stream, "200 OK", &id, &body).await?;
            }
            84..90 => {
                world.meet(&id, |met| met.refused += 1);
                write(&mut stream, "401 Unauthorized", &id, "{}").await?;
            }
            _ => {
                let head = format!(
                    "HTTP/1.1 200 OK\r\nX-Echo: {id}\r\nContent-Length: {}\r\n\r\n",
                    body.len()
                );
                for piece in (head + &body).into_bytes().chunks(1000) {
                    stream.write_all(piece).await?;
                    tokio::time::sleep(world.lot.ms(60)).await;
                }
            }
        }
    }
}

pub(crate) async fn sso(world: World) -> turmoil::Result {
    let listener = TcpListener::bind("0.0.0.0:80").await?;
    loop {
        let (stream, _) = listener.accept().await?;
        let world = world.clone();
        tokio::spawn(async move { serve_sso(stream, &world).await });
    }
}

async fn serve_sso(mut stream: TcpStream, world: &World) -> io::Result<()> {
    let mut patience = FIRST;
    loop {
        let Some((request, begun)) = head(&mut stream, patience).await else { return Ok(()) };
        patience = world.lot.ms(150) + Duration::from_millis(1);
        rest(&mut stream, request.length, begun).await?;
        let lot = if world.is_calm() { 0 } else { world.lot.below(100) };
        world.tell(format!("sso: has lot {lot}"));
        let token = format!(
            "{{\"access_token\":\"tok-{}\",\"token_type\":\"Bearer\",\"expires_in\":1200}}",
            world.lot.below(1 << 40)
        );
        match lot {
            0..76 => write(&mut stream, "200 OK", "", &token).await?,
            76..82 => return Ok(()),
            82..88 => write(&mut stream, "500 Internal Server Error", "", "{}").await?,
            88..92 => std::future::pending().await,
            92..96 => {
                tokio::time::sleep(world.lot.ms(400)).await;
                write(&mut stream, "200 OK", "", &token).await?;
            }
            _ => return stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{").await,
        }
    }
}
