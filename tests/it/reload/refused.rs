//! What a bad change leaves alone, and how it is told.

use std::time::Duration;

use super::{TLS, notes, policy, shown_certificate};
use crate::gateway::SOON;
use crate::support::world::{Reread, World};

const REFUSED: &str = "configuration refused, keeping the old one";

#[tokio::test]
async fn a_bad_file_keeps_the_old_one_and_is_told_on_readyz_in_the_log_and_by_a_metric() {
    let mut world = World::plan().child().config("[limit]\ncalls_burst = 61").start().await;
    assert!(notes(&world).await.is_empty());
    assert!(!world.reconfigure("[limit]\ncalls_per_minute = 0").await);

    assert!(policy(&world, "alice").await.contains("\"calls\";q=61"));
    let metric = "koodrive_gateway_config_reloads_total{outcome=\"refused\"}";
    assert_eq!(world.metric(metric).await, Some(1.0));
    let line = world.gateway.logs.wait_for(SOON, |line| line["msg"] == REFUSED).await.unwrap();
    assert_eq!(line["level"], "warn");
    assert!(line["error"].as_str().unwrap().contains("limit.calls_per_minute"), "{line}");
    let told = notes(&world).await;
    assert!(told.len() == 1 && told[0].contains("limit.calls_per_minute"), "{told:?}");
    // Asked again, nothing has changed, and the note stays.
    assert_eq!(world.reread().await, Reread::Unchanged);
    assert_eq!(notes(&world).await, told);

    assert!(world.reconfigure("[limit]\ncalls_per_minute = 60\ncalls_burst = 62").await);
    assert!(notes(&world).await.is_empty());
    assert!(policy(&world, "alice").await.contains("\"calls\";q=62"));
}

/// As while a certificate and its key are being renewed one after the other: the rest of that
/// configuration must wait, too.
#[tokio::test]
async fn a_bad_certificate_keeps_the_limits_and_issuers_of_the_old_configuration_too() {
    let mut world = World::plan().child().config(TLS).start().await;
    let before = shown_certificate(&world).await;
    let other = world.authority.server_pem().unwrap();
    world.scratch.write("server-key.pem", other.key).unwrap();
    let another = "[limit]\ncalls_burst = 7\n\
                   [[accept.issuers]]\nissuer = 'http://127.0.0.1:9/nobody'";
    assert!(!world.reconfigure(another).await);

    assert_eq!(shown_certificate(&world).await, before);
    assert!(policy(&world, "alice").await.contains("\"calls\";q=10;"));
    let told = notes(&world).await;
    assert!(told[0].contains("is not the private key of the first certificate"), "{told:?}");
}

/// The renewals ahead of need belong to the configuration in force; a refused one must not take
/// them over, nor the connections to KooDrive.
#[tokio::test]
async fn roots_that_are_none_are_refused_and_calls_go_on() {
    let mut world = World::plan().child().start().await;
    let alice = world.caller("alice");
    assert_eq!(alice.get(crate::gateway::WHO_AM_I).await.status, 200);
    let broken = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    world.scratch.write("broken.pem", broken).unwrap();
    assert!(!world.reconfigure("[forward]\nca_file = 'broken.pem'").await);
    assert_eq!(alice.get(crate::gateway::WHO_AM_I).await.status, 200);
    assert_eq!((world.sso.granted(), notes(&world).await.len()), (1, 1));
}

#[tokio::test]
async fn keys_that_need_a_restart_are_named_and_the_rest_takes_effect() {
    let mut world = World::plan().child().start().await;
    let (address, alice) = (world.gateway.address, world.caller("alice"));
    let changes = "[listen]\naddress = '127.0.0.1:1'\nmax_in_flight = 1\n\
                   [telemetry]\naccess_log = false\n[limit]\ncalls_burst = 63";
    assert!(world.reconfigure(changes).await);

    assert!(policy(&world, "alice").await.contains("\"calls\";q=63"));
    let expected = "changed, but need a restart: \
                    listen.address, listen.max_in_flight, telemetry.access_log";
    assert_eq!(notes(&world).await, [expected]);
    // What needs a restart is as before: the address, and the access log.
    assert_eq!(world.gateway.address, address);
    let reply = alice.get(crate::gateway::WHO_AM_I).await;
    assert!(world.gateway.logs.of_call(&reply.trace_id(), SOON).await.is_some());
    let shown = world.admin().get("/config").await.text();
    assert!(shown.contains("max_in_flight = 4096"), "{shown}");
    // Still so after the next change.
    assert!(world.reconfigure("[limit]\ncalls_burst = 64").await);
    assert_eq!(notes(&world).await, [expected]);
    let back = "[listen]\naddress = '127.0.0.1:0'\nmax_in_flight = 4096\n\
                [telemetry]\naccess_log = true";
    assert!(world.reconfigure(back).await);
    assert!(notes(&world).await.is_empty());
}

#[tokio::test]
async fn sighup_is_answered_at_once_and_the_timer_finds_changes_by_itself() {
    let mut world = World::plan().child().start().await; // the timer: once an hour
    assert_eq!(world.reread().await, Reread::Unchanged);
    assert!(world.reconfigure("[lifecycle]\nreload_every = '50ms'").await);
    let text = std::fs::read_to_string(world.config_file()).unwrap();
    world.scratch.write("gateway.toml", text + "\n[limit]\ncalls_burst = 65\n").unwrap();
    let applied = "koodrive_gateway_config_reloads_total{outcome=\"applied\"}";
    crate::gateway::metric_becomes(&world, applied, 2.0).await;
    assert!(policy(&world, "alice").await.contains("\"calls\";q=65"));
    // A timer that finds nothing is not worth counting.
    let unchanged = "koodrive_gateway_config_reloads_total{outcome=\"unchanged\"}";
    tokio::time::timeout(Duration::from_secs(5), world.reread()).await.unwrap();
    assert_eq!(world.metric(unchanged).await, Some(2.0));
}

#[tokio::test]
async fn no_sighup_is_lost_while_the_timer_reads() {
    let world = World::plan().child().config("[lifecycle]\nreload_every = '1ms'").start().await;
    for _ in 0..50 {
        assert_eq!(world.reread().await, Reread::Unchanged);
    }
}
