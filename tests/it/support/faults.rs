//! How an endpoint misbehaves, and a gate that holds calls until the test opens it.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode};
use http_body::{Body, Frame};
use http_body_util::BodyExt as _;
use tokio::sync::watch;
use tokio::time::Sleep;

use crate::support::server::{Answer, AnswerBody, Cut, whole};

/// What happens to a call. The default does nothing unusual.
#[derive(Clone, Debug, Default)]
pub struct Behaviour {
    /// Before the head of the answer.
    pub delay: Duration,
    /// Never answers.
    pub hang: bool,
    /// Closes the connection instead of answering.
    pub close: bool,
    /// Answers before the request body is read.
    pub early: bool,
    /// This instead of the endpoint's own answer.
    pub answer: Option<Canned>,
    /// Before each piece of the body.
    pub piece_delay: Duration,
    /// The connection breaks after so many bytes of the body.
    pub cut_after: Option<u64>,
}

/// An answer made beforehand.
#[derive(Clone, Debug)]
pub struct Canned {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Bytes,
}

impl Behaviour {
    pub fn answer(status: u16, content_type: &'static str, body: impl Into<Bytes>) -> Self {
        let mut headers = HeaderMap::new();
        headers.insert(http::header::CONTENT_TYPE, HeaderValue::from_static(content_type));
        let status = StatusCode::from_u16(status).expect("a status of three digits");
        Self { answer: Some(Canned { status, headers, body: body.into() }), ..Self::default() }
    }

    pub fn status(status: u16) -> Self {
        Self::answer(status, "text/plain", format!("status {status} on purpose\n"))
    }

    pub fn json(status: u16, body: &serde_json::Value) -> Self {
        Self::answer(status, "application/json", body.to_string())
    }

    /// 200 with what is not JSON.
    pub fn garbage() -> Self {
        Self::answer(200, "text/html", "<html><body>Sign in to continue</body></html>")
    }

    pub fn redirect(to: &str) -> Self {
        Self::status(302).header("location", to)
    }

    pub fn hang() -> Self {
        Self { hang: true, ..Self::default() }
    }

    pub fn close() -> Self {
        Self { close: true, ..Self::default() }
    }

    pub fn slow(delay: Duration) -> Self {
        Self { delay, ..Self::default() }
    }

    pub fn slow_body(piece_delay: Duration) -> Self {
        Self { piece_delay, ..Self::default() }
    }

    pub fn cut(after: u64) -> Self {
        Self { cut_after: Some(after), ..Self::default() }
    }

    #[must_use]
    pub fn early(self) -> Self {
        Self { early: true, ..self }
    }

    /// Adds a header to the answer made by [`Behaviour::answer`] and its kin.
    #[must_use]
    pub fn header(mut self, name: &'static str, value: &str) -> Self {
        let answer = self.answer.as_mut().expect("only a canned answer takes headers");
        let value = HeaderValue::from_str(value).expect("a legal header value");
        answer.headers.append(HeaderName::from_static(name), value);
        self
    }

    #[must_use]
    pub fn retry_after(self, seconds: u64) -> Self {
        self.header("retry-after", &seconds.to_string())
    }

    /// The endpoint's own answer, or the canned one, with the body as slow or short as wished.
    pub fn dress(self, own: impl FnOnce() -> Answer) -> Answer {
        let answer = match self.answer {
            None => own(),
            Some(canned) => {
                let mut answer = Response::new(whole(canned.body));
                *answer.status_mut() = canned.status;
                *answer.headers_mut() = canned.headers;
                answer
            }
        };
        if self.piece_delay.is_zero() && self.cut_after.is_none() {
            return answer;
        }
        let (delay, left) = (self.piece_delay, self.cut_after);
        answer.map(|inner| Paced { inner, delay, left, pause: None }.boxed_unsync())
    }
}

/// The controls of one endpoint.
#[derive(Default)]
pub struct Switch {
    always: Mutex<Behaviour>,
    next: Mutex<VecDeque<Behaviour>>,
    calls: AtomicU64,
    pub gate: Gate,
}

impl Switch {
    /// From now on, for every call.
    pub fn set(&self, behaviour: Behaviour) {
        *self.always.lock().expect("no holder panics") = behaviour;
    }

    /// Normal again; also forgets what was planned with [`Switch::next`].
    pub fn clear(&self) {
        self.set(Behaviour::default());
        self.next.lock().expect("no holder panics").clear();
    }

    /// For the next `calls` calls, after those already planned.
    pub fn next(&self, calls: usize, behaviour: Behaviour) {
        let mut next = self.next.lock().expect("no holder panics");
        next.extend(std::iter::repeat_n(behaviour, calls));
    }

    /// Calls so far.
    pub fn calls(&self) -> u64 {
        self.calls.load(Ordering::Relaxed)
    }

    /// What the call that has just arrived will meet. Counts it.
    pub fn draw(&self) -> Behaviour {
        self.calls.fetch_add(1, Ordering::Relaxed);
        let planned = self.next.lock().expect("no holder panics").pop_front();
        planned.unwrap_or_else(|| self.always.lock().expect("no holder panics").clone())
    }

    /// Waits at the gate, then as long as the behaviour says.
    pub async fn pass(&self, behaviour: &Behaviour) -> Result<(), Cut> {
        self.gate.pass().await;
        if behaviour.hang {
            std::future::pending::<()>().await;
        }
        if !behaviour.delay.is_zero() {
            tokio::time::sleep(behaviour.delay).await;
        }
        if behaviour.close { Err(Cut) } else { Ok(()) }
    }
}

/// Holds calls while it is closed, so that a test knows exactly what is in flight.
pub struct Gate {
    open: watch::Sender<bool>,
    waiting: watch::Sender<usize>,
}

impl Default for Gate {
    fn default() -> Self {
        Self { open: watch::Sender::new(true), waiting: watch::Sender::new(0) }
    }
}

impl Gate {
    pub fn close(&self) {
        self.open.send_replace(false);
    }

    pub fn open(&self) {
        self.open.send_replace(true);
    }

    /// Waits until at least `calls` calls stand at the gate; whether that happened in time.
    pub async fn wait_for(&self, calls: usize, within: Duration) -> bool {
        let mut waiting = self.waiting.subscribe();
        let enough = waiting.wait_for(|waiting| calls <= *waiting);
        tokio::time::timeout(within, enough).await.is_ok()
    }

    async fn pass(&self) {
        let mut open = self.open.subscribe();
        if *open.borrow() {
            return;
        }
        self.waiting.send_modify(|waiting| *waiting += 1);
        let _leaves = Leaves(&self.waiting);
        open.wait_for(|open| *open).await.expect("the sender lives in self");
    }
}

struct Leaves<'a>(&'a watch::Sender<usize>);

impl Drop for Leaves<'_> {
    fn drop(&mut self) {
        self.0.send_modify(|waiting| *waiting -= 1);
    }
}

/// A body that comes in slowly, or not whole.
struct Paced {
    inner: AnswerBody,
    delay: Duration,
    left: Option<u64>,
    pause: Option<Pin<Box<Sleep>>>,
}

impl Body for Paced {
    type Data = Bytes;
    type Error = Cut;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Cut>>> {
        let this = self.get_mut();
        if this.left == Some(0) {
            return Poll::Ready(Some(Err(Cut)));
        }
        if !this.delay.is_zero() {
            let delay = this.delay;
            let pause = this.pause.get_or_insert_with(|| Box::pin(tokio::time::sleep(delay)));
            ready!(pause.as_mut().poll(cx));
        }
        let frame = ready!(Pin::new(&mut this.inner).poll_frame(cx));
        this.pause = None;
        let Some(left) = &mut this.left else { return Poll::Ready(frame) };
        let Some(Ok(frame)) = frame else { return Poll::Ready(Some(Err(Cut))) };
        let Ok(mut data) = frame.into_data() else { return Poll::Ready(Some(Err(Cut))) };
        data.truncate(usize::try_from(*left).unwrap_or(usize::MAX));
        *left -= data.len() as u64;
        Poll::Ready(Some(Ok(Frame::data(data))))
    }

    fn size_hint(&self) -> http_body::SizeHint {
        self.inner.size_hint()
    }
}
