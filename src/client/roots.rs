//! The certificates by which servers are known.

use std::sync::Arc;

use rustls::RootCertStore;

use crate::config::Roots;

/// The system's root certificates, read and parsed once. Clones share them.
#[derive(Clone, Debug)]
pub struct SystemRoots(Arc<RootCertStore>);

impl SystemRoots {
    /// `SSL_CERT_FILE` and `SSL_CERT_DIR` say where they are; else it is the system's bundle, and
    /// only where there is none its directory, which says the same once more in hundreds of files.
    pub fn load() -> Self {
        let bundle = openssl_probe::probe().cert_file;
        let loaded = match bundle.filter(|_| !openssl_probe::has_ssl_cert_env_vars()) {
            Some(bundle) => rustls_native_certs::load_certs_from_paths(Some(&bundle), None),
            None => rustls_native_certs::load_native_certs(),
        };
        for error in &loaded.errors {
            tracing::warn!(%error, "system root certificates not read");
        }
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(loaded.certs);
        Self(Arc::new(roots))
    }

    /// These, and `extra` ones.
    pub(super) fn and(&self, extra: Option<&Roots>) -> Arc<RootCertStore> {
        let mut roots = Arc::clone(&self.0);
        if let Some(extra) = extra {
            Arc::make_mut(&mut roots).extend(extra.anchors().iter().cloned());
        }
        roots
    }
}
