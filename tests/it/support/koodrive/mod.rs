//! KooDrive as its public pages describe it, and no kinder: a live token, a trace id of 58
//! characters, batches that follow the rules, answers in its own envelopes.
//!
//! Shares no code with the gateway, so that each may catch the other's mistakes.

pub mod auth;
pub mod carrier;
pub mod content;
pub mod envelopes;
pub mod preverify;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use futures_util::future::BoxFuture;
use http::header::SET_COOKIE;
use http::{HeaderMap, HeaderValue, Method, Request, StatusCode};
use hyper::body::Incoming;
use serde_json::{Value, json};

use crate::support::faults::{Behaviour, Switch};
use crate::support::koodrive::auth::{App, NotBelieved, Who, authenticate};
use crate::support::koodrive::carrier::Carrier;
use crate::support::koodrive::envelopes::{api_gateway, no_such_api, parameters_wrong, success};
use crate::support::recording::{Received, Recorder, Seen, read};
use crate::support::server::{Answer, Answers, Cut, Listener, Simulator, json_answer};
use crate::support::sessions::Sessions;
use crate::support::time::OwnClock;

pub const PREVERIFY: &str = "/koodrive/ose/v1/users/batchimport/preverify";

/// A running KooDrive.
pub type KooDrive = Simulator<State>;

/// What KooDrive knows and does; reached through [`KooDrive`].
pub struct State {
    url: String,
    clock: OwnClock,
    edition: Mutex<Edition>,
    verified: AtomicU64,
    pub sessions: Sessions,
    pub switch: Switch,
    pub received: Recorder,
}

/// What differs from one KooDrive to another.
struct Edition {
    scheme: &'static str,
    refusal: Refusal,
    app: Option<App>,
    carrier: Option<Carrier>,
}

impl Default for Edition {
    fn default() -> Self {
        Self { scheme: "Bearer", refusal: Refusal::default(), app: None, carrier: None }
    }
}

/// How a dead token is answered; the public pages leave it open.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Refusal {
    /// 401 in the words of the API gateway in front of KooDrive.
    #[default]
    ApiGateway,
    /// This status, with this envelope code.
    Envelope { status: u16, code: Value },
}

impl KooDrive {
    pub fn start(listener: Listener, sessions: &Sessions) -> Self {
        let state = State {
            url: listener.url(),
            clock: listener.clock(),
            edition: Mutex::default(),
            verified: AtomicU64::new(0),
            sessions: sessions.clone(),
            switch: Switch::default(),
            received: Recorder::default(),
        };
        Self::run(listener, state)
    }
}

impl Answers for State {
    fn serve(
        self: Arc<Self>,
        request: Request<Incoming>,
        connection: u64,
    ) -> BoxFuture<'static, Result<Answer, Cut>> {
        Box::pin(self.handle(request, connection))
    }
}

impl State {
    /// `http://127.0.0.1:<port>`, to be used as `forward.upstream`.
    pub fn url(&self) -> &str {
        &self.url
    }

    pub fn clock(&self) -> &OwnClock {
        &self.clock
    }

    pub fn set_refusal(&self, refusal: Refusal) {
        self.edition().refusal = refusal;
    }

    /// Also believes calls signed by this application.
    pub fn set_app(&self, app: App) {
        self.sessions.canaries.note("the secret of an app", &app.secret);
        self.edition().app = Some(app);
    }

    /// The carrier edition: this account can log in, and tokens come as `AT <token>`.
    pub fn set_carrier(&self, carrier: Carrier) {
        self.sessions.canaries.note("the password of a carrier", &carrier.password);
        let mut edition = self.edition();
        edition.scheme = "AT";
        edition.carrier = Some(carrier);
    }

    /// Preverify calls that were checked and found good.
    pub fn verified(&self) -> u64 {
        self.verified.load(Ordering::Relaxed)
    }

    async fn handle(
        self: Arc<Self>,
        request: Request<Incoming>,
        connection: u64,
    ) -> Result<Answer, Cut> {
        let at = self.clock.now();
        let behaviour = self.switch.draw();
        let (head, body) = request.into_parts();
        let body = if behaviour.early { Seen::default() } else { read(body).await };
        let target = head.uri.path_and_query().map_or("", |target| target.as_str()).to_owned();
        let received = Received {
            at,
            connection,
            version: head.version,
            method: head.method,
            target,
            headers: head.headers,
            body,
        };
        let canaries = &self.sessions.canaries;
        canaries.note_credentials("credentials for KooDrive", &received.headers);
        self.received.add(received.clone());
        self.switch.pass(&behaviour).await?;
        Ok(self.answer(&received, behaviour))
    }

    fn answer(&self, received: &Received, behaviour: Behaviour) -> Answer {
        if received.path() == carrier::LOGIN
            && let Some(carrier) = &mut self.edition().carrier
        {
            let now = self.clock.now();
            return behaviour.dress(|| carrier.login(received, &self.sessions, now));
        }
        let believed = {
            let edition = self.edition();
            let (scheme, app) = (edition.scheme, edition.app.as_ref());
            authenticate(received, scheme, &self.sessions, app, self.clock.now())
        };
        let who = match believed {
            Ok(who) => who,
            Err(why) => return behaviour.dress(|| self.refuse(why)),
        };
        let answer = behaviour.dress(|| {
            if !trace_id_legal(&received.headers) {
                return parameters_wrong(&received.headers);
            }
            self.route(received, &who)
        });
        // What KooDrive refuses or fails at does not count as use of the token.
        let used = answer.status() < StatusCode::INTERNAL_SERVER_ERROR
            && answer.status() != StatusCode::TOO_MANY_REQUESTS
            && answer.status() != StatusCode::UNAUTHORIZED;
        if used && let Who::Holder { token, .. } = &who {
            self.sessions.prolong(token);
        }
        answer
    }

    fn refuse(&self, why: NotBelieved) -> Answer {
        match (why, &self.edition().refusal) {
            (NotBelieved::Credentials, _) => {
                api_gateway(401, "APIGW.0305", "Incorrect authentication information")
            }
            (NotBelieved::Signature(why), _) => {
                let message = format!("Incorrect app authentication information: {why}");
                api_gateway(401, "APIGW.0303", &message)
            }
            (NotBelieved::Token, Refusal::ApiGateway) => {
                api_gateway(401, "APIGW.0307", "The token must be updated.")
            }
            (NotBelieved::Token, Refusal::Envelope { status, code }) => {
                json_answer(*status, &json!({ "code": code, "msg": "Authentication failed." }))
            }
        }
    }

    fn route(&self, received: &Received, who: &Who) -> Answer {
        let user = who.user();
        let path = received.path();
        if let Some(rest) = path.strip_prefix("/koodrive/test/") {
            return content::serve(received, rest);
        }
        match (&received.method, path) {
            (&Method::POST, PREVERIFY) => {
                let answer = preverify::verify(received);
                if answer.status() == StatusCode::OK {
                    self.verified.fetch_add(1, Ordering::Relaxed);
                }
                answer
            }
            (&Method::POST, "/koodrive/ose/v1/files/create") => success(
                &received.headers,
                &json!({ "size": received.body.bytes, "sha256": received.body.sha256 }),
            ),
            (&Method::GET, "/koodrive/ose/v1/session/auth") => {
                success(&received.headers, &json!({ "userName": user, "role": "1", "deptId": "1" }))
            }
            (&Method::POST, "/koodrive/ose/v1/session/refresh") => self.new_session(received, who),
            (&Method::POST, carrier::REFRESH) => match &mut self.edition().carrier {
                Some(carrier) => carrier.refresh(received, &self.sessions, self.clock.now()),
                None => no_such_api(),
            },
            (&Method::GET, "/koodrive/ose/v1/userList") => {
                let users = json!([{ "userId": "1505084218764547200", "userName": user }]);
                success(&received.headers, &json!({ "total": 1, "users": users }))
            }
            (&Method::GET, path) if path.starts_with("/koodrive/ose/v1/users/") => {
                let id = path.rsplit('/').next().unwrap_or_default();
                success(&received.headers, &json!({ "userId": id, "userName": id, "status": 0 }))
            }
            _ => no_such_api(),
        }
    }

    /// A new token in the body and, as the web front end wants it, in a cookie.
    fn new_session(&self, received: &Received, who: &Who) -> Answer {
        if let Who::Holder { token, .. } = who {
            self.sessions.revoke(token);
        }
        let fresh = self.sessions.issue(who.user());
        let mut answer = success(&received.headers, &json!({ "accessToken": fresh }));
        let cookies = [format!("Authorization={fresh}; Path=/"), "locale=en-US; Path=/".to_owned()];
        for cookie in cookies {
            let cookie = HeaderValue::try_from(cookie).expect("hex is legal in a header");
            answer.headers_mut().append(SET_COOKIE, cookie);
        }
        answer
    }

    fn edition(&self) -> MutexGuard<'_, Edition> {
        self.edition.lock().expect("no holder panics")
    }
}

/// Optional; if there, exactly one of exactly 58 characters.
fn trace_id_legal(headers: &HeaderMap) -> bool {
    let mut values = headers.get_all("x-traceid").iter();
    let Some(value) = values.next() else { return true };
    let legal = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
    values.next().is_none() && value.len() == 58 && value.as_bytes().iter().all(legal)
}
