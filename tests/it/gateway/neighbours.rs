//! A neighbour that fails is told of once, with its cause, and once when it is back; who looks
//! meanwhile sees the same.

use http::Method;
use serde_json::Value;

use super::{SOON, WHO_AM_I};
use crate::support::faults::Behaviour;
use crate::support::gateway::Gateway;
use crate::support::world::World;

/// A world whose gateway has a log of its own.
async fn world() -> World {
    let world = World::plan().config("[token]\nunavailable_for = '1ms'").child().start().await;
    assert_eq!(world.caller("first").get(WHO_AM_I).await.status, 200);
    world
}

/// The lines about neighbours, in their order.
fn told(gateway: &Gateway) -> Vec<String> {
    let lines = gateway.logs.json();
    let messages = lines.iter().filter_map(|line| line["msg"].as_str());
    let is_told = |msg: &&str| msg.ends_with(" failing") || msg.ends_with(" back");
    messages.filter(is_told).map(str::to_owned).collect()
}

async fn line(world: &World, msg: &str) -> Value {
    let line = world.gateway.logs.wait_for(SOON, |line| line["msg"] == msg).await;
    line.unwrap_or_else(|| panic!("no {msg:?} in\n{}", world.gateway.logs.lines().join("\n")))
}

/// What `status` is answered, and with which status.
async fn status(world: &World) -> (u16, String) {
    let page = world.admin().call(Method::GET, "/").header("accept", "text/plain").send().await;
    (page.status, page.text())
}

fn part<'a>(page: &'a str, kind: &str) -> &'a str {
    let (_, from) = page.split_once(kind).unwrap_or_else(|| panic!("no {kind} in\n{page}"));
    from.split("\n  ok").next().expect("there is a first part")
}

#[tokio::test]
async fn an_sso_that_is_away_is_told_of_once_and_so_is_its_return() {
    let world = world().await;
    world.sso.server.down().await;
    let issuer = world.sso.issuer();
    world.gateway.reload().await;
    let failing = line(&world, "sso failing").await;
    let expected = (Some("warn"), Some(&*issuer));
    assert_eq!((failing["level"].as_str(), failing["issuer"].as_str()), expected);
    let detail = failing["detail"].as_str().unwrap();
    assert!(detail.contains("Connection refused") && detail.contains(&issuer), "{detail}");
    let (code, page) = status(&world).await;
    let sso = part(&page, "  FAILING  sso ");
    assert!(code == 503 && sso.contains("Connection refused"), "{page}");
    assert!(sso.contains(", keys "), "keys from before are still there: {page}");

    // More of the same is no news.
    for _ in 0..3 {
        world.gateway.reload().await;
    }
    world.sso.server.up().await;
    let back = line(&world, "sso back").await;
    assert_eq!(back["detail"], failing["detail"]);
    assert!(back["failed_for_ms"].is_u64(), "{back}");
    assert_eq!(back["level"], "info");
    assert_eq!(told(&world.gateway), ["sso failing", "sso back"]);
    let (code, page) = status(&world).await;
    assert!(code == 200 && page.contains("  ok       sso "), "{page}");
}

/// What is told of a call whose neighbour has been made to fail.
async fn detail_after(fault: &Fault) -> (World, String) {
    let hasty = "[token]\ntimeout = '100ms'\n[forward]\nresponse_timeout = '100ms'";
    let world = World::plan().config(hasty).child().start().await;
    match fault {
        Fault::Address(table, key, address) => {
            let mut config = world.config().clone();
            let address = filled(&world, address);
            config[*table].as_table_mut().unwrap().insert((*key).to_owned(), address.into());
            world.scratch.write("gateway.toml", config.to_string()).unwrap();
            world.gateway.reload().await;
            line(&world, "configuration reloaded").await;
        }
        Fault::Token(behaviour) => world.sso.token.set(behaviour.clone()),
        Fault::KooDrive(behaviour) => world.koodrive.switch.set(behaviour.clone()),
    }
    let reply = world.caller("alice").get(WHO_AM_I).await;
    let line = world.gateway.logs.of_call(&reply.trace_id(), SOON).await.expect("a line");
    let detail = line["detail"].as_str().unwrap_or_else(|| panic!("no detail: {line}")).to_owned();
    (world, detail)
}

enum Fault {
    /// Of table and key: what is written there instead.
    Address(&'static str, &'static str, &'static str),
    Token(Behaviour),
    KooDrive(Behaviour),
}

/// With the addresses of this world.
fn filled(world: &World, text: &str) -> String {
    let host = |url: &str| url.trim_start_matches("http://").split('/').next().unwrap().to_owned();
    let (sso, koodrive) = (host(&world.sso.issuer()), host(world.koodrive.url()));
    text.replace("{sso}", &sso).replace("{koodrive}", &koodrive)
}

#[tokio::test]
async fn a_failure_names_its_address_and_whether_it_was_dns_tls_or_silence() {
    const TOKEN_AWAY: &str = "the token endpoint is unavailable: no connection could be made: ";
    const KOODRIVE_AWAY: &str = "KooDrive cannot be reached: no connection could be made: ";
    let token = |address| Fault::Address("token", "endpoint", address);
    let koodrive = |address| Fault::Address("forward", "upstream", address);
    let (dns, tls) = ("dns error: ", "received corrupt message of type InvalidContentType");
    for (fault, expected) in [
        (token("https://token.invalid/"), format!("{TOKEN_AWAY}token.invalid: {dns}")),
        (token("https://{sso}/"), format!("{TOKEN_AWAY}{{sso}}: {tls}")),
        (
            Fault::Token(Behaviour::hang()),
            "the token endpoint at {sso} did not answer within 100ms".to_owned(),
        ),
        (
            Fault::Token(Behaviour::status(503)),
            "the token endpoint at {sso} is unavailable: it answered 503".to_owned(),
        ),
        (
            Fault::Token(Behaviour::close()),
            "the token endpoint at {sso} is unavailable: the connection broke before".to_owned(),
        ),
        (koodrive("https://koodrive.invalid"), format!("{KOODRIVE_AWAY}koodrive.invalid: {dns}")),
        (koodrive("https://{koodrive}"), format!("{KOODRIVE_AWAY}{{koodrive}}: {tls}")),
        (
            Fault::KooDrive(Behaviour::hang()),
            "KooDrive at {koodrive} did not answer within 100ms".to_owned(),
        ),
        (
            Fault::KooDrive(Behaviour::close()),
            "the connection to KooDrive at {koodrive} broke before its answer: ".to_owned(),
        ),
    ] {
        let (world, detail) = detail_after(&fault).await;
        let expected = filled(&world, &expected);
        assert!(detail.starts_with(&expected), "{expected:?}\n{detail:?}");
        let mut causes: Vec<_> = detail.split(": ").collect();
        causes.sort_unstable();
        assert!(causes.windows(2).all(|two| two[0] != two[1]), "each once: {detail:?}");
    }
}

#[tokio::test]
async fn an_sso_without_an_address_or_tls_is_told_with_the_address_that_was_asked() {
    for (scheme_and_host, told) in
        [("https://sso.invalid", "dns error"), ("https://{sso}", "InvalidContentType")]
    {
        let world = world().await;
        // Keys are being fetched from the old place when the new one is read.
        world.sso.jwks.gate.close();
        let jwks = filled(&world, scheme_and_host);
        let mut config = world.config().clone();
        let issuer = config["accept"]["issuers"][0].as_table_mut().unwrap();
        issuer.insert("jwks_url".to_owned(), format!("{jwks}/keys").into());
        world.scratch.write("gateway.toml", config.to_string()).unwrap();
        world.gateway.reload().await;
        line(&world, "configuration reloaded").await;
        world.sso.jwks.gate.open();
        let failing = line(&world, "sso failing").await;
        let detail = failing["detail"].as_str().unwrap();
        assert_eq!(detail.matches(&format!("{jwks}/keys")).count(), 1, "{detail}");
        assert!(detail.contains(told), "{detail}");
    }
}

#[tokio::test]
async fn a_token_endpoint_that_refuses_us_fails_and_one_that_denies_a_caller_does_not() {
    let world = world().await;
    world.sso.deny("mallory");
    for _ in 0..4 {
        assert_eq!(world.caller("mallory").get(WHO_AM_I).await.status, 403);
    }
    let refuses = serde_json::json!({"error": "invalid_client"});
    world.sso.token.set(Behaviour::json(401, &refuses));
    for caller in ["a", "b", "c", "d"] {
        assert_eq!(world.caller(caller).get(WHO_AM_I).await.status, 502);
    }
    let failing = line(&world, "token endpoint failing").await;
    let detail = failing["detail"].as_str().unwrap();
    assert!(detail.contains("401 invalid_client"), "{detail}");
    world.sso.token.set(Behaviour::default());
    assert_eq!(world.caller("e").get(WHO_AM_I).await.status, 200);
    line(&world, "token endpoint back").await;
    assert_eq!(told(&world.gateway), ["token endpoint failing", "token endpoint back"]);
}

#[tokio::test]
async fn koodrive_fails_with_its_third_error_in_a_row_and_not_with_one_in_between() {
    let world = world().await;
    let alice = world.caller("alice");
    let unwell = Behaviour::status(503);
    for statuses in [[200, 503, 503], [200, 503, 200]] {
        for status in statuses {
            world.koodrive.switch.set(match status {
                200 => Behaviour::default(),
                _ => unwell.clone(),
            });
            assert_eq!(alice.get(WHO_AM_I).await.status, status);
        }
    }
    assert_eq!(told(&world.gateway), [""; 0]);
    world.koodrive.switch.set(unwell);
    for _ in 0..5 {
        assert_eq!(alice.get(WHO_AM_I).await.status, 503);
    }
    let failing = line(&world, "koodrive failing").await;
    assert_eq!(failing["detail"], "it answered 503");
    assert_eq!(failing["server"].as_str(), Some(world.koodrive.url()));
    let (_, page) = status(&world).await;
    let koodrive = part(&page, "  FAILING  koodrive ");
    assert!(koodrive.contains("it answered 503") && koodrive.contains("p95 "), "{page}");
    world.koodrive.server.down().await;
    assert_eq!(alice.get(WHO_AM_I).await.status, 502);
    world.koodrive.switch.set(Behaviour::default());
    world.koodrive.server.up().await;
    assert_eq!(alice.get(WHO_AM_I).await.status, 200);
    line(&world, "koodrive back").await;
    assert_eq!(told(&world.gateway), ["koodrive failing", "koodrive back"]);
}

#[tokio::test]
async fn a_collector_that_is_away_and_a_clock_that_is_wrong_are_told_of_too() {
    let world = World::plan().config("[limit]\nstore = 'redis://127.0.0.1:1'").child();
    let world = world.start().await;
    world.collector.server.down().await;
    world.koodrive.clock().set_ahead(-120);
    assert_eq!(world.caller("alice").preverify("{}".to_owned()).await.status, 400);
    assert_eq!(world.caller("alice").get(WHO_AM_I).await.status, 200);
    let collector = line(&world, "collector failing").await;
    let detail = collector["detail"].as_str().unwrap();
    assert!(detail.contains("Connection refused"), "{detail}");
    let clock = line(&world, "clock of koodrive failing").await;
    let detail = clock["detail"].as_str().unwrap();
    assert!(detail.contains(" s behind ours"), "{detail}");
    let store = line(&world, "limit store failing").await;
    let detail = store["detail"].as_str().unwrap();
    assert!(detail.contains("Connection refused"), "{detail}");
    let (_, page) = status(&world).await;
    for kind in ["collector ", "clock of koodrive ", "limit store "] {
        part(&page, &format!("  FAILING  {kind}"));
    }
    world.collector.server.up().await;
    assert_eq!(world.caller("alice").get(WHO_AM_I).await.status, 200);
    line(&world, "collector back").await;
}
