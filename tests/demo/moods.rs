//! Stands before peers on loopback and lets them misbehave: slow, narrow, closing slowly, resetting,
//! silent. Lines on standard input, a peer's name and a mood, say which of them does what from now
//! on; with the last line it is over.
//!
//! `tests/tools/hostile` runs it in a process of its own, between a gateway and its peers. toxiproxy
//! was tried for it: its interface hung when toxics were changed while connections through it were
//! not read, which is what attackers cause; noxious has not been maintained since 2021.

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::str::FromStr;
use std::time::Duration;

use clap::ValueEnum;
use tokio::io::{AsyncWriteExt as _, Interest};
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::watch;
use tokio_util::task::TaskTracker;

use crate::simulators::StartFailed;

/// Where to stand: `koodrive=8081:8080` takes connections for KooDrive at port 8080 on 8081.
#[derive(Clone, Debug)]
pub struct Place {
    name: String,
    listen: u16,
    peer: u16,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Mood {
    Well,
    /// Every piece takes its time.
    Slow,
    /// Little goes through.
    Narrow,
    /// That the peer has closed is told late.
    #[value(name = "closing slowly")]
    Closing,
    /// Whatever is open and whoever comes is reset.
    Resetting,
    /// Nothing goes through, but everybody may come.
    Silent,
}

impl FromStr for Place {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let parsed = || {
            let (name, ports) = text.split_once('=')?;
            let (listen, peer) = ports.split_once(':')?;
            let (listen, peer) = (listen.parse().ok()?, peer.parse().ok()?);
            Some(Self { name: name.to_owned(), listen, peer })
        };
        parsed().ok_or("a place is NAME=PORT:PEER'S PORT")
    }
}

/// Serves until standard input ends.
pub async fn run(places: &[Place]) -> Result<ExitCode, StartFailed> {
    let connections = TaskTracker::new();
    let mut moods = HashMap::new();
    for place in places {
        let address = loopback(place.listen);
        let taken = |source| StartFailed::Taken { what: "a place", address, source };
        let listener = listen(address).map_err(taken)?;
        let (change, mood) = watch::channel(Mood::Well);
        moods.insert(place.name.clone(), change);
        connections.spawn(accept(listener, place.peer, mood, connections.clone()));
    }
    let told = tokio::task::spawn_blocking(move || {
        for line in io::stdin().lines().map_while(Result::ok) {
            let (name, mood) = line.split_once(' ').unwrap_or((&line, ""));
            match (moods.get(name), Mood::from_str(mood, false)) {
                (Some(change), Ok(mood)) => drop(change.send_replace(mood)),
                _ => return Err(StartFailed::Mood(line)),
            }
        }
        Ok(ExitCode::SUCCESS)
    });
    told.await.expect("reading lines does not panic")
}

fn loopback(port: u16) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], port))
}

fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = TcpSocket::new_v4()?;
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

async fn accept(
    listener: TcpListener,
    peer: u16,
    mood: watch::Receiver<Mood>,
    connections: TaskTracker,
) {
    loop {
        match listener.accept().await {
            Ok((gateway, _)) => {
                connections.spawn(between(gateway, peer, mood.clone()));
            }
            // Without descriptors it would come to nothing again at once.
            Err(_) => tokio::time::sleep(LOOK_EVERY).await,
        }
    }
}

/// Carries one connection until either side has gone, then resets both.
async fn between(mut gateway: TcpStream, peer: u16, mood: watch::Receiver<Mood>) {
    // From here on whoever is dropped is reset. It fails for those who have gone already.
    let prepared = gateway.set_zero_linger().and(gateway.set_nodelay(true));
    if prepared.is_err() || *mood.borrow() == Mood::Resetting {
        return;
    }
    let Ok(mut peer) = TcpStream::connect(loopback(peer)).await else { return };
    if peer.set_zero_linger().and(peer.set_nodelay(true)).is_err() {
        return;
    }
    let (requests, mut to_gateway) = gateway.split();
    let (answers, mut to_peer) = peer.split();
    let answering = async {
        pump(&answers, &mut to_gateway, mood.clone()).await?;
        if *mood.borrow() == Mood::Closing {
            tokio::time::sleep(CLOSING).await;
        }
        to_gateway.shutdown().await?;
        // It is the gateway's turn to close.
        std::future::pending::<io::Result<()>>().await
    };
    let mut resetting = mood.clone();
    tokio::select! {
        _ = resetting.wait_for(|mood| *mood == Mood::Resetting) => {}
        () = gone(&requests) => {}
        _ = answers.ready(Interest::ERROR) => {}
        _ = pump(&requests, &mut to_peer, mood.clone()) => {}
        _ = answering => {}
    }
}

/// Returns when the other side has closed or reset, even if what it sent before is still unread.
async fn gone(from: &ReadHalf<'_>) {
    while from.ready(Interest::READABLE).await.is_ok_and(|ready| !ready.is_read_closed()) {
        // Something can be read, which makes it ready at once again.
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// Carries bytes as the mood says, until there are no more.
async fn pump(
    from: &ReadHalf<'_>,
    to: &mut WriteHalf<'_>,
    mut mood: watch::Receiver<Mood>,
) -> io::Result<()> {
    let mut piece = vec![0; PIECE_BYTES];
    loop {
        from.readable().await?;
        let length = match from.try_read(&mut piece) {
            Ok(0) => return Ok(()),
            Ok(length) => length,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => continue,
            Err(error) => return Err(error),
        };
        let now = mood.wait_for(|mood| *mood != Mood::Silent).await.map_or(Mood::Well, |now| *now);
        let pause = match now {
            Mood::Slow => SLOW,
            Mood::Narrow => NARROW_PER_BYTE * u32::try_from(length).unwrap_or(u32::MAX),
            Mood::Well | Mood::Closing | Mood::Resetting | Mood::Silent => Duration::ZERO,
        };
        if !pause.is_zero() {
            tokio::time::sleep(pause).await;
        }
        to.write_all(&piece[..length]).await?;
    }
}

/// As many as the system lets wait.
const BACKLOG: u32 = 65_535;
const PIECE_BYTES: usize = 16 * 1024;
const LOOK_EVERY: Duration = Duration::from_millis(20);
const SLOW: Duration = Duration::from_millis(300);
/// 256 KiB a second.
const NARROW_PER_BYTE: Duration = Duration::from_nanos(1_000_000_000 / (256 * 1024));
const CLOSING: Duration = Duration::from_secs(2);
