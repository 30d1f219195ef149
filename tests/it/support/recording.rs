//! What a simulator received, for assertions.

use std::collections::VecDeque;
use std::fmt::Write as _;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use aws_lc_rs::digest;
use http::{HeaderMap, Method, Version};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use tokio::sync::Notify;

use crate::support::time::until;

/// One request as it arrived.
#[derive(Clone, Debug)]
pub struct Received {
    /// When its head had arrived, by the shared clock.
    pub at: SystemTime,
    /// Number of the connection it came on, from 0.
    pub connection: u64,
    pub version: Version,
    pub method: Method,
    /// Path and query as on the wire.
    pub target: String,
    pub headers: HeaderMap,
    pub body: Seen,
}

/// A body that was read to its end, or as far as it came.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    pub bytes: u64,
    /// Lower-case hex.
    pub sha256: String,
    /// The beginning, at most [`PREFIX_BYTES_MAX`].
    pub prefix: Vec<u8>,
    /// Whether it came whole.
    pub complete: bool,
    pub trailers: Option<HeaderMap>,
}

pub const PREFIX_BYTES_MAX: usize = 2 * 1024 * 1024;
const KEPT_MAX: usize = 20_000;

impl Received {
    pub fn path(&self) -> &str {
        self.target.split('?').next().unwrap_or_default()
    }

    pub fn query(&self) -> Option<&str> {
        self.target.split_once('?').map(|(_, query)| query)
    }

    /// The only value of a header; `None` when there is none.
    ///
    /// # Panics
    /// When there are several: whoever asks for one must not overlook the others.
    pub fn header(&self, name: &str) -> Option<&str> {
        let values = self.header_values(name);
        assert!(values.len() <= 1, "{} `{name}` headers in {}", values.len(), self.target);
        values.first().copied()
    }

    pub fn header_values(&self, name: &str) -> Vec<&str> {
        let values = self.headers.get_all(name).iter();
        values.map(|value| value.to_str().unwrap_or("(not ASCII)")).collect()
    }

    /// The query, or a form body, as pairs in order.
    pub fn form(&self) -> Vec<(String, String)> {
        form_urlencoded::parse(&self.body.prefix).into_owned().collect()
    }

    /// Whether these bytes stand anywhere in target, headers, body prefix or trailers.
    pub fn contains(&self, needle: &[u8]) -> bool {
        let within = |hay: &[u8]| hay.windows(needle.len()).any(|window| window == needle);
        let trailers = self.body.trailers.iter().flatten();
        within(self.target.as_bytes())
            || self.headers.iter().any(|(_, value)| within(value.as_bytes()))
            || trailers.into_iter().any(|(_, value)| within(value.as_bytes()))
            || within(&self.body.prefix)
    }
}

/// Reads a body without keeping more than its beginning.
pub async fn read(mut body: Incoming) -> Seen {
    let mut hash = digest::Context::new(&digest::SHA256);
    let mut seen = Seen { complete: true, ..Seen::default() };
    while let Some(frame) = body.frame().await {
        let Ok(frame) = frame else {
            seen.complete = false;
            break;
        };
        match frame.into_data() {
            Ok(data) => {
                hash.update(&data);
                seen.bytes += data.len() as u64;
                let room = PREFIX_BYTES_MAX - seen.prefix.len();
                seen.prefix.extend_from_slice(&data[..data.len().min(room)]);
            }
            Err(frame) => seen.trailers = frame.into_trailers().ok(),
        }
    }
    seen.sha256 = hex(hash.finish().as_ref());
    seen
}

/// The requests of one simulator, newest last; bounded, counted beyond the bound.
pub struct Recorder {
    kept: Mutex<VecDeque<Arc<Received>>>,
    kept_max: AtomicUsize,
    total: AtomicU64,
    changed: Notify,
}

impl Default for Recorder {
    fn default() -> Self {
        Self {
            kept: Mutex::default(),
            kept_max: AtomicUsize::new(KEPT_MAX),
            total: AtomicU64::new(0),
            changed: Notify::new(),
        }
    }
}

impl Recorder {
    pub fn add(&self, received: Received) {
        self.total.fetch_add(1, Ordering::Relaxed);
        let mut kept = self.kept.lock().expect("no holder panics");
        kept.push_back(Arc::new(received));
        while self.kept_max.load(Ordering::Relaxed) < kept.len() {
            kept.pop_front();
        }
        drop(kept);
        self.changed.notify_waiters();
    }

    pub fn all(&self) -> Vec<Arc<Received>> {
        self.kept.lock().expect("no holder panics").iter().cloned().collect()
    }

    /// All requests ever, also those no longer kept.
    pub fn total(&self) -> u64 {
        self.total.load(Ordering::Relaxed)
    }

    /// Forgets everything.
    pub fn clear(&self) {
        self.kept.lock().expect("no holder panics").clear();
        self.total.store(0, Ordering::Relaxed);
    }

    /// How many requests are kept, for runs that send very many.
    pub fn keep(&self, max: usize) {
        self.kept_max.store(max, Ordering::Relaxed);
    }

    /// Waits until `enough` holds for the requests kept; `None` when it does not in time.
    pub async fn wait_for(
        &self,
        within: Duration,
        mut enough: impl FnMut(&[Arc<Received>]) -> bool,
    ) -> Option<Vec<Arc<Received>>> {
        let check = || {
            let all = self.all();
            enough(&all).then_some(all)
        };
        until(&self.changed, within, check).await
    }
}

pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").expect("writing to a string does not fail");
        text
    })
}

pub fn sha256(bytes: &[u8]) -> String {
    hex(digest::digest(&digest::SHA256, bytes).as_ref())
}

/// So many random bytes, as lower-case hex.
pub fn random_hex(bytes: usize) -> String {
    let mut random = vec![0; bytes];
    aws_lc_rs::rand::fill(&mut random).expect("the system's random source does not fail");
    hex(&random)
}
