//! A hundred swaps as Kubernetes makes them, under continuous calls.

use std::os::unix::fs::symlink;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use toml::Table;

use super::{TLS, policy, shown_certificate};
use crate::gateway::WHO_AM_I;
use crate::support::caller::{Caller, Http};
use crate::support::tls::PemPair;
use crate::support::world::{GOOD_BATCH, Reread, World};

const SWAPS: u32 = 100;
const MOUNTED: [&str; 4] = ["gateway.toml", "client-secret", "server.pem", "server-key.pem"];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_swaps_of_limit_secret_and_certificate_lose_no_call_and_all_take_effect() {
    let limits = "[limit]\ncalls_per_minute = 100000\ncalls_burst = 100000\n\
                  total_calls_per_second = 100000\ntotal_burst = 100000\nusers_burst = 1000000\n\
                  [telemetry]\naccess_log = false\n";
    let world = World::plan().child().config(TLS).config(limits).start().await;
    mount(&world);
    assert_eq!(world.reread().await, Reread::Unchanged); // the same, through symlinks

    let load = Load::default();
    let calling = async {
        tokio::join!(
            load.keep(world.caller("anna"), Kind::Preverify),
            load.keep(world.caller("bert"), Kind::Passthrough),
            load.handshake(&world),
        );
    };
    let swapping = async {
        for generation in 1..=SWAPS {
            let pair = world.authority.server_pem().unwrap();
            swap(&world, generation, &pair);
            assert_eq!(world.reread().await, Reread::Applied, "generation {generation}");
            // The certificate, to whoever connects now.
            let expected = CertificateDer::from_pem_slice(pair.certificate.as_bytes()).unwrap();
            assert_eq!(shown_certificate(&world).await, expected, "generation {generation}");
            // The limit, and by a caller without a token also the secret.
            let policy = policy(&world, &format!("caller-{generation}")).await;
            let rule = format!("\"calls\";q={}", 100_000 + generation);
            assert!(policy.contains(&rule), "{policy}");
            let credentials = format!("koodrive-gateway:client-secret-of-{generation}");
            let expected = format!("Basic {}", STANDARD.encode(credentials));
            let last = world.sso.received.all();
            let last = last.iter().rev().find(|seen| seen.path().ends_with("/token"));
            assert_eq!(last.unwrap().header("authorization"), Some(&*expected));
        }
        load.done.store(true, Ordering::Relaxed);
    };
    tokio::join!(calling, swapping);

    let (calls, failed) = (load.calls(), load.failed());
    assert_eq!((failed, SWAPS < calls), (0, true), "{failed} of {calls} calls failed");
    let applied = "koodrive_gateway_config_reloads_total{outcome=\"applied\"}";
    assert_eq!(world.metric(applied).await, Some(f64::from(SWAPS)));
    // Anna and Bert kept their tokens: a changed secret costs none.
    assert_eq!(world.sso.granted(), u64::from(SWAPS) + 3);
    assert!(world.gateway.stop().await);
}

/// Replaces the files by links to `..data/<name>`, with the same content.
fn mount(world: &World) {
    let folder = world.scratch.path();
    std::fs::create_dir(folder.join("..0")).unwrap();
    symlink("..0", folder.join("..data")).unwrap();
    for name in MOUNTED {
        std::fs::copy(folder.join(name), folder.join("..0").join(name)).unwrap();
        let link = folder.join("..link");
        symlink(Path::new("..data").join(name), &link).unwrap();
        std::fs::rename(link, folder.join(name)).unwrap();
    }
}

/// A new folder with new content, a new `..data` in place of the old one, and the old folder gone.
fn swap(world: &World, generation: u32, pair: &PemPair) {
    let mut config: Table = world.config().clone();
    let limit = config["limit"].as_table_mut().unwrap();
    limit.insert("calls_burst".to_owned(), i64::from(100_000 + generation).into());
    let secret = format!("client-secret-of-{generation}");
    world.sso.also_take_secret(&secret);

    let folder = world.scratch.path();
    let data = folder.join(format!("..{generation}"));
    std::fs::create_dir(&data).unwrap();
    let contents = [config.to_string(), secret + "\n", pair.certificate.clone(), pair.key.clone()];
    for (name, content) in MOUNTED.iter().zip(contents) {
        std::fs::write(data.join(name), content).unwrap();
    }
    symlink(format!("..{generation}"), folder.join("..new")).unwrap();
    std::fs::rename(folder.join("..new"), folder.join("..data")).unwrap();
    std::fs::remove_dir_all(folder.join(format!("..{}", generation - 1))).unwrap();
}

/// Calls without end until told.
#[derive(Default)]
struct Load {
    done: Arc<AtomicBool>,
    calls: AtomicU32,
    failed: AtomicU32,
}

#[derive(Clone, Copy)]
enum Kind {
    Preverify,
    Passthrough,
}

impl Load {
    /// Over connections that stay open.
    async fn keep(&self, caller: Caller, kind: Kind) {
        while !self.done.load(Ordering::Relaxed) {
            self.call(&caller, kind).await;
        }
    }

    /// A new connection for each call.
    async fn handshake(&self, world: &World) {
        let (token, root) = (world.sso.token_for("carl"), world.authority.root_pem());
        while !self.done.load(Ordering::Relaxed) {
            let http = Http::new(&root, false);
            let caller = Caller::new(&http, &world.base(), Some(token.clone()));
            self.call(&caller, Kind::Passthrough).await;
        }
    }

    async fn call(&self, caller: &Caller, kind: Kind) {
        let call = match kind {
            Kind::Preverify => crate::gateway::preverify(caller, GOOD_BATCH),
            Kind::Passthrough => caller.call(http::Method::GET, WHO_AM_I),
        };
        let well = call.try_send().await.is_ok_and(|reply| reply.status == 200);
        self.calls.fetch_add(1, Ordering::Relaxed);
        self.failed.fetch_add(u32::from(!well), Ordering::Relaxed);
    }

    fn calls(&self) -> u32 {
        self.calls.load(Ordering::Relaxed)
    }

    fn failed(&self) -> u32 {
        self.failed.load(Ordering::Relaxed)
    }
}
