//! Where the commands that ask a running gateway find it.

use std::path::Path;

use koodrive_gateway::config::{AdminConfig, ListenAddress};

use crate::cli::AdminAddress;

/// As the command line or the environment says, else as the configuration in
/// `KOODRIVE_GATEWAY_CONFIG` does, else the default.
pub(super) fn address(admin: AdminAddress) -> ListenAddress {
    let configured = || configured(Path::new(&std::env::var_os("KOODRIVE_GATEWAY_CONFIG")?));
    admin.given.or_else(configured).unwrap_or_else(|| AdminConfig::default().address)
}

/// Only this key: a running gateway keeps its configuration when the file goes bad, and probes
/// must still find it.
fn configured(path: &Path) -> Option<ListenAddress> {
    let document: toml::Table = std::fs::read_to_string(path).ok()?.parse().ok()?;
    document.get("admin")?.get("address")?.as_str()?.parse().ok()
}
