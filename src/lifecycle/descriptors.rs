//! File descriptors: as many as the process may have, shared so that no listener runs dry.

use std::io;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Raises the soft limit to the hard one. Returns how many descriptors the process may have.
pub fn raise_limit() -> io::Result<usize> {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    if current != maximum {
        setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum })?;
    }
    Ok(limit())
}

/// How many descriptors the process may have.
pub fn limit() -> usize {
    let soft = getrlimit(Resource::Nofile).current;
    soft.map_or(usize::MAX, |soft| usize::try_from(soft).unwrap_or(usize::MAX))
}

/// How many connections there are descriptors for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DescriptorShares {
    pub callers: usize,
    pub upstream: usize,
}

impl DescriptorShares {
    /// Shares `limit` descriptors out. What is not for connections stays free for the admin
    /// listener, files, keys, tokens and spans; of few descriptors that is half.
    pub fn of(limit: usize, callers: usize, upstream: usize) -> Self {
        let wanted = callers.saturating_add(upstream);
        let granted = wanted.min(limit - RESERVED.min(limit / 2));
        let share = |part: usize| {
            let share = part as u128 * granted as u128 / wanted.max(1) as u128;
            usize::try_from(share).unwrap_or(usize::MAX).max(1)
        };
        Self { callers: share(callers), upstream: share(upstream) }
    }

    /// How many descriptors it takes to grant all.
    pub fn needed(callers: usize, upstream: usize) -> usize {
        callers.saturating_add(upstream).saturating_add(RESERVED)
    }
}

/// 64 visitors of the admin listener, as many connections to SSO and token endpoint each, and
/// what the process itself has open.
const RESERVED: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_fits_is_granted_and_less_is_shared_in_proportion() {
        let shares = |limit| {
            let shares = DescriptorShares::of(limit, 10_000, 512);
            (shares.callers, shares.upstream)
        };
        assert_eq!(shares(usize::MAX), (10_000, 512));
        assert_eq!(shares(DescriptorShares::needed(10_000, 512)), (10_000, 512));
        assert_eq!(shares(1024), (730, 37));
        assert_eq!(shares(128), (60, 3));
        assert_eq!(shares(4), (1, 1));
        assert_eq!(
            DescriptorShares::of(40, 20, 20),
            DescriptorShares { callers: 10, upstream: 10 }
        );
    }
}
