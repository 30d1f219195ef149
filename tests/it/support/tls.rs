//! A certificate authority for tests: server certificates for loopback, client certificates.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair, KeyUsagePurpose, SanType,
};
use rustls::pki_types::PrivatePkcs8KeyDer;
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};

/// A certificate authority with its own root.
pub struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
}

/// A certificate chain and its key, as PEM.
#[derive(Clone)]
pub struct PemPair {
    pub certificate: String,
    pub key: String,
}

/// What a TLS server does besides encrypting.
#[derive(Clone, Copy, Debug, Default)]
pub struct TlsServer {
    /// Offers `h2` by ALPN before `http/1.1`.
    pub http2: bool,
    /// Wants a client certificate of the same authority.
    pub client_certificates: bool,
}

impl Authority {
    pub fn new() -> Result<Self, rcgen::Error> {
        let mut params = CertificateParams::new(Vec::new())?;
        params.distinguished_name.push(DnType::CommonName, "koodrive test authority");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        Ok(Self { issuer: CertifiedIssuer::self_signed(params, KeyPair::generate()?)? })
    }

    /// The root certificate.
    pub fn root_pem(&self) -> String {
        self.issuer.pem()
    }

    /// A certificate for `localhost`, its address, and `koodrive.test`.
    pub fn server_pem(&self) -> Result<PemPair, rcgen::Error> {
        let (params, key) = server_params()?;
        let certificate = params.signed_by(&key, &self.issuer)?;
        Ok(PemPair { certificate: certificate.pem(), key: key.serialize_pem() })
    }

    /// A certificate by which a client is known.
    pub fn client_pem(&self, name: &str) -> Result<PemPair, rcgen::Error> {
        let mut params = CertificateParams::new(Vec::new())?;
        params.distinguished_name.push(DnType::CommonName, name);
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        let key = KeyPair::generate()?;
        let certificate = params.signed_by(&key, &self.issuer)?;
        Ok(PemPair { certificate: certificate.pem(), key: key.serialize_pem() })
    }

    pub fn server_config(&self, options: TlsServer) -> Result<Arc<ServerConfig>, rcgen::Error> {
        let (params, key) = server_params()?;
        let certificate = params.signed_by(&key, &self.issuer)?;
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = ServerConfig::builder_with_provider(provider.clone())
            .with_safe_default_protocol_versions()
            .expect("the provider supports TLS 1.2 and 1.3");
        let builder = if options.client_certificates {
            let mut roots = RootCertStore::empty();
            roots.add(self.issuer.der().clone()).expect("our own root is well formed");
            let verifier =
                WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build();
            builder.with_client_cert_verifier(verifier.expect("there is one root"))
        } else {
            builder.with_no_client_auth()
        };
        let key = PrivatePkcs8KeyDer::from(key.serialize_der()).into();
        let mut config = builder
            .with_single_cert(vec![certificate.der().clone()], key)
            .expect("certificate and key belong together");
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        if options.http2 {
            config.alpn_protocols.insert(0, b"h2".to_vec());
        }
        Ok(Arc::new(config))
    }
}

fn server_params() -> Result<(CertificateParams, KeyPair), rcgen::Error> {
    let mut params = CertificateParams::new(["localhost", "koodrive.test"].map(str::to_owned))?;
    params.subject_alt_names.push(SanType::IpAddress(IpAddr::V4(Ipv4Addr::LOCALHOST)));
    params.distinguished_name.push(DnType::CommonName, "localhost");
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    Ok((params, KeyPair::generate()?))
}
