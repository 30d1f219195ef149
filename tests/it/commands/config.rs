//! `check-config` and `config-schema`.

use super::{config_of, koodrive_gateway, with_environment};
use crate::support::faults::Behaviour;
use crate::support::world::World;

#[tokio::test]
async fn a_good_configuration_is_printed_without_its_secrets() {
    let world = World::start().await;
    let said = koodrive_gateway(&["check-config", "--config", config_of(&world)]).await;
    let upstream = format!("upstream = \"{}\"", world.koodrive.url());
    let said = said.expect(0, &["[accept]", &upstream, "calls_per_minute = 60"]);
    said.keeps_quiet_about(&world, "");

    let path = config_of(&world);
    let named = [("KOODRIVE_GATEWAY_CONFIG", path), ("KOODRIVE_GATEWAY__LIMIT__CONCURRENT", "7")];
    let said = with_environment(&["check-config"], &named, "").await;
    said.expect(0, &["concurrent = 7", "KOODRIVE_GATEWAY__LIMIT__CONCURRENT"]);
}

#[tokio::test]
async fn a_bad_configuration_is_told_with_file_line_key_and_cure() {
    let world = World::start().await;
    let wrong = "[limit]\ncalls_per_minut = 5\n[forward]\nupstream = 'http://example.com'\n";
    let wrong = world.scratch.write("wrong.toml", wrong).unwrap();
    let wrong = wrong.to_str().unwrap();
    for command in ["check-config", "run"] {
        let said = koodrive_gateway(&[command, "--config", wrong]).await.expect(2, &[]);
        said.complains(&format!(
            "{wrong}:2:1: key `limit.calls_per_minut`: unknown key; did you mean `calls_per_minute`?"
        ));
        said.complains(&format!("{wrong}:4:12: key `forward.upstream`: http:// is accepted"));
        assert_eq!(said.stdout, "");
    }
    let variable = [("KOODRIVE_GATEWAY__LIMIT__CONCURENT", "7")];
    let arguments = ["check-config", "--config", config_of(&world)];
    let said = with_environment(&arguments, &variable, "").await.expect(2, &[]);
    said.complains("KOODRIVE_GATEWAY__LIMIT__CONCURENT");
    let said = koodrive_gateway(&["check-config", "--config", "/nowhere.toml"]).await;
    said.expect(2, &[]).complains("/nowhere.toml");
}

#[tokio::test]
async fn online_asks_the_sso_the_token_endpoint_and_koodrive() {
    let world = World::start().await;
    let arguments = ["check-config", "--online", "--config", config_of(&world)];
    let (granted, verified) = (world.sso.granted(), world.koodrive.verified());
    let said = koodrive_gateway(&arguments).await;
    let keys = format!("# ok     keys of {}: fetched, 3 usable", world.sso.issuer());
    let said = said.expect(0, &[&keys, "# ok     token endpoint", "# ok     KooDrive"]);
    said.keeps_quiet_about(&world, "");
    // It asked for nothing that changes anything.
    assert_eq!((world.sso.granted(), world.koodrive.verified()), (granted, verified));

    // Each fault is told for itself.
    world.sso.jwks.set(Behaviour::status(500));
    let said = koodrive_gateway(&arguments).await;
    let keys = format!("# FAILED keys of {}: status", world.sso.issuer());
    said.expect(1, &[&keys, "# ok     token endpoint", "# ok     KooDrive"]);
    world.sso.jwks.clear();

    drop(world.koodrive);
    let path = world.scratch.path().join("gateway.toml");
    let path = path.to_str().unwrap();
    let arguments = ["check-config", "--online", "--config", path];
    let said = koodrive_gateway(&arguments).await;
    said.expect(1, &["# ok     keys", "# ok     token endpoint", "# FAILED KooDrive"]);
    drop(world.sso);
    let said = koodrive_gateway(&arguments).await;
    let said = said.expect(1, &["# FAILED keys", "unreachable", "# FAILED token endpoint"]);
    // The configuration itself is good, and printed.
    assert!(said.stdout.contains("[forward]"), "{said:?}");
}

#[tokio::test]
async fn the_schema_is_the_shipped_one() {
    let said = koodrive_gateway(&["config-schema"]).await.expect(0, &[]);
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/config/gateway.schema.json");
    assert_eq!(said.stdout.trim_end(), std::fs::read_to_string(path).unwrap().trim_end());
}
