//! The way out: by a proxy or not, and by whose certificates servers are known.

use http::Method;

use crate::gateway::{SOON, WHO_AM_I};
use crate::support::caller::Reply;
use crate::support::koodrive::PREVERIFY;
use crate::support::proxy::{Asked, Mood, Proxy};
use crate::support::tls::{Authority, TlsServer};
use crate::support::world::{GOOD_BATCH, Plan, Reread, World};

const PASSWORD: &str = "correct horse battery";

/// Of `gateway` with that password (RFC 7617).
const CREDENTIALS: &str = "Basic Z2F0ZXdheTpjb3JyZWN0IGhvcnNlIGJhdHRlcnk=";

/// Everybody under names that nobody but the proxy knows.
const BY_NAME: &str = "
    [accept]
    allow_plain_http = true
    [[accept.issuers]]
    jwks_url = 'http://sso.test/realms/tools/jwks'
    [token]
    endpoint = 'http://sso.test/realms/tools/token'
    allow_plain_http = true
    [forward]
    upstream = 'https://koodrive.test'
    [telemetry]
    otlp_endpoint = 'http://collector.test:4318'
";

/// KooDrive alone.
const KOODRIVE_BY_NAME: &str = "
    [forward]
    upstream = 'https://koodrive.test'
    connect_timeout = '500ms'
";

fn plan() -> Plan {
    World::plan().koodrive_tls(TlsServer::default())
}

/// Tells the proxy the names.
fn introduce(proxy: &Proxy, world: &World) {
    proxy.name("koodrive.test", world.koodrive.server.address());
    proxy.name("sso.test", world.sso.server.address());
    proxy.name("collector.test", world.collector.server.address());
}

/// Makes a preverify call, and sees everything it takes go through the proxy.
async fn everything_goes_through(proxy: &Proxy, world: &World, authorization: Option<&str>) {
    introduce(proxy, world);
    world.gateway.wait_ready().await;
    let reply = world.caller("alice").preverify(GOOD_BATCH).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    let spans = world.collector.trace_of(&reply.trace_id(), SOON).await;
    assert!(spans.is_some(), "the trace has arrived");

    let asked = proxy.asked();
    for (method, target) in [
        (Method::CONNECT, "koodrive.test:443"),
        (Method::GET, "http://sso.test/realms/tools/jwks"),
        (Method::POST, "http://sso.test/realms/tools/token"),
        (Method::POST, "http://collector.test:4318/v1/traces"),
    ] {
        let (target, authorization) = (target.to_owned(), authorization.map(str::to_owned));
        let expected = Asked { method, target, authorization };
        assert!(asked.contains(&expected), "{expected:?} is not in {asked:?}");
    }
    // What is between the gateway and the proxy reaches nobody else.
    let received = [&world.koodrive.received, &world.sso.received, &world.collector.received];
    for request in received.iter().flat_map(|recorder| recorder.all()) {
        assert_eq!(request.header("proxy-authorization"), None, "{request:?}");
    }
}

#[tokio::test]
async fn keys_exchange_preverify_and_traces_go_through_the_proxy() {
    let proxy = Proxy::start().await;
    let by_proxy = format!("[egress]\nproxy = '{}'", proxy.url());
    let world = plan().config(BY_NAME).config(&by_proxy).unready().start().await;
    everything_goes_through(&proxy, &world, None).await;
}

#[tokio::test]
async fn a_proxy_gets_its_credentials_and_nobody_else_does() {
    let proxy = Proxy::start().await;
    proxy.want(CREDENTIALS);
    let by_proxy = format!(
        "[egress]\nproxy = '{}'\nusername = 'gateway'\npassword_file = 'proxy-password'",
        proxy.url()
    );
    let plan = plan().config(BY_NAME).config(&by_proxy).file("proxy-password", PASSWORD);
    let world = plan.unready().start().await;
    everything_goes_through(&proxy, &world, Some(CREDENTIALS)).await;
    let shown = world.admin().get("/config").await.text();
    assert!(shown.contains("username = \"gateway\"") && !shown.contains(PASSWORD), "{shown}");
}

#[tokio::test]
async fn the_environment_names_proxy_and_credentials() {
    let proxy = Proxy::start().await;
    proxy.want(CREDENTIALS);
    let address = proxy.url().replace("http://", "http://gateway:correct%20horse%20battery@");
    let plan = plan().config(BY_NAME).unready();
    let plan = plan.environment("HTTPS_PROXY", &address).environment("http_proxy", &address);
    let world = plan.start().await;
    world.canaries().note("the password of a proxy", PASSWORD);
    everything_goes_through(&proxy, &world, Some(CREDENTIALS)).await;
}

#[tokio::test]
async fn a_plain_koodrive_is_asked_in_absolute_form() {
    let proxy = Proxy::start().await;
    proxy.want(CREDENTIALS);
    let config = format!(
        "[forward]\nupstream = 'http://koodrive.test:8080'\nallow_plain_http = true\n\
         [egress]\nproxy = '{}'\nusername = 'gateway'\npassword_file = 'proxy-password'",
        proxy.url()
    );
    let plan = World::plan().config(&config).file("proxy-password", PASSWORD);
    let mut world = plan.start().await;
    introduce(&proxy, &world);
    let alice = world.caller("alice");
    // The second call takes the connection of the first.
    for _ in 0..2 {
        assert_eq!(alice.get(&format!("{WHO_AM_I}?a=%2F")).await.status, 200);
    }
    assert_eq!(alice.preverify(GOOD_BATCH).await.status, 200);
    let asked = proxy.asked();
    let target = |path: &str| format!("http://koodrive.test:8080{path}");
    assert_eq!(asked[0].target, target(&format!("{WHO_AM_I}?a=%2F")));
    assert_eq!(asked.last().map(|asked| asked.target.clone()), Some(target(PREVERIFY)));
    for request in world.koodrive.received.all() {
        assert_eq!(request.header("host"), Some("koodrive.test:8080"));
        assert_eq!(request.header("proxy-authorization"), None);
    }
    // Its own answer is told from KooDrive's.
    proxy.want("Basic another");
    let told = refusal(&world, alice.get(WHO_AM_I).await).await;
    let expected =
        format!("stopped at the proxy {}: it does not take our credentials", proxy.url());
    assert!(told.contains(&expected), "{told}");
    // Without the proxy nobody knows the name; the change needs no restart.
    assert!(world.reconfigure("[egress]\nproxy = 'none'\nusername = ''\npassword_file = ''").await);
    let told = refusal(&world, alice.get(WHO_AM_I).await).await;
    assert!(!told.contains("proxy"), "{told}");
}

/// The detail of a call that did not reach KooDrive.
async fn refusal(world: &World, reply: Reply) -> String {
    assert_eq!((reply.status, reply.reason().as_deref()), (502, Some("upstream_unreachable")));
    let spans = world.collector.trace_of(&reply.trace_id(), SOON).await.expect("the trace arrives");
    let mut details = spans.iter().filter_map(|span| span.text("gateway.detail"));
    details.next().expect("a refusal has a detail").to_owned()
}

#[tokio::test]
async fn a_proxy_in_the_way_is_told_from_koodrive() {
    let proxy = Proxy::start().await;
    let by_proxy = format!("[egress]\nproxy = '{}'", proxy.url());
    let mut world = plan().config(KOODRIVE_BY_NAME).config(&by_proxy).start().await;
    introduce(&proxy, &world);
    let alice = world.caller("alice");
    let stopped = format!("stopped at the proxy {}: ", proxy.url());
    for (mood, why, failure, times) in [
        (Mood::Refusing(403), "it answered CONNECT with status 403", "refused", 1.0),
        (
            Mood::Refusing(407),
            "it wants credentials (407); set egress.username",
            "credentials",
            1.0,
        ),
        (Mood::Refusing(502), "it answered CONNECT with status 502", "refused", 2.0),
        (Mood::Hanging, "it did not answer CONNECT in time", "silent", 1.0),
        (Mood::Cutting, "the connection broke before its answer to CONNECT", "broken", 1.0),
        (Mood::Talkative, "it sent more than its answer to CONNECT", "broken", 2.0),
    ] {
        proxy.set_mood(mood);
        let told = refusal(&world, alice.get(WHO_AM_I).await).await;
        assert!(told.contains(&format!("{stopped}{why}")), "{mood:?}: {told}");
        assert_eq!(failures(&world, failure).await, Some(times), "{mood:?}");
    }
    proxy.set_mood(Mood::Willing);
    assert_eq!(alice.get(WHO_AM_I).await.status, 200);

    // A destination that cannot be trusted is not the proxy's fault.
    let stranger = Authority::new().unwrap();
    world.scratch.write("stranger.pem", stranger.root_pem()).unwrap();
    assert!(world.reconfigure("[forward]\nca_file = 'stranger.pem'").await);
    let told = refusal(&world, alice.get(WHO_AM_I).await).await;
    assert!(!told.contains("proxy"), "{told}");

    let dead = proxy.url();
    assert_eq!(failures(&world, "unreachable").await, Some(0.0));
    drop(proxy);
    let told = refusal(&world, alice.get(WHO_AM_I).await).await;
    assert!(told.contains(&format!("stopped at the proxy {dead}: it cannot be reached")), "{told}");
    assert_eq!(failures(&world, "unreachable").await, Some(1.0));
    // A reload has kept the others.
    assert_eq!(failures(&world, "refused").await, Some(2.0));
}

/// How often the proxy has stood in the way like this.
async fn failures(world: &World, failure: &str) -> Option<f64> {
    let name = format!("koodrive_gateway_proxy_failures_total{{failure=\"{failure}\"}}");
    world.metric(&name).await
}

#[tokio::test]
async fn each_neighbour_can_have_a_private_authority_that_is_read_again() {
    let stranger = Authority::new().unwrap();
    let world = World::plan()
        .child()
        .neighbours_tls(TlsServer::default())
        .koodrive_tls(TlsServer::default())
        .file("roots.pem", &stranger.root_pem())
        .config(
            "[accept]\nca_file = 'roots.pem'\n[token]\nca_file = 'roots.pem'\n\
             [forward]\nca_file = 'roots.pem'\n[telemetry]\nca_file = 'roots.pem'",
        )
        .unready()
        .start()
        .await;
    let untrusted =
        |line: &serde_json::Value| line.to_string().contains("invalid peer certificate");
    let told = world.gateway.logs.wait_for(SOON, untrusted).await;
    assert!(told.is_some(), "{:?}", world.gateway.logs.lines());
    assert_eq!(world.admin().get("/readyz").await.status, 503);

    world.scratch.write("roots.pem", world.authority.root_pem()).unwrap();
    assert_eq!(world.reread().await, Reread::Applied);
    world.gateway.wait_ready().await;
    let reply = world.caller("alice").preverify(GOOD_BATCH).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    assert!(world.collector.trace_of(&reply.trace_id(), SOON).await.is_some());
}
