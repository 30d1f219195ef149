//! The state of the process: the one model behind the page and `koodrive-gateway status`.

use std::time::{Duration, SystemTime};

use crate::rejection::{Origin, Reason};
use crate::telemetry::{
    ApigLimit, Neighbour, NeighbourKind, NeighbourState, Outcome, RefusalGroup, Traffic,
};

/// Everything the page shows, as of one moment.
#[derive(Clone, Debug)]
pub struct Overview {
    pub now: SystemTime,
    pub uptime: Duration,
    /// With the commit.
    pub version: String,
    /// The name of the machine; of the pod, in Kubernetes.
    pub host: String,
    /// In the order in which a call meets them, their clocks last.
    pub neighbours: Vec<Neighbour>,
    /// Of each issuer.
    pub keys: Vec<Keys>,
    pub traffic: Traffic,
    /// What was refused last first.
    pub refusals: Vec<RefusalGroup>,
    pub bounds: Vec<Bound>,
    /// What KooDrive's API gateway said of its own limits; seldom anything.
    pub apig: Vec<ApigLimit>,
}

/// One issuer's keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Keys {
    pub issuer: String,
    /// Since they were fetched; none: never.
    pub age: Option<Duration>,
    pub usable: bool,
}

/// Something that is bounded, and how much of it is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bound {
    pub of: &'static str,
    /// The key that bounds it; empty: none does.
    pub key: &'static str,
    pub taken: usize,
    pub most: usize,
    /// Counted in bytes, not in pieces.
    pub bytes: bool,
}

/// Something that wants attention.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Concern {
    /// Callers notice it.
    pub(super) grave: bool,
    pub(super) text: String,
}

/// Periods of traffic in a minute.
pub(super) const MINUTE: usize = 12;

impl Overview {
    pub(super) fn is_well(&self) -> bool {
        let fails = |row: &Neighbour| row.state == NeighbourState::Failing;
        self.keys.iter().all(|row| row.usable) && !self.neighbours.iter().any(fails)
    }

    /// How old its keys are, if it is an SSO.
    pub(super) fn keys_of(&self, row: &Neighbour) -> Option<String> {
        if row.kind != NeighbourKind::Sso {
            return None;
        }
        let keys = self.keys.iter().find(|keys| Some(&*keys.issuer) == row.issuer.as_deref());
        Some(match keys.map(|keys| (keys.usable, keys.age)) {
            Some((true, Some(age))) => format!("keys {} old", Brief(age)),
            _ => "NO USABLE KEYS".to_owned(),
        })
    }

    /// What an operator should see first. `unready` are the reasons for not being ready, `notes`
    /// what else the process has to say.
    pub(super) fn concerns(&self, unready: &[String], notes: &[String]) -> Vec<Concern> {
        let grave = |text| Concern { grave: true, text };
        let slight = |text| Concern { grave: false, text };
        let mut concerns: Vec<Concern> =
            unready.iter().map(|reason| grave(format!("not ready: {reason}"))).collect();
        for row in &self.neighbours {
            if row.state == NeighbourState::Failing {
                let since = row.since.map(|since| format!(" for {}", self.ago(since)));
                let (name, since) = (name_of(row), since.unwrap_or_default());
                let cause = row.cause.as_deref().unwrap_or("nothing is known of the cause");
                concerns.push(grave(format!("{name} fails{since}: {cause}")));
            }
        }
        concerns.extend(self.of_traffic());
        for bound in self.bounds.iter().filter(|bound| bound.is_nearly_full()) {
            let (of, key) = (bound.of, bound.key);
            let fill = bound.fill();
            concerns.push(slight(format!("{of}: {fill} taken ({key})")));
        }
        concerns.extend(notes.iter().cloned().map(slight));
        concerns
    }

    /// What stands out in the last minute.
    fn of_traffic(&self) -> Vec<Concern> {
        let count = |outcome| self.traffic.count(outcome, MINUTE);
        let all: u64 = Outcome::ALL.iter().map(|outcome| count(*outcome)).sum();
        let mut concerns = Vec::new();
        let mut tell = |grave, calls: u64, what: String| {
            let text = format!("{calls} of {all} calls of the last minute {what}");
            concerns.push(Concern { grave, text });
        };
        let failed = count(Outcome::Failed);
        if failed != 0 {
            tell(true, failed, format!("failed{}", self.mostly(500..600)));
        }
        let upstream = count(Outcome::UpstreamFailed);
        if upstream != 0 {
            tell(true, upstream, "were answered by KooDrive itself with 5xx".to_owned());
        }
        let refused = count(Outcome::Refused);
        if STORM <= refused && all <= refused * 2 {
            tell(false, refused, format!("were refused{}", self.mostly(400..500)));
        }
        let left = count(Outcome::CallerGone);
        if STORM <= left && all <= left * 2 {
            tell(false, left, "ended because the caller left".to_owned());
        }
        concerns
    }

    /// The reason of most refusals of the last minute with such a status; of the caller's own, also
    /// the caller it was said to above all.
    fn mostly(&self, statuses: std::ops::Range<u16>) -> String {
        let of_minute = |counts: &[u32]| counts.iter().rev().take(MINUTE).sum::<u32>();
        let reasons = self.traffic.reasons.iter();
        let such = reasons.filter(|(reason, _)| statuses.contains(&reason.status().as_u16()));
        let most = such.max_by_key(|(_, counts)| of_minute(counts));
        let Some((reason, counts)) = most else { return String::new() };
        let groups = self.refusals.iter().filter(|group| group.last.reason == *reason);
        let caller = groups.max_by_key(|group| group.count).and_then(|group| {
            let is_recent = self.ago(group.last.time).0 < Duration::from_mins(1);
            let is_most = u64::from(of_minute(counts)) <= group.count * 2;
            let is_own = reason.origin() == Origin::Caller;
            group.last.caller.filter(|_| is_recent && is_most && is_own)
        });
        let caller = caller.map_or(String::new(), |caller| format!(", above all caller {caller}"));
        format!(", most with {}{caller}", reason.as_str())
    }

    /// By reason, whoever's fault is not the caller's first, then the most frequent; with how often
    /// each occurred in the last ten minutes, and the callers it was said to.
    pub(super) fn refusals_by_reason(&self) -> Vec<RefusedFor<'_>> {
        let mut reasons: Vec<RefusedFor<'_>> = Vec::new();
        for (reason, series) in &self.traffic.reasons {
            reasons.push(RefusedFor { reason: *reason, series, groups: Vec::new() });
        }
        for group in &self.refusals {
            match reasons.iter_mut().find(|row| row.reason == group.last.reason) {
                Some(row) => row.groups.push(group),
                None => reasons.push(RefusedFor {
                    reason: group.last.reason,
                    series: &[],
                    groups: vec![group],
                }),
            }
        }
        for row in &mut reasons {
            row.groups.sort_by_key(|group| std::cmp::Reverse(group.count));
        }
        // What has not occurred of late last, whatever it was.
        reasons.sort_by_key(|row| {
            let of_late = row.of_late();
            let by_caller = row.reason.status().as_u16() < 500;
            (of_late == 0, by_caller, std::cmp::Reverse(of_late))
        });
        reasons
    }

    pub(super) fn ago(&self, then: SystemTime) -> Brief {
        Brief(self.now.duration_since(then).unwrap_or_default())
    }
}

/// Who it is, and which.
pub(super) fn name_of(row: &Neighbour) -> String {
    match row.issuer.as_deref().or(row.address.as_deref()) {
        Some(which) => format!("{} {which}", row.kind.as_str()),
        None => row.kind.as_str().to_owned(),
    }
}

/// All refusals for one reason.
pub(super) struct RefusedFor<'a> {
    pub(super) reason: Reason,
    /// Of the last ten minutes, oldest first; empty: none of late.
    pub(super) series: &'a [u32],
    /// By caller, the most frequent first; none where no caller was told apart.
    pub(super) groups: Vec<&'a RefusalGroup>,
}

impl RefusedFor<'_> {
    pub(super) fn of_late(&self) -> u64 {
        self.series.iter().map(|count| u64::from(*count)).sum()
    }
}

impl Bound {
    /// From nine tenths on.
    pub(super) fn is_nearly_full(&self) -> bool {
        self.most <= self.taken.saturating_mul(10) / 9
    }

    pub(super) fn fill(&self) -> String {
        let (taken, most) = (self.taken, self.most);
        if self.bytes {
            return format!("{} of {}", size(taken), size(most));
        }
        format!("{taken} of {most}")
    }
}

/// Bytes for people.
fn size(bytes: usize) -> String {
    match bytes {
        0..1024 => format!("{bytes} B"),
        1024..1_048_576 => format!("{} KiB", bytes / 1024),
        _ => format!("{} MiB", bytes / 1024 / 1024),
    }
}

/// A span of time for people: its two largest units.
pub(super) struct Brief(pub(super) Duration);

impl std::fmt::Display for Brief {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let seconds = self.0.as_secs();
        let (days, hours, minutes) = (seconds / 86_400, seconds / 3600 % 24, seconds / 60 % 60);
        match (days, hours, minutes) {
            (0, 0, 0) => write!(f, "{seconds}s"),
            (0, 0, _) => write!(f, "{minutes}m {}s", seconds % 60),
            (0, _, _) => write!(f, "{hours}h {minutes}m"),
            _ => write!(f, "{days}d {hours}h"),
        }
    }
}

/// How long something took, with three digits that count.
pub(super) struct Took(pub(super) Duration);

impl std::fmt::Display for Took {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0.as_micros() {
            0..1000 => write!(f, "{} µs", self.0.as_micros()),
            1000..10_000 => write!(f, "{:.1} ms", self.0.as_secs_f64() * 1000.0),
            10_000..1_000_000 => write!(f, "{} ms", self.0.as_millis()),
            _ => write!(f, "{:.1} s", self.0.as_secs_f64()),
        }
    }
}

/// So many calls in a minute that a share of them says something.
const STORM: u64 = 10;
