//! `forget` and `caller`: what is remembered of a person, and under which digest.

use serde_json::json;

use super::{config_of, koodrive_gateway};
use crate::gateway::WHO_AM_I;
use crate::support::caller::Caller;
use crate::support::world::World;

async fn digest(world: &World, subject: &str) -> String {
    let issuer = world.config()["accept"]["issuers"][0]["issuer"].as_str().unwrap().to_owned();
    let said = koodrive_gateway(&["caller", &issuer, subject, "--config", config_of(world)]).await;
    said.expect(0, &[]).stdout.trim().to_owned()
}

#[tokio::test]
async fn caller_prints_the_digest_that_stands_in_the_log_keyed_or_not() {
    let mut seen = Vec::new();
    for config in ["", "[telemetry]\ncaller_key_file = 'key'"] {
        let world = World::plan().file("key", "k3y-of-the-digests\n").config(config).start().await;
        let digest = digest(&world, "alice").await;
        assert_eq!(digest.len(), 32, "{digest}");
        world.sso.deny("alice");
        assert_eq!(world.caller("alice").get(WHO_AM_I).await.status, 403);
        let refusals = world.admin().get("/refusals").await.json();
        assert_eq!(refusals[0]["caller"], json!(digest));
        seen.push(digest);
    }
    assert_ne!(seen[0], seen[1], "the key makes other digests");
    let world = World::start().await;
    let misspelt = format!("{}/", world.sso.issuer());
    let said =
        koodrive_gateway(&["caller", &misspelt, "alice", "--config", config_of(&world)]).await;
    said.expect(0, &[]).complains(&format!("no accept.issuers has the issuer {misspelt}"));
}

#[tokio::test]
async fn a_forgotten_caller_starts_anew_and_only_who_is_here_may_ask_for_it() {
    let world = World::start().await;
    let (alice, bob) = (world.caller("alice"), world.caller("bob"));
    for caller in [&alice, &bob] {
        assert_eq!(caller.get(WHO_AM_I).await.status, 200);
    }
    let admin = world.gateway.admin.to_string();
    let digest = digest(&world, "alice").await;
    let said = koodrive_gateway(&["forget", "--caller", &digest, "--admin", &admin]).await;
    said.expect(0, &["{\"forgotten\":2}\n"]); // the verified SSO token and the KooDrive token
    for caller in [&alice, &bob] {
        assert_eq!(caller.get(WHO_AM_I).await.status, 200);
    }
    assert_eq!(world.sso.granted(), 3, "alice's anew, bob's as it was");
    let said = koodrive_gateway(&["forget", "--all", "--admin", &admin]).await;
    said.expect(0, &["{\"forgotten\":4}\n"]);
    let said = koodrive_gateway(&["forget", "--caller", "alice", "--admin", &admin]).await;
    said.expect(1, &[]).complains("32 hex digits");
    let said = koodrive_gateway(&["forget", "--admin", &admin]).await.expect(2, &[]);
    said.complains("<--caller <CALLER>|--all>");

    let visit = |body: &'static str| world.admin().call(http::Method::POST, "/forget").body(body);
    let all = r#"{"all":true}"#;
    assert_eq!(visit(all).send().await.status, 403, "without the header a browser could send it");
    let marked = |body| visit(body).header("koodrive-gateway", "forget");
    assert_eq!(marked(all).send().await.json(), json!({ "forgotten": 0 }));
    for wrong in ["", "{}", r#"{"all":false}"#, r#"{"all":true,"caller":"x"}"#, "[]"] {
        assert_eq!(marked(wrong).send().await.status, 400, "{wrong}");
    }
}

#[tokio::test]
async fn whoever_comes_from_the_network_may_look_and_not_forget() {
    // An address of this machine that is not loopback; connecting a UDP socket sends nothing.
    let socket = std::net::UdpSocket::bind("0.0.0.0:0").unwrap();
    let routed = socket.connect("192.0.2.77:9").and_then(|()| socket.local_addr());
    let outward = routed.ok().map(|address| address.ip()).filter(|ip| !ip.is_loopback());
    let world = World::plan().config("[admin]\naddress = '0.0.0.0:0'").start().await;
    let port = world.gateway.admin.port();
    let here = std::net::IpAddr::from([127, 0, 0, 1]);
    for (host, status) in outward.map(|host| (host, 403)).into_iter().chain([(here, 200)]) {
        let admin = Caller::new(&world.http, &format!("http://{host}:{port}"), None);
        assert_eq!(admin.get("/livez").await.status, 200);
        let forgetting = admin.call(http::Method::POST, "/forget").body(r#"{"all":true}"#);
        let answer = forgetting.header("koodrive-gateway", "forget").send().await;
        assert_eq!(answer.status, status, "{host}");
    }
}
