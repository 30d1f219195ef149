//! What is legal in a configuration and still deserves a second look.

use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::FileTypeExt as _;

use koodrive_gateway::authorize::review;
use koodrive_gateway::config::{Config, File, HttpUrl, ListenAddress, Password, RedisAddress};
use secrecy::ExposeSecret;

/// One sentence each: the key, what it means, what to do.
pub(super) fn of(config: &Config) -> Vec<String> {
    let mut warnings = Vec::new();
    listeners(config, &mut warnings);
    plain_http(config, &mut warnings);
    blanks(config, &mut warnings);
    telemetry(config, &mut warnings);
    let base_path = config.forward.upstream.base_path();
    warnings.extend(review(&config.authorize, base_path, &config.forward.prefix));
    warnings
}

fn listeners(config: &Config, warnings: &mut Vec<String>) {
    let (listen, admin) = (&config.listen.address, &config.admin.address);
    if let Some(address) = open(admin) {
        warnings.push(format!(
            "admin.address {address} is open to the network: whoever reaches it reads settings and \
             refusals; keep it on loopback, or others out by a network policy"
        ));
    }
    if let Some(address) = open(listen)
        && !config.listen.tls_certificate_file.is_set()
    {
        warnings.push(format!(
            "listen.address {address} is open to the network without TLS: SSO tokens travel in the \
             clear; set listen.tls_certificate_file, or listen on loopback"
        ));
    }
    for (key, address) in [("listen.address", listen), ("admin.address", admin)] {
        let ListenAddress::Unix(socket) = address else { continue };
        if let Some(folder) = socket.parent().filter(|folder| !folder.is_dir()) {
            let folder = folder.display();
            warnings.push(format!(
                "{key}: there is no folder {folder}, so the socket cannot be made; create it first"
            ));
        }
        if fs::symlink_metadata(socket).is_ok_and(|there| !there.file_type().is_socket()) {
            let socket = socket.display();
            warnings.push(format!(
                "{key}: {socket} is there and is no socket, so none can be made; name another path"
            ));
        }
    }
}

/// The address, if others than this machine can reach it.
fn open(address: &ListenAddress) -> Option<SocketAddr> {
    match address {
        ListenAddress::Tcp(address) => Some(*address).filter(|address| !address.ip().is_loopback()),
        ListenAddress::Unix(_) => None,
    }
}

fn plain_http(config: &Config, warnings: &mut Vec<String>) {
    let mut warn = |key: &str, url: &HttpUrl, what: &str| {
        if !url.is_https() && !url.is_loopback() {
            warnings.push(format!("{key} {url} has no TLS: {what} in the clear; use https://"));
        }
    };
    for issuer in &config.accept.issuers {
        if let Some(url) = issuer.key_source().url() {
            warn("accept.issuers", url, "whoever is on the way can replace its keys, which come");
        }
    }
    if let Some(endpoint) = &config.token.endpoint {
        warn("token.endpoint", endpoint, "the client's secret and all tokens travel");
    }
    warn("forward.upstream", &config.forward.upstream, "KooDrive tokens and all data travel");
    if config.limit.store.address().is_some_and(RedisAddress::has_password) {
        warnings.push(
            "limit.store has a password in its address, which whoever reads the file or the environment \
             sees"
                .to_owned(),
        );
    }
}

/// A blank in front or behind is a slip of the editor far more often than a part of the secret.
fn blanks(config: &Config, warnings: &mut Vec<String>) {
    let token = &config.token;
    let secrets: [(&str, &File<Password>); 4] = [
        ("token.client_secret_file", &token.client_secret_file),
        ("token.carrier.password_file", &token.carrier.password_file),
        ("token.app.app_secret_file", &token.app.app_secret_file),
        ("egress.password_file", &config.egress.password_file),
    ];
    for (key, file) in secrets {
        let Some(secret) = file.password().map(ExposeSecret::expose_secret) else { continue };
        let place = match (secret.starts_with([' ', '\t']), secret.ends_with([' ', '\t'])) {
            (true, _) => "begins",
            (false, true) => "ends",
            (false, false) => continue,
        };
        let path = file.path().display();
        warnings.push(format!(
            "{key}: the secret in {path} {place} with a blank, which counts; remove it unless it \
             is meant"
        ));
    }
}

fn telemetry(config: &Config, warnings: &mut Vec<String>) {
    let telemetry = &config.telemetry;
    if let Some(url) = &telemetry.otlp_endpoint
        && url.uri().port_u16() == Some(OTLP_GRPC)
    {
        warnings.push(format!(
            "telemetry.otlp_endpoint {url}: port 4317 is OTLP over gRPC by custom, and the gateway \
             speaks OTLP over HTTP; its port is 4318"
        ));
    }
    if telemetry.jaeger_ui.is_some() && telemetry.sample_ratio == 0.0 {
        warnings.push(
            "telemetry.jaeger_ui is set but telemetry.sample_ratio is 0: links lead to traces that \
             were not kept"
                .to_owned(),
        );
    }
}

const OTLP_GRPC: u16 = 4317;
