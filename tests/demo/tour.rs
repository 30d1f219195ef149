//! The tour: calls an internal tool would make, each with a promise and what became of it.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use http::Method;

use crate::show;
use crate::show::Show;
use crate::simulators::StartFailed;
use crate::support::caller::Call;
use crate::support::caller::Caller;
use crate::support::caller::NoReply;
use crate::support::caller::Reply;
use crate::support::koodrive::PREVERIFY;
use crate::support::recording::Received;
use crate::support::recording::sha256;
use crate::support::scratch::Scratch;
use crate::town::Town;

const GOOD: &str = r#"{"curDeptId": 1575416580416769793, "users": [
  {"targetDeptName": "研发一部", "personalCapacity": 10, "isAllocateCapacity": true},
  {"personalCapacity": 0, "isAllocateCapacity": false}]}"#;

/// The request example of the API page, as it stands there.
const PAGE_EXAMPLE: &str = r#"{
  "curDeptId": 1575416580416769793
  "users": [
    { "targetDeptName": "Dept", "personalCapacity": 10, "isAllocateCapacity": true }
  ]
}"#;

const FOUR_FAULTS: &str = r#"{"curDeptId": "1575416580416769793", "users": [
  {"targetDeptName": "A department with a name too long", "personalCapacity": 10, "isAllocateCapacity": true},
  {"personalCapacity": 5, "isAllocateCapacity": false},
  {"personalCapacity": 10}]}"#;

const USER: &str = "/koodrive/ose/v1/users/1505084218764547200?fields=quota&lang=%E4%B8%AD";

/// Calls of one user, with the token in a file so that no command shows it.
struct Tool {
    caller: Caller,
    token_file: PathBuf,
}

pub struct Tour<'a> {
    town: &'a Town,
    show: Show,
    scratch: Scratch,
    steps: usize,
    broken: Vec<String>,
    title: String,
    /// X-Traceid of the first good call.
    traced: String,
}

impl<'a> Tour<'a> {
    pub fn new(town: &'a Town, show: Show) -> Result<Self, StartFailed> {
        let scratch = Scratch::new().map_err(StartFailed::Scratch)?;
        show::plain(
            "koodrive-gateway: internal tools call KooDrive with their company SSO token.\n",
        );
        show::plain("  tool ──SSO token──▶ gateway ──the user's own KooDrive token──▶ KooDrive");
        show::plain("                        │  ▲");
        show::plain("                        ▼  │ keys, token exchange");
        show::plain("                        SSO\n");
        show::plain(&format!("  gateway   {}", town.gateway));
        show::plain(&format!("  SSO       {} (simulated, real keys)", town.sso.issuer()));
        show::plain(&format!(
            "  KooDrive  {} (simulated, as strict as its API page)",
            town.koodrive.url()
        ));
        let (broken, title, traced) = (Vec::new(), String::new(), String::new());
        Ok(Self { town, show, scratch, steps: 0, broken, title, traced })
    }

    pub async fn walk(&mut self) {
        let walked = self.steps().await;
        self.promise(walked.is_ok(), "every call got an answer");
        if let Err(error) = walked {
            show::note(&error.to_string());
        }
    }

    async fn steps(&mut self) -> Result<(), Lost> {
        let alice = self.tool("alice", &self.town.sso.token_for("alice"))?;
        self.good_batch(&alice).await?;
        self.token_reused(&alice).await?;
        self.broken_example(&alice).await?;
        self.four_faults(&alice).await?;
        self.expired_token().await?;
        self.burst().await?;
        self.passthrough(&alice).await?;
        self.revoked_token(&alice).await
    }

    async fn good_batch(&mut self, alice: &Tool) -> Result<(), Lost> {
        self.step(
            "A good batch",
            "a preverify batch of two users, with alice's SSO token",
            "KooDrive gets the very same bytes, with alice's own KooDrive token and a trace id",
        );
        let reply = self.call(alice, Method::POST, PREVERIFY, Some(GOOD)).await?;
        self.promise(reply.status == 200 && reply.json()["code"] == 0, "KooDrive's own answer");
        let arrived = self.last_upstream();
        let same = arrived.as_ref().is_some_and(|got| got.body.sha256 == sha256(GOOD.as_bytes()));
        self.promise(same, &format!("the same {} bytes arrived (SHA-256 compared)", GOOD.len()));
        let secret = alice.caller.token().unwrap_or_default().as_bytes();
        let kept = arrived.as_ref().is_some_and(|got| !got.contains(secret));
        self.promise(kept, "the SSO token did not reach KooDrive");
        let traced = reply.trace_id();
        let same = arrived.is_some_and(|got| got.header_values("x-traceid") == [traced.as_str()]);
        self.promise(same && traced.len() == 58, "one X-Traceid of 58 characters, here and there");
        self.traced = traced;
        Ok(())
    }

    async fn token_reused(&mut self, alice: &Tool) -> Result<(), Lost> {
        self.step(
            "The next call of the same user",
            "a plain read by alice",
            "her KooDrive token is still good for 20 minutes after each call: no second exchange",
        );
        self.call(alice, Method::GET, "/koodrive/ose/v1/userList?offset=0&limit=1", None).await?;
        let granted = self.town.sso.granted();
        self.promise(granted == 1, &format!("token exchanges so far: {granted}"));
        Ok(())
    }

    async fn broken_example(&mut self, alice: &Tool) -> Result<(), Lost> {
        self.step(
            "The API page's own example",
            "the request example of KooDrive's API page, which lacks a comma",
            "refused before it costs anything, with line and column of the fault",
        );
        let before = self.town.koodrive.received.total();
        let reply = self.call(alice, Method::POST, PREVERIFY, Some(PAGE_EXAMPLE)).await?;
        self.refused(&reply, 400, "batch_not_json");
        let fault = &reply.json()["errors"][0];
        let place = (fault["line"].as_u64(), fault["column"].as_u64());
        self.promise(place == (Some(3), Some(3)), "line 3, column 3: where the comma is missed");
        self.not_upstream(before);
        Ok(())
    }

    async fn four_faults(&mut self, alice: &Tool) -> Result<(), Lost> {
        self.step(
            "A batch that breaks four rules",
            "a quoted id, a long name, capacity without allocation, a missing member",
            "all four named at once, each with its place and cure",
        );
        let before = self.town.koodrive.received.total();
        let reply = self.call(alice, Method::POST, PREVERIFY, Some(FOUR_FAULTS)).await?;
        self.refused(&reply, 400, "batch_malformed");
        let faults = reply.json()["errors"].clone();
        let places = faults.as_array().into_iter().flatten();
        let mut places: Vec<_> = places.filter_map(|fault| fault["pointer"].as_str()).collect();
        places.sort_unstable();
        let expected = [
            "/curDeptId",
            "/users/0/targetDeptName",
            "/users/1/personalCapacity",
            "/users/2/isAllocateCapacity",
        ];
        self.promise(places == expected, "the four places are the four faults");
        self.not_upstream(before);
        Ok(())
    }

    async fn expired_token(&mut self) -> Result<(), Lost> {
        self.step(
            "An expired token",
            "the good batch, with an SSO token that ran out an hour ago",
            "401 that says why; KooDrive and the token endpoint are not bothered",
        );
        let token = self.town.sso.mint("carol").issued_ago(7200).expires_in(-3600).sign();
        let carol = self.tool("carol-expired", &token)?;
        let before = self.town.koodrive.received.total();
        let reply = self.call(&carol, Method::POST, PREVERIFY, Some(GOOD)).await?;
        self.refused(&reply, 401, "token_expired");
        self.promise(
            reply.header("www-authenticate").is_some(),
            "WWW-Authenticate as RFC 6750 wants",
        );
        self.not_upstream(before);
        Ok(())
    }

    async fn burst(&mut self) -> Result<(), Lost> {
        let burst = self.town.config.limit.calls_burst.get();
        let tries = 3 * burst;
        self.step(
            "A burst over the limit",
            &format!("the good batch by bob, up to {tries} times in a row"),
            &format!("{burst} pass, then 429 with a Retry-After that is worth obeying; alice feels nothing"),
        );
        let bob = self.tool("bob", &self.town.sso.token_for("bob"))?;
        let body = self.file("good.json", GOOD)?;
        self.show.command(&format!(
            "for i in $(seq {tries}); do curl -s -o /dev/null -w '%{{http_code}} ' {} \\\n    \
             -H \"Authorization: Bearer $(cat {})\" -H 'Content-Type: application/json' \\\n    \
             --data-binary @{}; done; echo",
            self.town.gateway.clone() + PREVERIFY,
            bob.token_file.display(),
            body.display(),
        ));
        let (mut statuses, mut refusal) = (Vec::new(), None);
        for _ in 0..tries {
            let reply = bob.caller.preverify_or_lost(GOOD).await?;
            statuses.push(reply.status);
            if reply.status != 200 {
                refusal = Some(reply);
                break;
            }
        }
        let line: Vec<_> = statuses.iter().map(u16::to_string).collect();
        show::note(&line.join(" "));
        let Some(reply) = refusal else {
            self.promise(false, "the burst came to an end");
            return Ok(());
        };
        self.show.answer(&reply);
        // A slow machine refills a little meanwhile.
        let passed = statuses.len() - 1;
        self.promise(burst as usize <= passed, &format!("{passed} calls passed"));
        self.refused(&reply, 429, "limit_calls");
        let wait = reply.header("retry-after").and_then(|seconds| seconds.parse().ok());
        tokio::time::sleep(Duration::from_secs(wait.unwrap_or(0))).await;
        let again = bob.caller.preverify_or_lost(GOOD).await?;
        let obeyed = format!("after {} s bob is served again", wait.unwrap_or(0));
        self.promise(wait.is_some() && again.status == 200, &obeyed);
        Ok(())
    }

    async fn passthrough(&mut self, alice: &Tool) -> Result<(), Lost> {
        self.step(
            "Any other KooDrive call",
            "a user query by alice, with a query string and a trace id of her own",
            "passed on as written, under her own KooDrive token; her trace id is kept",
        );
        let own = "demo-0123456789-0123456789-0123456789-0123456789-012345678";
        let call = alice.caller.call(Method::GET, USER).header("x-traceid", own);
        let header = format!("-H 'X-Traceid: {own}'");
        let reply = self.send(alice, call, USER, &[header]).await?;
        self.promise(reply.status == 200, "KooDrive's own answer");
        let arrived = self.last_upstream();
        let target = arrived.as_ref().map(|got| got.target.clone());
        self.promise(target.as_deref() == Some(USER), "path and query as written");
        let token =
            arrived.as_ref().and_then(|got| got.header("authorization")?.strip_prefix("Bearer "));
        let user = token.and_then(|token| self.town.koodrive.sessions.user_of(token).ok());
        self.promise(user.as_deref() == Some("alice"), "KooDrive saw alice herself");
        let kept = arrived.as_ref().and_then(|got| got.header("x-traceid")) == Some(own);
        self.promise(kept && reply.trace_id() == own, "the trace id is the caller's");
        Ok(())
    }

    async fn revoked_token(&mut self, alice: &Tool) -> Result<(), Lost> {
        self.step(
            "KooDrive forgets a token",
            "KooDrive ends alice's session behind the gateway's back; then the good batch again",
            "the gateway renews her token and repeats the call; she notices nothing",
        );
        let (sso, koodrive) = (&self.town.sso, &self.town.koodrive);
        let (granted, before) = (sso.granted(), koodrive.received.total());
        koodrive.sessions.revoke_user("alice");
        let reply = self.call(alice, Method::POST, PREVERIFY, Some(GOOD)).await?;
        self.promise(reply.status == 200, "KooDrive's own answer");
        let (granted, sent) = (sso.granted() - granted, koodrive.received.total() - before);
        self.promise(granted == 1 && sent == 2, "one refusal, one renewal, one repetition");
        Ok(())
    }

    /// Whether all promises were kept; says so.
    pub fn summary(&self) -> bool {
        self.show.heading("Summary");
        let broken = self.broken.len();
        if broken == 0 {
            show::note(&format!("All {} steps went as promised.", self.steps));
        } else {
            show::note(&format!("{broken} promises were broken:"));
            for what in &self.broken {
                show::note(&format!("  {what}"));
            }
        }
        broken == 0
    }

    /// Where to look while everything keeps serving.
    pub fn farewell(&self) {
        let town = self.town;
        let trace = self.traced.chars().take(32).collect::<String>();
        show::note("");
        show::note(&format!("metrics      {}/metrics", town.admin));
        show::note(&format!("admin page   {}/  (health, keys, tokens, last refusals)", town.admin));
        show::note(&format!(
            "fresh token  curl -s '{}/demo-token?subject=alice'  (or: demo -- --token)",
            town.sso.issuer()
        ));
        show::note("traces       the first 32 characters of an X-Traceid are its trace in Jaeger:");
        show::note(&format!("             {trace} for the first call above."));
        show::note(
            "             Start Jaeger, then the demo with OTEL_EXPORTER_OTLP_ENDPOINT set:",
        );
        show::note("             docker run --rm -p 16686:16686 -p 4318:4318 jaegertracing/jaeger");
        show::note("             OTEL_EXPORTER_OTLP_ENDPOINT=http://127.0.0.1:4318 \\");
        show::note("               cargo run --release --example demo");
        show::note("             and look at http://127.0.0.1:16686/trace/<those 32 characters>");
        show::note("");
        show::note(
            "The commands above work while this runs; the access log follows. Ctrl-C stops.",
        );
    }

    fn step(&mut self, title: &str, sent: &str, promised: &str) {
        self.steps += 1;
        title.clone_into(&mut self.title);
        self.show.heading(&format!("{}  {title}", self.steps));
        show::story(sent, promised);
    }

    fn promise(&mut self, kept: bool, what: &str) {
        self.show.promise(kept, what);
        if !kept {
            self.broken.push(format!("{}: {what}", self.title));
        }
    }

    fn refused(&mut self, reply: &Reply, status: u16, reason: &str) {
        let so = reply.status == status && reply.reason().as_deref() == Some(reason);
        self.promise(so, &format!("{status} {reason}"));
    }

    fn not_upstream(&mut self, before: u64) {
        let quiet = self.town.koodrive.received.total() == before;
        self.promise(quiet, "KooDrive heard nothing of it");
    }

    fn last_upstream(&self) -> Option<Arc<Received>> {
        self.town.koodrive.received.all().pop()
    }

    fn tool(&self, name: &str, token: &str) -> Result<Tool, Lost> {
        let token_file = self.file(&format!("{name}.jwt"), token)?;
        let caller = Caller::new(&self.town.http, &self.town.gateway, Some(token.to_owned()));
        Ok(Tool { caller, token_file })
    }

    fn file(&self, name: &str, content: &str) -> Result<PathBuf, Lost> {
        self.scratch.write(name, content).map_err(Lost::Scratch)
    }

    async fn call(
        &self,
        tool: &Tool,
        method: Method,
        target: &str,
        body: Option<&str>,
    ) -> Result<Reply, Lost> {
        let call = tool.caller.call(method, target);
        let Some(body) = body else { return self.send(tool, call, target, &[]).await };
        let options =
            ["-H 'Content-Type: application/json'".to_owned(), format!("--data-binary '{body}'")];
        self.send(tool, call.json(body.to_owned()), target, &options).await
    }

    /// Shows the command, sends the same call, shows the answer.
    async fn send(
        &self,
        tool: &Tool,
        call: Call,
        target: &str,
        options: &[String],
    ) -> Result<Reply, Lost> {
        let mut command = format!("curl -i '{}{target}'", self.town.gateway);
        let token = format!("-H \"Authorization: Bearer $(cat {})\"", tool.token_file.display());
        for option in std::iter::once(&token).chain(options) {
            command.push_str(" \\\n    ");
            command.push_str(option);
        }
        self.show.command(&command);
        let reply = call.try_send().await.map_err(Lost::Call)?;
        self.show.answer(&reply);
        Ok(reply)
    }
}

/// Why the tour could not go on.
#[derive(Debug, thiserror::Error)]
enum Lost {
    #[error("{0}: {cause}", cause = .0.cause())]
    Call(NoReply),
    #[error("a file cannot be written: {0}")]
    Scratch(io::Error),
}

impl Caller {
    async fn preverify_or_lost(&self, batch: &'static str) -> Result<Reply, Lost> {
        let call = self.call(Method::POST, PREVERIFY).json(batch);
        call.try_send().await.map_err(Lost::Call)
    }
}
