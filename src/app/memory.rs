//! What all bounds on memory add up to, and what the machine allows.

use std::fs;
use std::path::{Path, PathBuf};

use crate::accept::VerifiedTokens;
use crate::config::{Config, LimitStore};
use crate::telemetry::{LogWriter, Telemetry};
use crate::token::TokenStore;

/// What one part may take at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MemoryBound {
    /// The part, and the key that bounds it.
    pub part: &'static str,
    pub bytes: usize,
}

/// Every part that callers or peers can fill, the largest first, and the program itself. Parts
/// bounded by number are counted with what one of them takes at its worst, as `tests/tools/memory`
/// measures it.
pub fn memory_bounds(config: &Config) -> Vec<MemoryBound> {
    let bound = |part, count: usize, each| MemoryBound { part, bytes: count.saturating_mul(each) };
    let Config { listen, forward, token, limit, .. } = config;
    let mut bounds = vec![
        bound("the program itself", 1, PROGRAM),
        bound("callers' connections (listen.max_connections)", listen.max_connections, CONNECTION),
        bound("calls (listen.max_in_flight)", listen.max_in_flight, CALL),
        bound("bodies (listen.max_buffered)", listen.max_buffered, 1),
        bound(
            "connections to KooDrive (forward.max_connections)",
            forward.max_connections,
            UPSTREAM_CONNECTION,
        ),
        bound("verified SSO tokens", VerifiedTokens::BYTES_MAX, 1),
        bound("KooDrive tokens (token.max_entries)", token.max_entries, TokenStore::ENTRY_BYTES),
        bound("log lines", LogWriter::BYTES_MAX, 1),
        bound("spans", Telemetry::SPAN_BYTES_MAX, 1),
    ];
    if limit.store == LimitStore::Local {
        let callers = limit.max_tracked_callers;
        bounds.push(bound("callers' limits (limit.max_tracked_callers)", callers, TRACKED_CALLER));
    }
    bounds.sort_by_key(|bound| std::cmp::Reverse(bound.bytes));
    bounds
}

/// The memory limit of the cgroup this process is in, if it has one.
pub fn memory_limit() -> Option<usize> {
    let membership = fs::read_to_string("/proc/self/cgroup").ok()?;
    limit_in(Path::new("/sys/fs/cgroup"), &membership)
}

/// The smallest limit from a process's own cgroup up to the root. `membership` is what
/// `/proc/self/cgroup` says: `0::/path` (version 2), or `7:memory:/path` (version 1).
fn limit_in(root: &Path, membership: &str) -> Option<usize> {
    let mut limits = Vec::new();
    for line in membership.lines() {
        let mut fields = line.splitn(3, ':').skip(1);
        let (Some(controllers), Some(path)) = (fields.next(), fields.next()) else { continue };
        let (top, file) = match controllers {
            "" => (root.to_owned(), "memory.max"),
            _ if controllers.split(',').any(|name| name == "memory") => {
                (root.join("memory"), "memory.limit_in_bytes")
            }
            _ => continue,
        };
        let own: PathBuf = top.join(path.trim_start_matches('/'));
        let upwards = own.ancestors().take_while(|folder| folder.starts_with(&top));
        limits.extend(upwards.filter_map(|folder| {
            let text = fs::read_to_string(folder.join(file)).ok()?;
            text.trim().parse::<usize>().ok()
        }));
    }
    // Version 1 writes "none" as the largest multiple of a page.
    limits.into_iter().min().filter(|limit| *limit < usize::MAX / 4)
}

/// At rest.
const PROGRAM: usize = 14 * 1024 * 1024;
/// With a head of which a little is missing, or over HTTP/2 with refusals that nobody reads.
const CONNECTION: usize = 80 * 1024;
/// Its head, its answer that nobody reads, and what its caller sent behind it; or what HTTP/2 keeps for
/// a hundred streams of its connection.
const CALL: usize = 160 * 1024;
/// With what the reader of its answer has not taken yet.
const UPSTREAM_CONNECTION: usize = 160 * 1024;
/// Two buckets, at the worst moment of the growth of their tables.
const TRACKED_CALLER: usize = 192;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limit_is_the_smallest_on_the_way_up() {
        let root = std::env::temp_dir().join(format!("koodrive-cgroup-{}", std::process::id()));
        let write = |path: &str, text: &str| {
            let file = root.join(path);
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(file, text).unwrap();
        };
        write("pod/memory.max", "201326592\n");
        write("pod/gateway/memory.max", "max\n");
        write("memory/docker/memory.limit_in_bytes", "67108864\n");
        write("memory/memory.limit_in_bytes", "9223372036854771712\n");
        let cases = [
            ("0::/pod/gateway\n", Some(201_326_592)),
            ("0::/pod\n", Some(201_326_592)),
            ("0::/elsewhere\n", None),
            ("5:cpu,memory:/docker\n1:name=systemd:/\n", Some(67_108_864)),
            ("5:memory:/\n", None),
            ("4:cpu:/docker\n", None),
            ("", None),
        ];
        let found = cases.map(|(membership, _)| limit_in(&root, membership));
        fs::remove_dir_all(&root).unwrap();
        assert_eq!(found, cases.map(|(_, expected)| expected));
    }
}
