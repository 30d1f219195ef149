//! What the admin pages show, gathered when somebody looks.

use std::sync::Arc;

use super::reload::Reloader;
use super::stores::Stores;
use crate::accept::CallerId;
use crate::admin::{Forget, IssuerRow, Overview, Pages};
use crate::config;
use crate::lifecycle::{DrainWatch, Readiness};
use crate::pipeline::CurrentPipeline;

pub(super) fn pages(
    stores: &Arc<Stores>,
    reloader: &Reloader,
    readiness: Readiness,
    drain: DrainWatch,
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
    Pages {
        clock: stores.clock.clone(),
        readiness,
        notes: Box::new(move || noted.notes()),
        metrics: Box::new(move || metrics(&scraped, &for_metrics, &drain)),
        config: Box::new(move || config::effective(&shown.loaded())),
        refusals: Box::new(move || refused.telemetry.refusals()),
        calls: Box::new(move || watched.watch()),
        overview: Box::new(move || overview(&seen, &for_overview, &watch)),
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
    stores.telemetry.encode_metrics()
}

fn overview(stores: &Stores, pipeline: &CurrentPipeline, drain: &DrainWatch) -> Overview {
    let missing = stores.keys.missing();
    let mut issuers: Vec<IssuerRow> = stores
        .keys
        .ages()
        .into_iter()
        .map(|(issuer, age)| IssuerRow {
            usable: !missing.contains(&issuer),
            issuer: issuer.to_string(),
            age: Some(age),
        })
        .collect();
    for issuer in &missing {
        if !issuers.iter().any(|row| *row.issuer == **issuer) {
            issuers.push(IssuerRow { issuer: issuer.to_string(), age: None, usable: false });
        }
    }
    let pipeline = pipeline.load();
    let number = |name: &str, value: String| (name.to_owned(), value);
    let tables = vec![
        (
            "Tokens".to_owned(),
            vec![
                number("access tokens cached", pipeline.tokens.entries().to_string()),
                number("exchanges under way", pipeline.tokens.flights().to_string()),
                number("SSO tokens verified before", stores.verified().entries().to_string()),
            ],
        ),
        (
            "Limits".to_owned(),
            vec![number("callers tracked", stores.limits.tracked_callers().to_string())],
        ),
        (
            "Connections".to_owned(),
            vec![
                number("open", drain.connections().to_string()),
                number("calls in flight", stores.telemetry.metrics().inflight().to_string()),
            ],
        ),
    ];
    Overview {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        uptime: stores.clock.monotonic(),
        issuers,
        neighbours: stores.telemetry.neighbours(),
        tables,
    }
}
