//! The steps, one function each.

use std::fmt::Write as _;
use std::time::Duration;

use http::Method;

use super::{Lost, Tool, Tour};
use crate::show;
use crate::support::koodrive::PREVERIFY;
use crate::support::recording::sha256;

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

/// Spans travel in the background, every few seconds.
const TRACE_PATIENCE: Duration = Duration::from_secs(20);

impl Tour<'_> {
    pub(super) async fn good_batch(&mut self, alice: &Tool) -> Result<(), Lost> {
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

    pub(super) async fn token_reused(&mut self, alice: &Tool) -> Result<(), Lost> {
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

    pub(super) async fn broken_example(&mut self, alice: &Tool) -> Result<(), Lost> {
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

    pub(super) async fn four_faults(&mut self, alice: &Tool) -> Result<(), Lost> {
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

    pub(super) async fn expired_token(&mut self) -> Result<(), Lost> {
        self.step(
            "An expired token",
            "the good batch, with an SSO token that ran out an hour ago",
            "401 that says why; KooDrive and the token endpoint are not bothered",
        );
        let token = self.town.sso.mint("carol").issued_ago(7200).expires_in(-3600).sign();
        let carol = self.tool("carol-expired", &token)?;
        let (before, granted) = (self.town.koodrive.received.total(), self.town.sso.granted());
        let reply = self.call(&carol, Method::POST, PREVERIFY, Some(GOOD)).await?;
        self.refused(&reply, 401, "token_expired");
        self.promise(
            reply.header("www-authenticate").is_some(),
            "WWW-Authenticate as RFC 6750 wants",
        );
        let asked = self.town.sso.granted() - granted;
        self.promise(asked == 0, "no KooDrive token was asked for");
        self.not_upstream(before);
        Ok(())
    }

    pub(super) async fn denied_delete(&mut self, alice: &Tool) -> Result<(), Lost> {
        self.step(
            "A call that a rule forbids",
            "the deletion of a user, by alice; the rule of this configuration: nobody deletes users",
            "403 that says why; KooDrive hears nothing, and the trace names the rule",
        );
        let before = self.town.koodrive.received.total();
        let reply = self.call(alice, Method::DELETE, "/koodrive/ose/v1/users/7", None).await?;
        self.refused(&reply, 403, "call_denied");
        self.not_upstream(before);
        let Some(collector) = &self.town.collector else {
            show::note("its trace went to your collector");
            return Ok(());
        };
        let spans = collector.trace_of(&reply.trace_id(), TRACE_PATIENCE).await.unwrap_or_default();
        show::note("");
        for span in &spans {
            let depth = usize::from(span.parent.is_some());
            let mut line = format!("{:1$}{2}", "", 2 * depth, span.name);
            for name in ["gateway.reason", "gateway.stage", "gateway.rule", "gateway.verdict"] {
                if let Some(value) = span.text(name) {
                    write!(line, "  {name}={value}").expect("a String");
                }
            }
            show::note(&line);
        }
        let told = spans.iter().find(|span| span.name == "authorize");
        let told = told.and_then(|span| span.text("gateway.rule")) == Some("nobody deletes users");
        self.promise(told, "its trace: accept, then authorize with the rule, and nothing after");
        Ok(())
    }

    pub(super) async fn burst(&mut self, alice: &Tool) -> Result<(), Lost> {
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
        let hers = alice.caller.preverify_or_lost(GOOD).await?;
        self.promise(hers.status == 200, "alice is served meanwhile");
        let wait = reply.header("retry-after").and_then(|seconds| seconds.parse().ok());
        tokio::time::sleep(Duration::from_secs(wait.unwrap_or(0))).await;
        let again = bob.caller.preverify_or_lost(GOOD).await?;
        let obeyed = format!("after {} s bob is served again", wait.unwrap_or(0));
        self.promise(wait.is_some() && again.status == 200, &obeyed);
        Ok(())
    }

    pub(super) async fn passthrough(&mut self, alice: &Tool) -> Result<(), Lost> {
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

    pub(super) async fn revoked_token(&mut self, alice: &Tool) -> Result<(), Lost> {
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
}
