//! What the process takes of its machine, as Linux tells it.

use std::fs;

use super::descriptors;

/// What the process takes now; nothing where the system does not tell.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct ProcessUsage {
    pub resident_bytes: Option<u64>,
    pub open_descriptors: Option<u64>,
    /// As many as it may have.
    pub max_descriptors: u64,
    /// User and system time since its start.
    pub cpu_seconds: Option<f64>,
}

impl ProcessUsage {
    pub fn now() -> Self {
        let read = |name: &str| fs::read_to_string(format!("/proc/self/{name}")).ok();
        let open = fs::read_dir("/proc/self/fd").ok().map(|open| open.count() as u64);
        Self {
            resident_bytes: read("status").and_then(|status| resident_bytes(&status)),
            // The one that lists them is none of ours.
            open_descriptors: open.map(|open| open.saturating_sub(1)),
            max_descriptors: descriptors::limit() as u64,
            cpu_seconds: read("stat").and_then(|stat| cpu_seconds(&stat)),
        }
    }
}

/// `VmRSS:     12345 kB`
fn resident_bytes(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib * 1024)
}

/// Fields 14 and 15 of `stat` (`proc_pid_stat(5)`). The second one, the program's name in brackets,
/// may hold blanks and brackets.
fn cpu_seconds(stat: &str) -> Option<f64> {
    let (_, behind_name) = stat.rsplit_once(')')?;
    let mut fields = behind_name.split_whitespace().skip(11);
    let user: u32 = fields.next()?.parse().ok()?;
    let system: u32 = fields.next()?.parse().ok()?;
    Some((f64::from(user) + f64::from(system)) / TICKS_PER_SECOND)
}

/// `USER_HZ`, which is the same on every Linux that Rust runs on.
const TICKS_PER_SECOND: f64 = 100.0;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_texts_of_the_system_are_read() {
        let status = "Name:\tgateway\nVmHWM:\t   99 kB\nVmRSS:\t   12345 kB\nThreads:\t1\n";
        assert_eq!(resident_bytes(status), Some(12_345 * 1024));
        assert_eq!(resident_bytes("Name:\tgateway\n"), None);
        let stat = "42 (a ) b) S 1 42 42 0 -1 4194560 1 2 3 4 150 75 7 8 20 0 3 0 123 456 789";
        assert_eq!(cpu_seconds(stat), Some(2.25));
        assert_eq!(cpu_seconds("42 (a"), None);
    }

    #[test]
    fn a_running_process_takes_something() {
        let usage = ProcessUsage::now();
        assert!(usage.resident_bytes.is_some_and(|bytes| 1 << 20 < bytes), "{usage:?}");
        let open = usage.open_descriptors.expect("there is /proc");
        assert!((3..=usage.max_descriptors).contains(&open), "{usage:?}");
        assert!(usage.cpu_seconds.is_some(), "{usage:?}");
    }
}
