//! What the admin pages show, gathered when somebody looks.

use std::sync::Arc;

use super::fill::bounds;
use super::reload::Reloader;
use super::stores::Stores;
use crate::accept::CallerId;
use crate::admin::{Forget, Keys, Overview, Pages};
use crate::config;
use crate::lifecycle::{DescriptorShares, DrainWatch, ProcessUsage, Readiness};
use crate::pipeline::CurrentPipeline;
use crate::telemetry::host_name;

pub(super) fn pages(
    stores: &Arc<Stores>,
    reloader: &Reloader,
    readiness: Readiness,
    drain: DrainWatch,
    shares: DescriptorShares,
) -> Pages {
    let pipeline = reloader.pipeline().clone();
    let in_force = reloader.in_force.clone();
    let (noted, shown, looked_at) = (in_force.clone(), in_force.clone(), in_force);
    let (scraped, refused, seen) = (Arc::clone(stores), Arc::clone(stores), Arc::clone(stores));
    let jaeger_ui = looked_at.loaded().config.telemetry.jaeger_ui.clone();
    let (for_metrics, for_overview) = (pipeline.clone(), pipeline.clone());
    let (remembering, for_forgetting) = (Arc::clone(stores), pipeline);
    let watch = drain.clone();
    let watched = stores.telemetry.clone();
    let host = host_name().unwrap_or_else(|| "an unnamed host".to_owned());
    Pages {
        readiness,
        notes: Box::new(move || noted.notes()),
        metrics: Box::new(move || metrics(&scraped, &for_metrics, &drain)),
        config: Box::new(move || config::effective(&shown.loaded())),
        refusals: Box::new(move || refused.telemetry.refusals()),
        calls: Box::new(move || watched.watch()),
        overview: Box::new(move || {
            let config = &looked_at.loaded().config;
            let now = seen.clock.now();
            Overview {
                now,
                uptime: seen.clock.monotonic(),
                version: VERSION.to_owned(),
                host: host.clone(),
                neighbours: seen.telemetry.neighbours(),
                keys: keys(&seen),
                traffic: seen.telemetry.traffic(now),
                refusals: seen.telemetry.refusal_groups(),
                apig: seen.telemetry.apig_limits(),
                bounds: bounds(&seen, &for_overview.load(), &watch, shares, config),
            }
        }),
        forget: Box::new(move |whom| {
            Box::pin(forget(Arc::clone(&remembering), for_forgetting.clone(), whom))
        }),
        jaeger_ui: jaeger_ui.map(|url| url.as_str().to_owned()),
    }
}

/// Verified SSO tokens, KooDrive tokens and remembered denials; a call under way keeps what it has.
async fn forget(stores: Arc<Stores>, pipeline: CurrentPipeline, whom: Forget) -> Option<usize> {
    let caller = match whom {
        Forget::All => None,
        Forget::Caller(digest) => Some(CallerId::parse(&digest)?),
    };
    let verified = stores.verified().forget(caller).await;
    let forgotten = verified + pipeline.load().tokens.forget(caller).await;
    tracing::info!(forgotten, all = caller.is_none(), "memory of callers dropped by an operator");
    Some(forgotten)
}

fn metrics(stores: &Stores, pipeline: &CurrentPipeline, drain: &DrainWatch) -> String {
    let metrics = stores.telemetry.metrics();
    metrics.set_token_entries(pipeline.load().tokens.entries());
    metrics.set_jwks_ages(stores.keys.ages());
    metrics.set_connections(drain.connections());
    metrics.set_proxy_failures(&stores.network.proxy_failures);
    metrics.set_process(&ProcessUsage::now());
    stores.telemetry.encode_metrics()
}

fn keys(stores: &Stores) -> Vec<Keys> {
    let missing = stores.keys.missing();
    let ages = stores.keys.ages();
    let never = missing.iter().filter(|issuer| !ages.iter().any(|(known, _)| known == *issuer));
    let never = never.map(|issuer| (issuer, None));
    let known = ages.iter().map(|(issuer, age)| (issuer, Some(*age)));
    let row = |(issuer, age): (&Arc<str>, _)| Keys {
        issuer: issuer.to_string(),
        age,
        usable: !missing.contains(issuer),
    };
    known.chain(never).map(row).collect()
}

const VERSION: &str =
    concat!(env!("CARGO_PKG_VERSION"), " (", env!("KOODRIVE_GATEWAY_COMMIT"), ")");
