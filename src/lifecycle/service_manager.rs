//! Notifies the service manager of the process's state: `sd_notify(3)`, one datagram each.

use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::sync::{Arc, Mutex, PoisonError};
use std::{fmt, io};

/// What started the process and asked to be notified, such as systemd; none if no socket is named.
/// Clones are the same one.
#[derive(Clone, Default)]
pub struct ServiceManager(Option<Arc<Notified>>);

struct Notified {
    socket: UnixDatagram,
    address: SocketAddr,
    stage: Mutex<Stage>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Starting,
    Ready,
    Stopping,
}

impl ServiceManager {
    /// `name` is what `NOTIFY_SOCKET` holds: a path, or `@` and the name of an abstract socket.
    pub fn at(name: &str) -> io::Result<Self> {
        if name.is_empty() {
            return Ok(Self(None));
        }
        let address = address_of(name)?;
        let socket = UnixDatagram::unbound()?;
        // A manager that does not read must not hold us up.
        socket.set_nonblocking(true)?;
        Ok(Self(Some(Arc::new(Notified { socket, address, stage: Mutex::new(Stage::Starting) }))))
    }

    /// Whether anybody listens.
    pub fn is_there(&self) -> bool {
        self.0.is_some()
    }

    /// A line for people: `systemctl status` shows the last one.
    pub fn status(&self, text: &str) {
        if let Some(notified) = &self.0 {
            notified.send(&status_line(text));
        }
    }

    /// The process serves, for the first time or again after a reload.
    pub fn ready(&self, text: &str) {
        self.enter(Stage::Ready, "READY=1", text);
    }

    /// A reload begins; [`ServiceManager::ready`] ends it. Nothing while the process starts: it
    /// has never been ready.
    pub fn reloading(&self) {
        if let Some(notified) = &self.0
            && *notified.stage.lock().unwrap_or_else(PoisonError::into_inner) == Stage::Ready
        {
            notified.send("RELOADING=1\nSTATUS=reading the configuration");
        }
    }

    /// Whether a reload should be followed by [`ServiceManager::ready`].
    pub fn was_ready(&self) -> bool {
        self.0.as_ref().is_some_and(|notified| {
            *notified.stage.lock().unwrap_or_else(PoisonError::into_inner) == Stage::Ready
        })
    }

    /// The process is on its way out; nothing can make it ready again.
    pub fn stopping(&self, text: &str) {
        self.enter(Stage::Stopping, "STOPPING=1", text);
    }

    fn enter(&self, stage: Stage, word: &str, text: &str) {
        let Some(notified) = &self.0 else { return };
        let mut now = notified.stage.lock().unwrap_or_else(PoisonError::into_inner);
        if *now != Stage::Stopping {
            *now = stage;
            notified.send(&format!("{word}\n{}", status_line(text)));
        }
    }
}

impl Notified {
    fn send(&self, message: &str) {
        if let Err(error) = self.socket.send_to_addr(message.as_bytes(), &self.address) {
            tracing::warn!(%error, "service manager not notified");
        }
    }
}

impl fmt::Debug for ServiceManager {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ServiceManager").field(&self.is_there()).finish()
    }
}

fn status_line(text: &str) -> String {
    // A line break would begin the next assignment.
    format!("STATUS={}", text.replace(['\n', '\r'], " "))
}

fn address_of(name: &str) -> io::Result<SocketAddr> {
    match name.strip_prefix('@') {
        None => SocketAddr::from_pathname(name),
        #[cfg(target_os = "linux")]
        Some(name) => {
            use std::os::linux::net::SocketAddrExt as _;
            SocketAddr::from_abstract_name(name)
        }
        #[cfg(not(target_os = "linux"))]
        Some(_) => Err(io::ErrorKind::Unsupported.into()),
    }
}
