//! Files the configuration names: keys, users, roots.

use super::{TLS, shown_certificate, shown_to};
use crate::gateway::WHO_AM_I;
use crate::support::koodrive::auth::App;
use crate::support::sso::keys::KeyKind;
use crate::support::tls::Authority;
use crate::support::world::{Reread, World};

/// A symmetric key: whoever verified with it could also sign.
pub(crate) const NO_KEY_OF_USE: &str = r#"{"keys":[{"kty":"oct","k":"AA"}]}"#;

#[tokio::test]
async fn a_changed_key_set_file_decides_from_then_on() {
    let world = World::plan()
        .child()
        .file("jwks.json", NO_KEY_OF_USE)
        .config("[[accept.issuers]]\njwks_file = 'jwks.json'")
        .unready()
        .start()
        .await;
    let alice = world.caller("alice");
    let refused = alice.get(WHO_AM_I).await;
    assert_eq!(refused.reason().as_deref(), Some("keys_unavailable"));
    assert_eq!(world.admin().get("/readyz").await.status, 503);

    publish(&world).await;
    assert_eq!(world.reread().await, Reread::Applied);
    world.gateway.wait_ready().await;
    assert_eq!(alice.get(WHO_AM_I).await.status, 200);

    // A key that is gone is believed no more, though its token was verified before.
    world.sso.rotate(KeyKind::P256);
    publish(&world).await;
    assert_eq!(world.reread().await, Reread::Applied);
    assert_eq!(alice.get(WHO_AM_I).await.status, 401);
    assert_eq!(world.caller("alice").get(WHO_AM_I).await.status, 200);

    // What is no key set changes nothing.
    world.scratch.write("jwks.json", "[]").unwrap();
    assert_eq!(world.reread().await, Reread::Refused);
    assert_eq!(world.caller("bob").get(WHO_AM_I).await.status, 200);
}

/// The SSO's own key set, into the file.
async fn publish(world: &World) {
    let sso = crate::support::caller::Caller::new(&world.http, &world.sso.issuer(), None);
    let keys = sso.get("/jwks").await;
    assert_eq!(keys.status, 200);
    world.scratch.write("jwks.json", &keys.body).unwrap();
}

#[tokio::test]
async fn a_changed_user_map_decides_in_whose_name_is_signed() {
    let world = World::plan()
        .child()
        .file("app-secret", "a secret of an app\n")
        .file("users.toml", "alice = \"100\"\n")
        .config(
            "[token]\nmethod = 'app_signature'\n[token.app]\napp_id = 'app-1'\n\
             app_secret_file = 'app-secret'\n\
             [[accept.issuers]]\nkoodrive_users_file = 'users.toml'",
        )
        .start()
        .await;
    world.koodrive.set_app(App { id: "app-1".to_owned(), secret: "a secret of an app".to_owned() });
    let (alice, bob) = (world.caller("alice"), world.caller("bob"));
    assert_eq!(alice.get(WHO_AM_I).await.status, 200);
    assert_eq!(bob.get(WHO_AM_I).await.reason().as_deref(), Some("caller_denied"));

    world.scratch.write("users.toml", "alice = \"101\"\nbob = \"200\"\n").unwrap();
    assert_eq!(world.reread().await, Reread::Applied);
    for (caller, user) in [(&alice, "101"), (&bob, "200")] {
        world.koodrive.received.clear();
        assert_eq!(caller.get(WHO_AM_I).await.status, 200);
        assert_eq!(world.koodrive.received.all()[0].header("x-user-id"), Some(user));
    }
}

#[tokio::test]
async fn changed_roots_decide_which_callers_are_let_in() {
    let world = World::plan()
        .child()
        .config(TLS)
        .config("[listen]\nclient_ca_file = 'ca.pem'")
        .start()
        .await;
    let known = world.authority.client_pem("tool").unwrap();
    let other = Authority::new().unwrap();
    let stranger = other.client_pem("tool").unwrap();
    let certificate = shown_to(&world, Some(&known)).await.unwrap();
    assert!(shown_to(&world, None).await.is_err());
    assert!(shown_to(&world, Some(&stranger)).await.is_err());

    world.scratch.write("ca.pem", other.root_pem()).unwrap();
    // KooDrive's roots are in the same file; without TLS there it does not matter.
    assert_eq!(world.reread().await, Reread::Applied);
    assert_eq!(shown_to(&world, Some(&stranger)).await.unwrap(), certificate);
    assert!(shown_to(&world, Some(&known)).await.is_err());
}

#[tokio::test]
async fn a_renewed_certificate_is_shown_to_new_connections_only() {
    let world = World::plan().child().config(TLS).start().await;
    let alice = world.caller("alice");
    assert_eq!(alice.get(WHO_AM_I).await.status, 200);
    let before = shown_certificate(&world).await;
    let fresh = world.authority.server_pem().unwrap();
    world.scratch.write("server.pem", fresh.certificate).unwrap();
    world.scratch.write("server-key.pem", fresh.key).unwrap();
    assert_eq!(world.reread().await, Reread::Applied);
    assert_ne!(shown_certificate(&world).await, before);
    assert_eq!(alice.get(WHO_AM_I).await.status, 200);
}
