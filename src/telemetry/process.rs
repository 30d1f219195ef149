//! What the process takes of its machine, under the names that Prometheus's own clients use.

use std::fs;
use std::sync::atomic::AtomicU64;
use std::time::{SystemTime, UNIX_EPOCH};

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::{Registry, Unit};

use crate::lifecycle::ProcessUsage;

/// The name of this machine; of the pod, in Kubernetes.
pub fn host_name() -> Option<String> {
    let name = fs::read_to_string("/proc/sys/kernel/hostname").ok()?;
    Some(name.trim().to_owned()).filter(|name| !name.is_empty())
}

/// `process_*`; read when somebody looks.
#[derive(Debug)]
pub(super) struct ProcessMetrics {
    registry: Registry,
    resident: Gauge,
    open_descriptors: Gauge,
    max_descriptors: Gauge,
    cpu: Counter<f64, AtomicU64>,
}

impl ProcessMetrics {
    pub(super) fn new(started: SystemTime) -> Self {
        let mut registry = Registry::with_prefix("process");
        let new = Self {
            resident: Gauge::default(),
            open_descriptors: Gauge::default(),
            max_descriptors: Gauge::default(),
            cpu: Counter::default(),
            registry: Registry::default(),
        };
        let since = started.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64();
        let start = Gauge::<f64, AtomicU64>::default();
        start.set(since);
        let to = &mut registry;
        to.register_with_unit(
            "resident_memory",
            "Memory that is not swapped out",
            Unit::Bytes,
            new.resident.clone(),
        );
        to.register("open_fds", "Open file descriptors", new.open_descriptors.clone());
        to.register("max_fds", "As many as there may be", new.max_descriptors.clone());
        to.register_with_unit("cpu", "User and system time", Unit::Seconds, new.cpu.clone());
        to.register_with_unit("start_time", "When it was started", Unit::Seconds, start);
        Self { registry, ..new }
    }

    pub(super) fn set(&self, usage: &ProcessUsage) {
        let number = |value: u64| i64::try_from(value).unwrap_or(i64::MAX);
        self.resident.set(number(usage.resident_bytes.unwrap_or_default()));
        self.open_descriptors.set(number(usage.open_descriptors.unwrap_or_default()));
        self.max_descriptors.set(number(usage.max_descriptors));
        let spent = usage.cpu_seconds.unwrap_or_default() - self.cpu.get();
        if 0.0 < spent {
            self.cpu.inc_by(spent);
        }
    }

    pub(super) fn registry(&self) -> &Registry {
        &self.registry
    }
}
