//! Authorize a call: may this accepted caller make it?
//!
//! An ordered table of rules, compiled once. A rule names calls by method, path and issuer; the
//! first that names a call decides. Paths are compared with the call's path as servers read it.
//! What a caller has was asked when the token was verified (`accept::Met`), so that a call costs a walk
//! along its path and a few bits, however many rules there are. Knows nothing of statuses, nor of
//! how a refusal looks.

mod paths;
mod review;

use std::fmt;
use std::sync::Arc;

use http::Method;

use self::paths::PathTree;
pub use self::review::review;
use crate::accept::{Identity, Requirement};
use crate::config::{AuthorizeConfig, GuardMode, Otherwise, PathSegment, RuleConfig, RuleMethod};
use crate::path::CanonicalPath;
use crate::words::words;

words! {
    /// What became of a call.
    pub enum Verdict {
        Allowed = "allowed",
        Denied = "denied",
        /// Would have been denied, but rules only observe.
        Observed = "observed",
    }
}

/// The rules under one configuration.
#[derive(Clone, Debug)]
pub struct Authorizer(Arc<Rules>);

#[derive(Debug)]
struct Rules {
    mode: GuardMode,
    otherwise: Otherwise,
    table: Vec<Rule>,
    paths: PathTree,
    /// Issuers that rules name.
    issuers: Vec<Arc<str>>,
    /// Whatever claims rules ask for, each once, those of one claim side by side.
    requirements: Arc<[Requirement]>,
    /// Segments of the base path of `forward.upstream`: a rule may begin behind any of them, as a
    /// proxy on the way may strip them.
    base_segments: usize,
}

#[derive(Debug)]
struct Rule {
    name: RuleName,
    /// A bit for each method.
    methods: u8,
    on_any_path: bool,
    /// Places in [`Rules::issuers`]; none = every issuer.
    issuers: Option<Box<[usize]>>,
    /// Places in [`Rules::requirements`].
    needs: Box<[usize]>,
    deny: bool,
}

/// By what a rule goes in refusals, logs, traces and metrics: its `name`, or else its number from
/// 1; `otherwise` where none named the call.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct RuleName(pub Arc<str>);

impl fmt::Display for RuleName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A caller may not make this call.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Denied {
    #[error("rule {rule}: the caller lacks what it requires of {}", claims.join(", "))]
    Lacks { rule: RuleName, claims: Vec<Box<str>> },
    #[error("rule {rule} allows nobody")]
    Nobody { rule: RuleName },
    #[error("no rule names this call, and what no rule names is denied")]
    Unnamed,
    /// What cannot be compared with rules goes nowhere.
    #[error("the path can be read in more than one way, so no rule can be held against it")]
    Ambiguous,
}

/// What the rules say of a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    pub rule: RuleName,
    /// Also where rules only observe.
    pub denied: Option<Denied>,
}

impl Authorizer {
    /// `base_path` is that of `forward.upstream`.
    pub fn new(config: &AuthorizeConfig, base_path: &str) -> Self {
        let mut requirements: Vec<Requirement> = config.rules.iter().flat_map(required).collect();
        requirements.sort_unstable();
        requirements.dedup();
        let mut rules = Rules {
            mode: config.mode,
            otherwise: config.otherwise,
            table: Vec::new(),
            paths: PathTree::default(),
            issuers: Vec::new(),
            requirements: requirements.into(),
            base_segments: base_path.split('/').filter(|segment| !segment.is_empty()).count(),
        };
        for (index, rule) in config.rules.iter().enumerate() {
            rules.add(index, rule);
        }
        Self(Arc::new(rules))
    }

    /// What `accept` is to ask of each token ([`Identity::met`]), in this order.
    pub fn requirements(&self) -> Arc<[Requirement]> {
        Arc::clone(&self.0.requirements)
    }

    /// Whether calls are to be asked about at all.
    pub fn is_on(&self) -> bool {
        let Rules { mode, otherwise, table, .. } = &*self.0;
        *mode != GuardMode::Off && !(table.is_empty() && *otherwise == Otherwise::Allow)
    }

    /// Whether denials only count.
    pub fn observes(&self) -> bool {
        self.0.mode == GuardMode::Observe
    }

    /// What may become of calls, by the rule that decides.
    pub fn outcomes(&self) -> Vec<(RuleName, Verdict)> {
        if !self.is_on() {
            return Vec::new();
        }
        let denied = if self.observes() { Verdict::Observed } else { Verdict::Denied };
        let names = self.0.table.iter().map(|rule| rule.name.clone());
        let names = names.chain([RuleName::otherwise()]);
        names.flat_map(|name| [(name.clone(), Verdict::Allowed), (name, denied)]).collect()
    }

    /// Judges a call. `path` goes as it will be sent.
    pub fn decide(&self, method: &Method, path: &str, identity: &Identity) -> Decision {
        let rules = &*self.0;
        let otherwise = |denied| Decision { rule: RuleName::otherwise(), denied };
        let named = if is_plain(path) {
            let segments = path.split('/').filter(|segment| !segment.is_empty());
            rules.first(method, &segments, identity)
        } else {
            match CanonicalPath::of(path) {
                Ok(path) => rules.first(method, &path.segments(), identity),
                Err(_) => match rules.first_on_any_path(method, identity) {
                    Ok(named) => named,
                    Err(denied) => return otherwise(Some(denied)),
                },
            }
        };
        let Some(rule) = named else {
            return otherwise((rules.otherwise == Otherwise::Deny).then_some(Denied::Unnamed));
        };
        Decision { rule: rule.name.clone(), denied: rules.denied(rule, identity) }
    }
}

impl Rules {
    fn add(&mut self, index: usize, config: &RuleConfig) {
        let issuers: Box<[usize]> = config.issuers.iter().map(|name| self.issuer(name)).collect();
        let place = |need: Requirement| {
            self.requirements.binary_search(&need).expect("every requirement was collected")
        };
        self.table.push(Rule {
            name: RuleName::of(index, config),
            methods: if config.methods.is_empty() {
                u8::MAX
            } else {
                config.methods.iter().fold(0, |bits, method| bits | 1 << *method as u8)
            },
            on_any_path: config.paths.is_empty(),
            issuers: (!issuers.is_empty()).then_some(issuers),
            needs: required(config).map(place).collect(),
            deny: config.deny,
        });
        if config.paths.is_empty() {
            self.paths.add(&[PathSegment::Rest], index);
        }
        for path in &config.paths {
            self.paths.add(path.segments(), index);
        }
    }

    fn issuer(&mut self, name: &str) -> usize {
        let known = self.issuers.iter().position(|known| **known == *name);
        known.unwrap_or_else(|| {
            self.issuers.push(name.into());
            self.issuers.len() - 1
        })
    }

    /// The first rule that names the call.
    fn first<'p>(
        &self,
        method: &Method,
        segments: &(impl Iterator<Item = &'p str> + Clone),
        identity: &Identity,
    ) -> Option<&Rule> {
        let names = self.naming(method, identity);
        let mut first = usize::MAX;
        for skipped in 0..=self.base_segments {
            self.paths.find(segments.clone().skip(skipped), &names, &mut first);
        }
        self.table.get(first)
    }

    /// The first rule that names the call, where its path does not decide which one.
    fn first_on_any_path(
        &self,
        method: &Method,
        identity: &Identity,
    ) -> Result<Option<&Rule>, Denied> {
        let names = self.naming(method, identity);
        match (0..self.table.len()).find(|index| names(*index)).map(|index| &self.table[index]) {
            Some(rule) if !rule.on_any_path => Err(Denied::Ambiguous),
            named => Ok(named),
        }
    }

    /// Whether a rule names calls of this method by this caller, on whatever path.
    fn naming(&self, method: &Method, identity: &Identity) -> impl Fn(usize) -> bool {
        let method = method_of(method).map_or(0, |method| 1 << method as u8);
        let issuer = self.issuers.iter().position(|name| *name == identity.issuer);
        move |index| {
            let Rule { methods, issuers, .. } = &self.table[index];
            let is_of_issuer = |issuers: &[usize]| issuer.is_some_and(|own| issuers.contains(&own));
            methods & method != 0 && issuers.as_deref().is_none_or(is_of_issuer)
        }
    }

    fn denied(&self, rule: &Rule, identity: &Identity) -> Option<Denied> {
        if rule.deny {
            return Some(Denied::Nobody { rule: rule.name.clone() });
        }
        if rule.needs.iter().all(|need| identity.met.has(*need)) {
            return None;
        }
        let lacking = rule.needs.iter().filter(|need| !identity.met.has(**need));
        let claims = lacking.map(|need| self.requirements[*need].claim.clone()).collect();
        Some(Denied::Lacks { rule: rule.name.clone(), claims })
    }
}

impl RuleName {
    fn of(index: usize, config: &RuleConfig) -> Self {
        let name = &config.name;
        Self(if name.is_empty() { (index + 1).to_string().into() } else { name.as_str().into() })
    }

    fn otherwise() -> Self {
        static OTHERWISE: std::sync::LazyLock<Arc<str>> =
            std::sync::LazyLock::new(|| "otherwise".into());
        Self(Arc::clone(&OTHERWISE))
    }
}

fn required(rule: &RuleConfig) -> impl Iterator<Item = Requirement> {
    rule.claims.iter().map(|(claim, one_of)| Requirement::new(claim, one_of))
}

/// Whether the segments of a path are as they are written: what [`CanonicalPath`] makes of it, but
/// for empty ones.
fn is_plain(path: &str) -> bool {
    let plain = |b: u8| b.is_ascii_graphic() && !matches!(b, b'%' | b'\\' | b';');
    let dots = path.contains("/.") || path.contains("./") || path.ends_with('.');
    path.bytes().all(plain) && !dots
}

fn method_of(method: &Method) -> Option<RuleMethod> {
    Some(match *method {
        Method::GET => RuleMethod::Get,
        Method::HEAD => RuleMethod::Head,
        Method::POST => RuleMethod::Post,
        Method::PUT => RuleMethod::Put,
        Method::PATCH => RuleMethod::Patch,
        Method::DELETE => RuleMethod::Delete,
        Method::OPTIONS => RuleMethod::Options,
        _ => return None,
    })
}
