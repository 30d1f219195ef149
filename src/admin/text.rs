//! The page as text: `koodrive-gateway status`, or whoever asks for `text/plain`.

use std::collections::BTreeMap;
use std::fmt;
use std::fmt::Write as _;
use std::time::{Duration, SystemTime};

use http::header::ACCEPT;
use http::{HeaderMap, StatusCode};

use super::{IssuerRow, Overview, Page, Pages, TEXT};
use crate::clock::Span;
use crate::telemetry::{Neighbour, NeighbourKind, NeighbourState, Refusal};

/// Whether the visitor wants text: who names it, and no HTML.
pub(super) fn is_wanted(headers: &HeaderMap) -> bool {
    let accept = headers.get(ACCEPT).and_then(|accept| accept.to_str().ok()).unwrap_or_default();
    accept.contains("text/plain") && !accept.contains("text/html")
}

/// 503 where it is not ready or a neighbour fails, for programs.
pub(super) fn render(pages: &Pages, now: SystemTime) -> Page {
    let overview = (pages.overview)();
    let mut text = String::new();
    write_page(&mut text, pages, &overview, now).expect("a String takes everything");
    let is_well = pages.readiness.reasons().is_empty()
        && overview.issuers.iter().all(|row| row.usable)
        && overview.neighbours.iter().all(|row| row.state != NeighbourState::Failing);
    let status = if is_well { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    Page { status, ..Page::ok(TEXT, text) }
}

fn write_page(
    text: &mut String,
    pages: &Pages,
    overview: &Overview,
    now: SystemTime,
) -> fmt::Result {
    let reasons = pages.readiness.reasons();
    let word = if reasons.is_empty() { "ready" } else { "NOT READY" };
    let (version, up) = (&overview.version, Span(overview.uptime));
    writeln!(text, "koodrive-gateway {version}, up {up}: {word}")?;
    for line in reasons.iter().chain(&(pages.notes)()) {
        writeln!(text, "  {}", printable(line))?;
    }
    writeln!(text, "neighbours")?;
    for neighbour in &overview.neighbours {
        write_neighbour(text, neighbour, overview, now)?;
    }
    writeln!(text, "traffic")?;
    for ((status, origin), calls) in traffic(&(pages.metrics)()) {
        let who = if origin == "none" { "KooDrive's answer".to_owned() } else { origin };
        writeln!(text, "  {status}  {calls:>9}  {who}")?;
    }
    for (title, rows) in &overview.tables {
        writeln!(text, "{}", printable(&title.to_lowercase()))?;
        for (name, value) in rows {
            writeln!(text, "  {:<32} {}", printable(name), printable(value))?;
        }
    }
    write_refusals(text, &(pages.refusals)(), now)
}

/// Two lines where there is something to mend.
fn write_neighbour(
    text: &mut String,
    neighbour: &Neighbour,
    overview: &Overview,
    now: SystemTime,
) -> fmt::Result {
    let ago = |time: SystemTime| Span(now.duration_since(time).unwrap_or(Duration::ZERO));
    let verdict = match neighbour.state {
        NeighbourState::Unknown => "-",
        NeighbourState::Good => "ok",
        NeighbourState::Failing => "FAILING",
    };
    let kind = neighbour.kind.as_str();
    let which = neighbour.issuer.as_deref().or(neighbour.address.as_deref()).unwrap_or_default();
    write!(text, "  {verdict:<7}  {kind} {}", printable(which))?;
    let mut separator = ":";
    let mut say = |text: &mut String, what: fmt::Arguments<'_>| {
        write!(text, "{separator} {what}")?;
        separator = ",";
        Ok(())
    };
    if let Some(since) = neighbour.since {
        say(text, format_args!("for {}", ago(since)))?;
    }
    let never = if neighbour.since.is_some() { "never good" } else { "not asked yet" };
    match neighbour.last_good {
        Some(last) => say(text, format_args!("last good {} ago", ago(last)))?,
        None => say(text, format_args!("{never}"))?,
    }
    if let (Some(p50), Some(p95)) = (neighbour.p50, neighbour.p95) {
        say(text, format_args!("p50 {}, p95 {}", Span(p50), Span(p95)))?;
    }
    if neighbour.kind == NeighbourKind::Sso {
        let is_it = |row: &&IssuerRow| Some(&*row.issuer) == neighbour.issuer.as_deref();
        match overview.issuers.iter().find(is_it).map(|row| (row.usable, row.age)) {
            Some((true, Some(age))) => say(text, format_args!("keys {} old", Span(age)))?,
            _ => say(text, format_args!("NO USABLE KEYS"))?,
        }
    }
    text.push('\n');
    if let Some(cause) = &neighbour.cause {
        writeln!(text, "           {}", printable(cause))?;
    }
    Ok(())
}

/// By reason, the most frequent first; what was last said of each.
fn write_refusals(text: &mut String, refusals: &[Refusal], now: SystemTime) -> fmt::Result {
    writeln!(text, "last refusals")?;
    let mut groups: Vec<(&Refusal, usize)> = Vec::new();
    // Newest first, so the first of a reason is its last.
    for refusal in refusals {
        match groups.iter_mut().find(|(last, _)| last.reason == refusal.reason) {
            Some((_, count)) => *count += 1,
            None => groups.push((refusal, 1)),
        }
    }
    groups.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    for (last, count) in groups {
        let ago = Span(now.duration_since(last.time).unwrap_or(Duration::ZERO));
        let (status, reason, detail) = (last.status, last.reason, printable(&last.detail));
        writeln!(text, "  {status} {reason}  {count} of late, the last {ago} ago: {detail}")?;
        writeln!(text, "      traceid {}", last.x_trace_id)?;
    }
    Ok(())
}

/// Calls by status and by whose fault they were, out of the metrics.
fn traffic(metrics: &str) -> BTreeMap<(String, String), u64> {
    let mut calls = BTreeMap::new();
    for line in metrics.lines() {
        let Some(rest) = line.strip_prefix("koodrive_gateway_requests_total{") else { continue };
        let Some((labels, value)) = rest.split_once("} ") else { continue };
        let label = |name: &str| {
            let found = labels.split(',').find_map(|label| label.strip_prefix(name));
            found.unwrap_or_default().trim_matches(['=', '"']).to_owned()
        };
        let count = value.split(' ').next().and_then(|count| count.parse().ok()).unwrap_or(0);
        if count != 0 {
            *calls.entry((label("status"), label("origin"))).or_default() += count;
        }
    }
    calls
}

/// What may be sent to a terminal.
fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { char::REPLACEMENT_CHARACTER } else { c }).collect()
}
