//! Carries what background work reports to telemetry, in telemetry's words.

use std::sync::Arc;

use crate::accept::KeyFetch;
use crate::accept::KeyFetchOutcome;
use crate::telemetry;
use crate::telemetry::SkewedPeer;
use crate::telemetry::Telemetry;
use crate::token::ExchangeOutcome;
use crate::token::ExchangeReport;

pub(super) fn of_key_fetches(telemetry: Telemetry) -> Arc<dyn Fn(KeyFetch) + Send + Sync> {
    Arc::new(move |fetch| {
        if let Some(seconds) = fetch.skew_seconds {
            telemetry.clock_skew(SkewedPeer::Sso, seconds);
        }
        telemetry.key_fetch(&telemetry::KeyFetch {
            issuer: fetch.issuer,
            parent: None,
            started: fetch.started,
            ended: fetch.ended,
            outcome: fetch.outcome.label(),
            failed: fetch.outcome != KeyFetchOutcome::Fetched,
            status: None,
            server: None,
        });
    })
}

pub(super) fn of_exchanges(telemetry: Telemetry) -> Arc<dyn Fn(ExchangeReport) + Send + Sync> {
    Arc::new(move |report| {
        telemetry.exchange(&telemetry::Exchange {
            span: report.span,
            parent: report.parent,
            started: report.started,
            ended: report.ended,
            outcome: report.outcome.as_str(),
            failed: report.outcome != ExchangeOutcome::Issued,
            status: report.status,
            background: report.background,
            server: None,
        });
    })
}
