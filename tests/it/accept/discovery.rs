//! Discovery documents in the shapes that products publish, rebuilt with own hosts and keys.

use koodrive_gateway::accept::KeyFetchOutcome;
use koodrive_gateway::config::IssuerConfig;
use serde_json::{Value, json};

use super::mint::{P256, P384, RSA, SigningKey};
use super::sso::{Answer, Gate, Sso};
use super::{header, merged, sound_claims, verdict};

/// One product.
struct Row {
    name: &'static str,
    /// The path of the issuer that is configured.
    issuer: &'static str,
    /// Where the document is, and where it says the keys are.
    document: &'static str,
    keys: &'static str,
    /// Members besides `issuer` and `jwks_uri`; `issuer` here stands above the configured one.
    members: Value,
    /// The key that signs, and its algorithm; or how the fetch ends, and what is told of it.
    expected: Result<(&'static SigningKey, &'static str), (KeyFetchOutcome, &'static str)>,
}

const WELL_KNOWN: &str = "/.well-known/openid-configuration";

/// What nearly every document has besides.
fn usual() -> Value {
    json!({
        "authorization_endpoint": "https://sso.example/authorize",
        "token_endpoint": "https://sso.example/token",
        "userinfo_endpoint": "https://sso.example/userinfo",
        "end_session_endpoint": "https://sso.example/logout",
        "response_types_supported": ["code", "id_token", "code id_token"],
        "subject_types_supported": ["public", "pairwise"],
        "id_token_signing_alg_values_supported": ["RS256"],
        "scopes_supported": ["openid", "profile", "email", "offline_access"],
        "claims_supported": ["sub", "iss", "aud", "exp", "iat", "name"],
        "token_endpoint_auth_methods_supported": ["client_secret_post", "private_key_jwt"],
    })
}

fn entra() -> Value {
    json!({
        "tenant_region_scope": "EU", "cloud_instance_name": "microsoftonline.com",
        "cloud_graph_host_name": "graph.windows.net", "msgraph_host": "graph.microsoft.com",
        "rbac_url": "https://pas.windows.net", "http_logout_supported": true,
        "frontchannel_logout_supported": true, "request_uri_parameter_supported": false,
        "kerberos_endpoint": "https://sso.example/kerberos",
        "mtls_endpoint_aliases": {"token_endpoint": "https://mtls.sso.example/token"},
    })
}

fn keycloak() -> Value {
    json!({
        "introspection_endpoint": "https://sso.example/introspect",
        "tls_client_certificate_bound_access_tokens": true,
        "acr_values_supported": ["0", "1"], "claims_parameter_supported": true,
        "mtls_endpoint_aliases": {"token_endpoint": "https://sso.example/token"},
        "authorization_response_iss_parameter_supported": true,
        "id_token_signing_alg_values_supported": ["PS384", "RS384", "EdDSA", "ES256", "RS256"],
    })
}

fn good(
    name: &'static str,
    (issuer, document): (&'static str, &'static str),
    keys: &'static str,
    members: Value,
    signed: (&'static SigningKey, &'static str),
) -> Row {
    Row { name, issuer, document, keys, members, expected: Ok(signed) }
}

/// Documents that lead to keys as they are.
fn leading() -> Vec<Row> {
    let rs: (&SigningKey, &str) = (&RSA, "RS256");
    let none = || json!({});
    let rows = [
        (
            "Entra ID, v2",
            ("/t/v2.0", "/t/v2.0/.well-known/openid-configuration"),
            "/t/discovery/v2.0/keys",
            entra(),
            rs,
        ),
        (
            "Entra ID, v1: its issuer ends in a slash",
            ("/t/", "/t/.well-known/openid-configuration"),
            "/common/discovery/keys",
            merged(entra(), &json!({"microsoft_multi_refresh_token": true})),
            rs,
        ),
        ("Okta, of the organization", ("", WELL_KNOWN), "/oauth2/v1/keys", none(), rs),
        (
            "Okta, a server of one's own",
            ("/oauth2/default", "/oauth2/default/.well-known/openid-configuration"),
            "/oauth2/default/v1/keys",
            json!({"dpop_signing_alg_values_supported": ["RS256", "ES512"]}),
            rs,
        ),
        (
            "Auth0",
            ("/", WELL_KNOWN),
            "/.well-known/jwks.json",
            json!({"mfa_challenge_endpoint": "x"}),
            rs,
        ),
        (
            "Keycloak",
            ("/realms/tools", "/realms/tools/.well-known/openid-configuration"),
            "/realms/tools/protocol/openid-connect/certs",
            keycloak(),
            rs,
        ),
        (
            "Keycloak below /auth, ES256",
            ("/auth/realms/tools", "/auth/realms/tools/.well-known/openid-configuration"),
            "/auth/realms/tools/protocol/openid-connect/certs",
            keycloak(),
            (&P256, "ES256"),
        ),
        (
            "Cognito",
            ("/eu-west-1_a", "/eu-west-1_a/.well-known/openid-configuration"),
            "/eu-west-1_a/.well-known/jwks.json",
            none(),
            rs,
        ),
        (
            "ADFS: access tokens name another issuer unless they are told not to",
            ("/adfs", "/adfs/.well-known/openid-configuration"),
            "/adfs/discovery/keys",
            json!({
                "access_token_issuer": "http://adfs.example/adfs/services/trust",
                "microsoft_multi_refresh_token": true, "as_access_token_token_binding_supported": true,
                "capabilities": ["kdf_ver2"], "rp_id_token_token_binding_supported": true,
            }),
            rs,
        ),
        (
            "PingFederate",
            ("", WELL_KNOWN),
            "/pf/JWKS",
            json!({"ping_revoked_sris_endpoint": "x", "ping_end_session_endpoint": "x"}),
            rs,
        ),
        ("PingOne", ("/e/as", "/e/as/.well-known/openid-configuration"), "/e/as/jwks", none(), rs),
        (
            "Huawei OneAccess",
            ("/api/v1/oauth2", "/api/v1/oauth2/.well-known/openid-configuration"),
            "/api/v1/oauth2/keys",
            none(),
            rs,
        ),
        (
            "AWS IAM Identity Center",
            ("/ssoins-1", "/ssoins-1/.well-known/openid-configuration"),
            "/ssoins-1/keys",
            json!({"id_token_signing_alg_values_supported": ["ES384"]}),
            (&P384, "ES384"),
        ),
        (
            "Duende IdentityServer",
            ("", WELL_KNOWN),
            "/.well-known/openid-configuration/jwks",
            json!({"device_authorization_endpoint": "x", "backchannel_logout_supported": true}),
            rs,
        ),
        ("Dex", ("/dex", "/dex/.well-known/openid-configuration"), "/dex/keys", none(), rs),
        (
            "Kubernetes: hardly anything else",
            ("", WELL_KNOWN),
            "/openid/v1/jwks",
            json!({"response_types_supported": ["id_token"], "subject_types_supported": ["public"]}),
            rs,
        ),
        (
            "nulls, numbers and objects where nobody looks",
            ("", WELL_KNOWN),
            "/keys?kind=signing",
            json!({"service_documentation": null, "x": 1.5e300, "y": {"issuer": "z"}, "z": [[]]}),
            rs,
        ),
    ];
    let rows = rows.into_iter();
    rows.map(|(name, paths, keys, members, signed)| good(name, paths, keys, members, signed))
        .collect()
}

/// Documents that lead nowhere: what operators are told.
fn misleading() -> Vec<Row> {
    let row = |name, (issuer, document), members, outcome, told| Row {
        name,
        issuer,
        document,
        keys: "/keys",
        members,
        expected: Err((outcome, told)),
    };
    let another = KeyFetchOutcome::Discovery;
    vec![
        row(
            "Entra ID, of all tenants: the issuer is a template",
            ("/common/v2.0", "/common/v2.0/.well-known/openid-configuration"),
            json!({"issuer": "https://login.microsoftonline.com/{tenantid}/v2.0"}),
            another,
            "of another issuer, \"https://login.microsoftonline.com/{tenantid}/v2.0\"",
        ),
        row(
            "Auth0, configured without its slash",
            ("", WELL_KNOWN),
            json!({"issuer": "https://tenant.eu.auth0.com/"}),
            another,
            "of another issuer, \"https://tenant.eu.auth0.com/\"",
        ),
        row(
            "ADFS, by the issuer of its access tokens: there is no document",
            ("/adfs/services/trust", "/adfs/.well-known/openid-configuration"),
            json!({}),
            KeyFetchOutcome::Status,
            "/adfs/services/trust/.well-known/openid-configuration answered with status 404",
        ),
        row(
            "Google, behind a proxy that says its own name",
            ("", WELL_KNOWN),
            json!({"issuer": "https://accounts.google.com"}),
            another,
            "of another issuer, \"https://accounts.google.com\"",
        ),
        row(
            "Keycloak by its address inside the cluster",
            ("/realms/tools", "/realms/tools/.well-known/openid-configuration"),
            json!({"issuer": "https://sso.example.com/realms/tools"}),
            another,
            "of another issuer, \"https://sso.example.com/realms/tools\"",
        ),
        row(
            "a document without keys (a plain OAuth server)",
            ("", WELL_KNOWN),
            json!({"jwks_uri": null}),
            another,
            "not a JSON object with the strings issuer and jwks_uri",
        ),
    ]
}

/// Serves a row; the issuer as an operator configures it.
fn serve(sso: &Sso, row: &Row, keys_at: &Sso) -> IssuerConfig {
    let issuer = sso.url(row.issuer);
    let own = json!({"issuer": issuer, "jwks_uri": keys_at.url(row.keys)});
    let document = [own, row.members.clone()].iter().fold(usual(), |document, more| {
        let mut document = document;
        document.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        document
    });
    sso.answer(row.document, Answer::json(&document));
    IssuerConfig { issuer: issuer.into(), jwks_url: None, ..sso.issuer() }
}

async fn leads_to_keys(row: &Row, keys_at_another_host: bool) {
    let (sso, other) = (Sso::start().await, Sso::start().await);
    let keys_at = if keys_at_another_host { &other } else { &sso };
    let issuer = serve(&sso, row, keys_at);
    let Ok((key, algorithm)) = row.expected else { panic!("{} leads to no keys", row.name) };
    keys_at.answer(row.keys, Answer::json(&json!({"keys": [key.jwk("a")]})));
    let gate = Gate::ready(issuer.clone()).await;
    let claims = merged(sound_claims(gate.clock.now()), &json!({"iss": issuer.issuer.as_str()}));
    let token = key.token(&header(algorithm, "a"), &claims);
    let result = gate.present(&token).await;
    assert_eq!(verdict(&result), "accepted", "{}: {result:?}", row.name);
    assert_eq!((sso.count(row.document), keys_at.count(row.keys)), (1, 1), "{}", row.name);
}

#[tokio::test]
async fn discovery_documents_as_products_publish_them_lead_to_their_keys() {
    for row in leading() {
        leads_to_keys(&row, false).await;
    }
    let google = good("Google", ("", WELL_KNOWN), "/oauth2/v3/certs", json!({}), (&RSA, "RS256"));
    leads_to_keys(&google, true).await;
}

#[tokio::test]
async fn discovery_documents_that_lead_nowhere_are_told_by_what_they_say() {
    for row in misleading() {
        let sso = Sso::start().await;
        let issuer = serve(&sso, &row, &sso);
        let gate = Gate::of(issuer);
        let fetch = gate.fetched(1).await;
        let Err((outcome, told)) = row.expected else { panic!("{} leads to keys", row.name) };
        let failure = fetch.failure.unwrap().to_string();
        assert_eq!(fetch.outcome, outcome, "{}: {failure}", row.name);
        assert!(failure.contains(told), "{}: {failure}", row.name);
        assert_eq!(sso.count(row.keys), 0, "{}", row.name);
    }
}
