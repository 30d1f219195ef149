//! The promises of the room `authorize`: rules × calls × claims, and every spelling of a path.

#![expect(clippy::unwrap_used, reason = "what fails here fails a test")]

mod recipes;
mod rules;
mod spellings;
mod through;

use std::path::Path;
use std::time::UNIX_EPOCH;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::Method;
use koodrive_gateway::accept::{Accepted, Acceptor, IdentityRules, KeyStores, VerifiedTokens};
use koodrive_gateway::authorize::{Authorizer, Decision};
use koodrive_gateway::clock::Clock;
use koodrive_gateway::config::Config;
use serde_json::{Value, json};

/// `[authorize]` read as an operator's configuration is, and who is asked.
struct Table {
    authorizer: Authorizer,
    acceptor: Acceptor,
    config: Config,
}

impl Table {
    fn of(rules: &str) -> Self {
        Self::behind("https://koodrive.example.com", rules)
    }

    /// `upstream` with a base path.
    fn behind(upstream: &str, rules: &str) -> Self {
        let issuer = |name: &str| {
            format!(
                "[[accept.issuers]]\nissuer = \"https://{name}.example.com\"\naudiences = [\"g\"]\n"
            )
        };
        let document = format!(
            "{}{}[token]\nendpoint = \"https://sso.example.com/token\"\n\
             [forward]\nupstream = \"{upstream}\"\n[authorize]\n{rules}",
            issuer("sso"),
            issuer("partner"),
        );
        let loaded = Config::parse(&document, "gateway.toml", Path::new(""), std::iter::empty());
        let config = loaded.unwrap_or_else(|error| panic!("{error}\n{document}")).config;
        let base_path = config.forward.upstream.base_path();
        let authorizer = Authorizer::new(&config.authorize, base_path);
        let keys = KeyStores::offline(Clock::system());
        let acceptor =
            Acceptor::new(&config.accept, &keys, &VerifiedTokens::new(), IdentityRules::default())
                .asking(authorizer.requirements());
        Self { authorizer, acceptor, config }
    }

    /// A caller of the first issuer with these claims.
    fn caller(&self, claims: &Value) -> Accepted {
        self.caller_of("sso", claims)
    }

    fn caller_of(&self, issuer: &str, claims: &Value) -> Accepted {
        let now = Clock::system().now();
        let at = now.duration_since(UNIX_EPOCH).unwrap().as_secs();
        let mut all = json!({
            "iss": format!("https://{issuer}.example.com"), "aud": "g", "sub": "alice",
            "iat": at, "exp": at + 300,
        });
        all.as_object_mut().unwrap().extend(claims.as_object().unwrap().clone());
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let token = format!("{}.{}.AAAA", part(&json!({"alg": "RS256"})), part(&all));
        self.acceptor.claimed(&token, now).unwrap()
    }

    fn decide(&self, method: &str, path: &str, caller: &Accepted) -> Decision {
        let method = Method::from_bytes(method.as_bytes()).unwrap();
        self.authorizer.decide(&method, path, &caller.identity)
    }

    /// `rule` and `allowed`, or `rule` and why not.
    fn verdict(&self, method: &str, path: &str, caller: &Accepted) -> String {
        let Decision { rule, denied } = self.decide(method, path, caller);
        denied.map_or_else(|| format!("{rule}: allowed"), |denied| format!("{rule}: {denied}"))
    }
}
