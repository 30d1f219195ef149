//! `explain`: what each stage would decide, and why.

use serde_json::{Value, json};

use super::{Said, config_of, koodrive_gateway, usable_keys};
use crate::support::faults::Behaviour;
use crate::support::koodrive::PREVERIFY;
use crate::support::world::{GOOD_BATCH, Plan, World};

/// One call explained under the configuration of a world whose gateway is never asked.
async fn explained(world: &World, token: &str, call: &str, body: Option<&str>) -> Said {
    let token_file = world.scratch.write("token", format!("{token}\n")).unwrap();
    let mut arguments = vec!["explain", "--config", config_of(world)];
    arguments.extend(["--token-file", token_file.to_str().unwrap(), call]);
    let body = body.map(|body| world.scratch.write("batch.json", body).unwrap());
    if let Some(body) = &body {
        arguments.extend(["--body", body.to_str().unwrap()]);
    }
    let said = koodrive_gateway(&arguments).await;
    said.keeps_quiet_about(world, token);
    said
}

fn preverify() -> String {
    format!("POST {PREVERIFY}")
}

/// A world that knows the keys by file, so that `explain` can check signatures.
async fn with_keys(plan: Plan) -> World {
    let world = plan.start().await;
    let sso = crate::support::caller::Caller::new(&world.http, &world.sso.issuer(), None);
    world.scratch.write("jwks.json", sso.get("/jwks").await.body).unwrap();
    let text = std::fs::read_to_string(world.config_file()).unwrap();
    let named = "[[accept.issuers]]\njwks_file = \"jwks.json\"\n";
    world.scratch.write("gateway.toml", text.replace("[[accept.issuers]]\n", named)).unwrap();
    world
}

#[tokio::test]
async fn a_good_call_is_explained_stage_by_stage() {
    let world = with_keys(World::plan()).await;
    let token = world.sso.token_for("alice");
    let said = explained(&world, &token, &preverify(), Some(GOOD_BATCH)).await;
    let caller = koodrive_gateway::accept::CallerId::of(&world.sso.issuer(), "alice");
    let endpoint = world.sso.token_endpoint();
    let said = said.expect(
        0,
        &[
            "call\n  preverify: limited and validated",
            "accept\n  ok       form",
            "ok       signature: a signature",
            "ok       subject: one (not shown)",
            &format!("limit\n  caller {caller} in logs and limits\n"),
            "60 calls a minute (burst 10)",
            "validate\n  body: a valid batch of 2 users",
            &format!("token\n  RFC 8693 token exchange at {endpoint}, as client koodrive-gateway"),
            "sends: this SSO token as subject_token",
            "kept: one token for this caller, by issuer, subject",
            "lives: 20m after the last call KooDrive accepted, at most 12h or as the endpoint",
            &format!("\n  way to {}: direct\n", endpoint.trim_end_matches("/realms/tools/token")),
            &format!(
                "forward\n  to {0}{PREVERIFY}\n  way to {0}: direct\nwould be forwarded\n",
                world.koodrive.url()
            ),
        ],
    );
    assert!(!said.stdout.contains("alice") && !said.stdout.contains("REFUSED"), "{said:?}");
    assert_eq!(world.koodrive.received.all().len(), 0);
    assert_eq!(world.sso.granted(), 0);

    let said = explained(&world, &token, "GET /koodrive/ose/v1/userList?limit=1", None).await;
    said.expect(
        0,
        &[
            "call\n  below /koodrive/ and not preverify: streamed through unchanged\n",
            "limit\n  for preverify only\nvalidate\n  for preverify only: the gateway does not look into the body\n",
            "/koodrive/ose/v1/userList?limit=1\n  way to ",
        ],
    );
    let spelled = explained(&world, &token, &preverify().replace("pre", "%70re"), None).await;
    spelled.expect(0, &["preverify in another spelling", "no --body given", PREVERIFY]);
}

/// In the words of the answer that a caller would get.
#[tokio::test]
async fn a_token_file_that_holds_something_else_is_told_for_what_it_is() {
    let world = World::start().await;
    let good = world.sso.token_for("alice");
    for (held, told) in [
        (format!("\"{good}\""), "it stands in quotes"),
        (format!("Bearer Bearer {good}"), "the scheme stands there twice"),
        (format!("{{\"access_token\":\"{good}\"}}"), "the whole answer of a token endpoint"),
        ("$TOKEN".to_owned(), "the name of a variable"),
        ("null".to_owned(), "the name of a variable, or another stand-in"),
    ] {
        let said = explained(&world, &held, "GET /koodrive/x", None).await;
        said.expect(1, &["REFUSED  form", told, "\nwould be refused: 401 token_malformed\n"]);
    }
}

#[tokio::test]
async fn a_refusal_ends_the_walk_with_its_reason() {
    let world = with_keys(World::plan()).await;
    let good = world.sso.token_for("alice");
    let now = world.sso.clock().unix_seconds();
    let expired = world.sso.mint("alice").claim("exp", now - 120).sign();
    let elsewhere = world.sso.mint("alice").claim("aud", "another").sign();
    let forged = format!("{}AAAA", good.get(..good.len() - 4).unwrap());
    let cases: [(&str, &str, &str, &str); 11] = [
        (&expired, &preverify(), "REFUSED  exp", "401 token_expired"),
        (&elsewhere, &preverify(), "REFUSED  aud", "401 token_audience_mismatch"),
        (&forged, &preverify(), "REFUSED  signature", "401 token_signature_invalid"),
        ("b9xq7.k2w8z.m4v6y", &preverify(), "REFUSED  form", "401 token_malformed"),
        ("", &preverify(), "REFUSED  the token file is empty", "401 token_missing"),
        (&good, "GET /", "404: it does not begin with forward.prefix", "404 route_unknown"),
        (&good, "GET a b", "REFUSED  not a request target", "404 route_unknown"),
        (&good, "GET /koodrive/..;/x", "404: some server could read", "404 route_unknown"),
        (&good, &preverify().replace("POST", "GET"), "allowed: POST", "405 method_refused"),
        (&good, "TRACE /koodrive/x", "REFUSED  405: TRACE", "405 method_refused"),
        (&good, &preverify().replace("/pre", "%2fpre"), "as preverify", "404 route_unknown"),
    ];
    for (token, call, expected, told) in cases {
        let last = format!("\nwould be refused: {told}\n");
        let said = explained(&world, token, call, None).await.expect(1, &[expected, &last]);
        let not_reached = if told.starts_with("401") { "limit\n" } else { "accept\n" };
        assert!(!said.stdout.contains(not_reached), "{call}: {said:?}");
        assert!(said.stdout.ends_with(&last), "{call}: {said:?}");
    }
    let bad = GOOD_BATCH.replace(":10 ", ":\"10\" ");
    let said = explained(&world, &good, &preverify(), Some(&bad)).await;
    let told = "would be refused: 400 batch_malformed\n";
    let said = said.expect(1, &["/users/0/personalCapacity", "batch_malformed: 1 fault", told]);
    assert!(!said.stdout.contains("\ntoken\n"), "{said:?}");
}

#[tokio::test]
async fn programs_read_the_same_as_json() {
    let world = with_keys(World::plan()).await;
    let now = world.sso.clock().unix_seconds();
    let expired = world.sso.mint("alice").claim("exp", now - 120).sign();
    for (token, code, forwarded, status, reason) in [
        (world.sso.token_for("alice"), 0, true, Value::Null, Value::Null),
        (expired, 1, false, json!(401), json!("token_expired")),
    ] {
        let file = world.scratch.write("token", &token).unwrap();
        let arguments = ["explain", "--format", "json", "--config", config_of(&world)];
        let more = ["--token-file", file.to_str().unwrap(), "GET /koodrive/x"];
        let said = koodrive_gateway(&[&arguments[..], &more].concat()).await.expect(code, &[]);
        said.keeps_quiet_about(&world, &token);
        let told: Value = serde_json::from_str(&said.stdout).unwrap();
        let verdict = (&told["forwarded"], &told["status"], &told["reason"]);
        assert_eq!(verdict, (&json!(forwarded), &status, &reason));
        assert_eq!(told["stages"][0]["stage"], "call");
        assert_eq!(told["stages"][1]["stage"], "accept");
        assert!(told["stages"][1]["lines"].as_array().is_some_and(|lines| 5 < lines.len()));
    }
}

#[tokio::test]
async fn the_token_may_stand_in_its_file_as_in_a_header() {
    let world = with_keys(World::plan()).await;
    let token = world.sso.token_for("alice");
    for written in ["Bearer {}", "bearer   {}", "Authorization: Bearer {}\r", " {} "] {
        let written = written.replace("{}", &token);
        let said = explained(&world, &written, "GET /koodrive/x", None).await;
        said.expect(0, &["would be forwarded"]);
    }
}

#[tokio::test]
async fn online_the_signature_is_checked_with_the_keys_of_the_sso() {
    let world = World::start().await;
    let token = world.sso.token_for("alice");
    let forged = format!("{}AAAA", token.get(..token.len() - 4).unwrap());
    let online = async |token: &str| {
        let file = world.scratch.write("token", token).unwrap();
        let arguments = ["explain", "--online", "--config", config_of(&world), "--token-file"];
        let more = [file.to_str().unwrap(), "GET /koodrive/x"];
        koodrive_gateway(&[&arguments[..], &more].concat()).await
    };
    let issuer = world.sso.issuer();
    let fetched = format!("keys\n  ok       {issuer}: {}\n", usable_keys(&world).await);
    online(&token).await.expect(0, &[&fetched, "ok       signature", "would be forwarded"]);
    let said = online(&forged).await;
    said.expect(1, &["REFUSED  signature", "would be refused: 401 token_signature_invalid"]);
    world.sso.jwks.set(Behaviour::status(500));
    let failed = format!("keys\n  FAILED   {issuer}: ");
    let said = online(&token).await;
    said.expect(1, &[&failed, "REFUSED  key", "would be refused: 503 keys_unavailable"]);
}

#[tokio::test]
async fn without_keys_at_hand_the_signature_is_skipped_and_the_walk_goes_on() {
    let world = World::start().await;
    let token = world.sso.token_for("alice");
    let said = explained(&world, &token, &preverify(), None).await;
    said.expect(0, &["skipped  key", "the signature was not checked", "token\n", "forward\n"]);
}

#[tokio::test]
async fn switched_off_and_observing_guards_are_named() {
    let limits = "[limit]\nmode = 'observe'\n[validate]\nmode = 'observe'";
    let world = World::plan().config(limits).start().await;
    let token = world.sso.token_for("alice");
    let said = explained(&world, &token, &preverify(), Some("[]")).await;
    said.expect(
        0,
        &[
            "limit.mode is observe",
            "validate.mode is observe",
            "batch_malformed",
            "would be forwarded",
        ],
    );
    let limits = "[limit]\nmode = 'off'\n[validate]\nmode = 'off'";
    let world = World::plan().config(limits).start().await;
    let token = world.sso.token_for("alice");
    let said = explained(&world, &token, &preverify(), Some("[]")).await;
    said.expect(0, &["switched off by limit.mode", "switched off by validate.mode"]);
}

#[tokio::test]
async fn the_token_stage_tells_what_is_sent_what_is_missing_and_whose_token_it_is() {
    let secret = |plan: Plan| plan.file("app-secret", "s3cr3t-of-the-app\n");
    let app = "[token]\nmethod = 'app_signature'\n[token.app]\napp_id = 'app-1'\n\
               app_secret_file = 'app-secret'\n[[accept.issuers]]\n\
               koodrive_users_file = 'users.toml'\nkoodrive_user_claim = 'koodrive_user_id'";
    let custom = "[token]\nmethod = 'custom'\n[token.custom]\n\
                  headers = { x-region = '{claim:region}' }\n\
                  body = { token = '{sso_token}', list = [{ tenant = '{claim:tenant}' }] }";
    let carrier = "[token]\nmethod = 'carrier_login'\n[token.carrier]\naccount = 'robot'\n\
                   password_file = 'app-secret'";
    let claims = "[token]\nmethod = 'jwt_bearer'\nscope = 'drive'\ncache_claims = ['tenant', 'x']";
    let process = "[token]\nmethod = 'client_credentials'";
    let tenant = Some("tenant");
    let id = Some("koodrive_user_id");
    let rows: [(&str, Option<&str>, i32, &[&str]); 8] = [
        (app, None, 1, &["X-User-Id: unknown", "REFUSED  403: no KooDrive user id is known"]),
        (app, id, 0, &["X-User-Id: known from claim koodrive_user_id"]),
        (custom, None, 1, &["region (MISSING), tenant (MISSING)", "REFUSED  403"]),
        (custom, tenant, 1, &["sends: list, token", "region (MISSING), tenant (present)"]),
        (carrier, None, 0, &["sends: the configured account", "for the whole process"]),
        (
            claims,
            tenant,
            0,
            &["as assertion, scope drive", "subject, tenant (this token has no x)"],
        ),
        (claims, None, 0, &["issuer, subject (this token has no tenant, x)"]),
        (process, None, 0, &["sends: nothing of the caller", "one token for the whole process"]),
    ];
    for (config, claim, code, expected) in rows {
        let plan = secret(World::plan()).file("users.toml", "bob = \"200\"\n").config(config);
        let world = plan.start().await;
        let mint = world.sso.mint("alice");
        let mint = match claim {
            Some(claim) => mint.claim(claim, "value-of-the-claim"),
            None => mint,
        };
        let said = explained(&world, &mint.sign(), "GET /koodrive/x", None).await;
        let said = said.expect(code, expected);
        assert!(!said.stdout.contains("value-of-the-claim"), "{said:?}");
        assert!(!said.stdout.contains("s3cr3t"), "{said:?}");
        if config == app {
            let bob = world.sso.token_for("bob");
            let said = explained(&world, &bob, "GET /koodrive/x", None).await;
            said.expect(0, &["X-User-Id: known from koodrive_users_file of this issuer"]);
        }
    }
}

#[tokio::test]
async fn what_is_no_call_or_no_file_is_said_so() {
    let world = World::start().await;
    let token = world.sso.token_for("alice");
    explained(&world, &token, "/koodrive/x", None).await.expect(2, &[]).complains("such as 'POST ");
    explained(&world, &token, "G,T /x", None).await.expect(2, &[]).complains("a method such as");
    let config = config_of(&world);
    let arguments = ["explain", "--config", config, "--token-file", "/nowhere", "GET /koodrive/x"];
    koodrive_gateway(&arguments).await.expect(3, &[]).complains("/nowhere: ");
}

#[tokio::test]
async fn each_stage_says_by_which_proxy_and_whose_roots_its_server_is_reached() {
    let config = "
        [[accept.issuers]]
        jwks_url = 'https://sso.example/keys'
        [accept]
        ca_file = 'ca.pem'
        [token]
        endpoint = 'https://token.internal/token'
        [forward]
        upstream = 'https://koodrive.example'
        [egress]
        proxy = 'http://proxy.example:3128'
        no_proxy = ['.internal']
    ";
    let world = World::plan().config(config).unready().start().await;
    let token = world.sso.token_for("alice");
    let said = explained(&world, &token, "GET /koodrive/ose/v1/files/1", None).await;
    let by_proxy = "proxy http://proxy.example:3128";
    let roots = |key: &str| format!("known by the roots of the system and {key} ca.pem");
    let (sso, koodrive) = (roots("accept.ca_file"), roots("forward.ca_file"));
    said.expect(
        0,
        &[
            &format!("way to https://sso.example: {by_proxy}, {sso}\n"),
            "way to https://token.internal: direct, known by the roots of the system\n",
            &format!("way to https://koodrive.example: {by_proxy}, {koodrive}\n"),
        ],
    );
}
