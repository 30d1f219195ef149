//! What no single value can tell: required keys, keys that belong together, contents of files.
//!
//! Runs on a configuration whose values are each well-formed; all findings at once.

mod accept;
mod custom;
mod forward;
mod listen;
mod pem;
mod rules;
mod token;

use redis::IntoConnectionInfo as _;
use serde_json::json;

use super::addresses::{HttpUrl, LimitStore};
use super::error::{Origin, Problem};
use super::read::Reading;
use super::sections::{Config, LimitConfig, TelemetryConfig, ValidateConfig};

pub(super) use rules::Rule;

/// The root object, `users`, and a user: the depth of every preverify batch.
const BATCH_DEPTH: usize = 3;

/// Adds what is wrong with `config` to `found`, unless its key was found wrong before.
pub(super) fn check(config: &Config, reading: &Reading, found: &mut Vec<Problem>) {
    let mut findings = Findings { reading, found };
    let to = &mut findings;
    listen::check(config, to);
    accept::check(&config.accept, to);
    limit(&config.limit, &config.validate, to);
    validate(&config.validate, to);
    token::check(&config.token, to);
    forward::check(&config.forward, to);
    telemetry(&config.telemetry, to);
}

/// What of all this a JSON Schema can say.
pub(super) fn rules() -> Vec<Rule> {
    let level = format!(r"\s*({})\s*", rules::any_case(&LEVELS));
    let part = format!(r"({level}|[^,]*[=\[\]{{}}][^,]*)");
    let mut all = vec![
        ("validate.max_depth", json!({"minimum": BATCH_DEPTH})),
        ("validate.default_language", json!({"pattern": "^[A-Za-z0-9_,;=. -]*$"})),
        ("telemetry.sample_ratio", json!({"minimum": 0, "maximum": 1})),
        ("telemetry.log_level", json!({"pattern": format!("^{part}(,{part})*$")})),
        ("telemetry.otlp_endpoint", rules::no_query()),
        ("telemetry.jaeger_ui", rules::no_query()),
    ];
    for more in
        [listen::rules(), accept::rules(), token::rules(), custom::rules(), forward::rules()]
    {
        all.extend(more);
    }
    all
}

fn limit(limit: &LimitConfig, validate: &ValidateConfig, to: &mut Findings<'_>) {
    if usize::try_from(limit.users_burst.get()).is_ok_and(|burst| burst < validate.max_users) {
        to.say(
            &["limit.users_burst", "validate.max_users"],
            format!(
                "users_burst ({}) is below validate.max_users ({}), so the largest batches could \
                 never pass; raise the one or lower the other",
                limit.users_burst, validate.max_users
            ),
        );
    }
    if let LimitStore::Redis(address) = &limit.store
        && !redis_address_is_legal(address)
    {
        to.say(
            &["limit.store"],
            "expected \"local\" or an address such as \"redis://host:6379/0\"",
        );
    }
}

/// `redis://[user][:password]@host[:port][/db]`
fn redis_address_is_legal(address: &str) -> bool {
    let rest = address.strip_prefix("redis://").unwrap_or_default();
    let (authority, db) = rest.split_once('/').unwrap_or((rest, ""));
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    let Ok(authority) = host.parse::<http::uri::Authority>() else {
        return false;
    };
    if address.into_connection_info().is_err() {
        return false;
    }
    let port = host.strip_prefix(authority.host()).unwrap_or_default();
    let port_is_legal =
        port.is_empty() || port.strip_prefix(':').is_some_and(|port| port.parse::<u16>().is_ok());
    !authority.host().is_empty() && port_is_legal && (db.is_empty() || db.parse::<u16>().is_ok())
}

fn validate(validate: &ValidateConfig, to: &mut Findings<'_>) {
    if validate.max_depth < BATCH_DEPTH {
        to.say(
            &["validate.max_depth"],
            format!("expected {BATCH_DEPTH} or more: the depth of every preverify batch"),
        );
    }
    let legal = |c: char| c.is_ascii_alphanumeric() || "-_,;=. ".contains(c);
    if !validate.default_language.chars().all(legal) {
        to.say(&["validate.default_language"], "expected a language such as \"zh-cn\", or \"\"");
    }
}

fn telemetry(telemetry: &TelemetryConfig, to: &mut Findings<'_>) {
    if !(0.0..=1.0).contains(&telemetry.sample_ratio) {
        to.say(&["telemetry.sample_ratio"], "expected a number from 0 to 1");
    }
    if !log_level_is_legal(&telemetry.log_level) {
        to.say(
            &["telemetry.log_level"],
            "expected a level (\"error\", \"warn\", \"info\", \"debug\", \"trace\", \"off\") or \
             directives such as \"info,koodrive_gateway::token=debug\"",
        );
    }
    to.no_query("telemetry.otlp_endpoint", telemetry.otlp_endpoint.as_ref());
    to.no_query("telemetry.jaeger_ui", telemetry.jaeger_ui.as_ref());
}

/// Stricter than the filter itself, which takes every lone word for the name of a module.
fn log_level_is_legal(text: &str) -> bool {
    let lone_words_are_levels = text
        .split(',')
        .map(str::trim)
        .filter(|part| !part.contains(['=', '[', ']', '{', '}']))
        .all(|word| LEVELS.iter().any(|level| level.eq_ignore_ascii_case(word)));
    lone_words_are_levels && tracing_subscriber::EnvFilter::try_new(text).is_ok()
}

const LEVELS: [&str; 6] = ["error", "warn", "info", "debug", "trace", "off"];

/// Collects what is wrong, each at its place.
struct Findings<'a> {
    reading: &'a Reading,
    found: &'a mut Vec<Problem>,
}

impl Findings<'_> {
    /// Adds a finding about `keys`, at the first of them that was written; else at the table that
    /// lacks the first. Says nothing if one of them is known to be wrong: cures come one at a time.
    fn say(&mut self, keys: &[&str], reason: impl Into<String>) {
        if keys.iter().any(|key| self.is_wrong(key)) {
            return;
        }
        let written = keys.iter().find_map(|key| Some((*key, self.reading.origins.get(*key)?)));
        let Some((key, origin)) = written.or_else(|| {
            let first = keys.first()?;
            Some((*first, self.table_of(first)?))
        }) else {
            return;
        };
        let (key, origin, reason) = (key.to_owned(), origin.clone(), reason.into());
        self.found.push(Problem { origin, key, reason });
    }

    /// Whether the key, something in it or something around it was found wrong or misspelt.
    fn is_wrong(&self, key: &str) -> bool {
        let within = |outer: &str, inner: &str| {
            inner
                .strip_prefix(outer)
                .is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
        };
        let meant = self.reading.meant.iter();
        meant
            .chain(self.found.iter().map(|problem| &problem.key))
            .any(|wrong| within(wrong, key) || within(key, wrong))
    }

    /// The place of the innermost written thing around a key.
    fn table_of(&self, key: &str) -> Option<&Origin> {
        let mut outer = key;
        loop {
            outer = outer.rfind(['.', '[']).and_then(|at| outer.get(..at)).unwrap_or_default();
            let Reading { tables, origins, .. } = self.reading;
            if let Some(origin) = tables.get(outer).or_else(|| origins.get(outer)) {
                return Some(origin);
            }
            if outer.is_empty() {
                return None;
            }
        }
    }

    /// Plain HTTP leaves this machine only with leave.
    fn plain_http(&mut self, key: &str, url: Option<&HttpUrl>, leave: (bool, &str)) {
        let (allowed, leave_key) = leave;
        if url.is_some_and(|url| !url.is_https() && !url.is_loopback() && !allowed) {
            self.say(
                &[key],
                format!(
                    "http:// is accepted for loopback hosts only; use https://, or set \
                     {leave_key} = true"
                ),
            );
        }
    }

    fn no_query(&mut self, key: &str, url: Option<&HttpUrl>) {
        if url.is_some_and(|url| url.uri().query().is_some()) {
            self.say(&[key], "expected an address without a query (`?…`)");
        }
    }

    /// Two keys of which neither is of use without the other.
    fn together(&mut self, (one, one_set): (&str, bool), (other, other_set): (&str, bool)) {
        match (one_set, other_set) {
            (true, false) => self.say(&[one], format!("wants `{other}` beside it")),
            (false, true) => self.say(&[other], format!("wants `{one}` beside it")),
            _ => {}
        }
    }
}
