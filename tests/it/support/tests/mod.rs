//! The simulators keep their own promises.

mod canary;
mod koodrive;
mod server;
mod sso;
mod world;

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::Method;
use koodrive_gateway::clock::Clock;

use crate::support::caller::{Call, Caller, Http, Reply};
use crate::support::canary::Canaries;
use crate::support::koodrive::KooDrive;
use crate::support::server::Listen;
use crate::support::sessions::Sessions;
use crate::support::sso::grants::TOKEN_EXCHANGE;
use crate::support::sso::{Sso, SsoOptions};

pub(super) const SOON: Duration = Duration::from_secs(10);
pub(super) const GOOD: &str = r#"{"curDeptId":1575416580416769793,"users":[{"targetDeptName":"研发部","personalCapacity":10,"isAllocateCapacity":true},{"personalCapacity":0,"isAllocateCapacity":false}]}"#;

pub(super) struct Town {
    pub(super) clock: Clock,
    pub(super) sso: Sso,
    pub(super) koodrive: KooDrive,
    pub(super) http: Http,
}

impl Town {
    pub(super) fn start() -> Self {
        let clock = Clock::system();
        let sessions = Sessions::new(&clock, Canaries::keeping());
        let listener = || Listen::loopback(&clock).bind().unwrap();
        let sso = Sso::start(listener(), SsoOptions::default(), &sessions);
        let koodrive = KooDrive::start(listener(), &sessions);
        Self { clock, sso, koodrive, http: Http::new("", false) }
    }

    /// Somebody who holds a KooDrive token, or claims to.
    pub(super) fn holder(&self, token: &str) -> Caller {
        Caller::new(&self.http, self.koodrive.url(), Some(token.to_owned()))
    }

    pub(super) fn ask(&self, form: &[(&str, &str)]) -> Call {
        let body = form_urlencoded::Serializer::new(String::new()).extend_pairs(form).finish();
        Caller::new(&self.http, &self.sso.token_endpoint(), None)
            .call(Method::POST, "")
            .header("content-type", "application/x-www-form-urlencoded")
            .body(body)
    }

    pub(super) fn basic(&self) -> String {
        let encode = |text: &str| form_urlencoded::byte_serialize(text.as_bytes()).collect();
        let (id, secret): (String, String) =
            (encode(self.sso.client_id()), encode(self.sso.client_secret()));
        format!("Basic {}", STANDARD.encode(format!("{id}:{secret}")))
    }

    pub(super) async fn exchange(&self, sso_token: &str) -> Reply {
        let form = [
            ("grant_type", TOKEN_EXCHANGE),
            ("subject_token", sso_token),
            ("subject_token_type", "urn:ietf:params:oauth:token-type:access_token"),
        ];
        self.ask(&form).header("authorization", &self.basic()).send().await
    }
}
