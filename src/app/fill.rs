//! The bounds of the process, and how full each is.

use super::stores::Stores;
use crate::accept::VerifiedTokens;
use crate::admin::Bound;
use crate::config::{Config, LimitStore};
use crate::lifecycle::{DescriptorShares, DrainWatch};
use crate::pipeline::Pipeline;

/// What callers can fill, as of now or of the last housekeeping.
pub(super) fn bounds(
    stores: &Stores,
    pipeline: &Pipeline,
    drain: &DrainWatch,
    shares: DescriptorShares,
    config: &Config,
) -> Vec<Bound> {
    let count = |of, key, (taken, most)| Bound { of, key, taken, most, bytes: false };
    let bytes = |of, key, taken, most| Bound { of, key, taken, most, bytes: true };
    let buffered = config.listen.max_buffered;
    let mut bounds = vec![
        count("connections", "listen.max_connections", (drain.connections(), shares.callers)),
        count("calls in flight", "listen.max_in_flight", stores.in_flight.taken()),
        count("bodies that arrive", "listen.max_in_flight", stores.arriving.taken()),
        bytes(
            "bodies held",
            "listen.max_buffered",
            buffered.saturating_sub(stores.budget.free()),
            buffered,
        ),
        count("connections to KooDrive", "forward.max_connections", stores.network.upstream()),
        count("uploads to KooDrive", "forward.max_connections", stores.uploads.taken()),
        count("preverify calls at KooDrive", "limit.concurrent", stores.limits.concurrent()),
        count(
            "exchanges, their queue included",
            "token.max_concurrent",
            (pipeline.tokens.flights(), config.token.max_concurrent),
        ),
        count(
            "KooDrive tokens",
            "token.max_entries",
            (whole(pipeline.tokens.entries()), config.token.max_entries),
        ),
        bytes(
            "verified SSO tokens",
            "",
            whole(stores.verified().bytes()),
            VerifiedTokens::BYTES_MAX,
        ),
    ];
    if config.limit.store == LimitStore::Local {
        let most = config.limit.max_tracked_callers;
        let tracked = (stores.limits.tracked_callers(), most);
        bounds.push(count(
            "callers with limits of their own",
            "limit.max_tracked_callers",
            tracked,
        ));
    }
    bounds
}

fn whole(number: u64) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}
