//! The page as text: `koodrive-gateway status`, or whoever asks for `text/plain`.

use std::fmt;
use std::fmt::Write as _;

use http::StatusCode;

use super::overview::{MINUTE, Overview, Took, name_of};
use super::{Page, Pages, TEXT, time};
use crate::telemetry::{Neighbour, NeighbourState, Outcome, Traffic};

/// 503 where it is not ready or a neighbour fails, for programs.
pub(super) fn render(pages: &Pages) -> Page {
    let overview = (pages.overview)();
    let unready = pages.readiness.reasons();
    let mut text = String::new();
    write_page(&mut text, pages, &overview, &unready).expect("a String takes everything");
    let is_well = unready.is_empty() && overview.is_well();
    let status = if is_well { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    Page { status, ..Page::ok(TEXT, text) }
}

fn write_page(
    text: &mut String,
    pages: &Pages,
    overview: &Overview,
    unready: &[String],
) -> fmt::Result {
    let word = if unready.is_empty() { "ready" } else { "NOT READY" };
    let (version, host) = (printable(&overview.version), printable(&overview.host));
    let since = overview.now.checked_sub(overview.uptime).unwrap_or(overview.now);
    writeln!(text, "koodrive-gateway {version} on {host}: {word}")?;
    let (now, up) = (time(overview.now), overview.ago(since));
    writeln!(text, "as of {now}, up since {} ({up})", time(since))?;
    let concerns = overview.concerns(unready, &(pages.notes)());
    writeln!(text, "what is wrong")?;
    if concerns.is_empty() {
        writeln!(text, "  nothing that can be seen from here")?;
    }
    for concern in concerns {
        let mark = if concern.grave { "!!" } else { " !" };
        writeln!(text, "  {mark} {}", printable(&concern.text))?;
    }
    writeln!(text, "neighbours")?;
    for row in &overview.neighbours {
        neighbour(text, row, overview)?;
    }
    traffic(text, &overview.traffic)?;
    refusals(text, overview)?;
    latencies(text, &overview.traffic)?;
    writeln!(text, "bounds")?;
    for bound in &overview.bounds {
        let key = if bound.key.is_empty() { "fixed" } else { bound.key };
        writeln!(text, "  {:<32} {:<20} {key}", bound.of, bound.fill())?;
    }
    if !overview.apig.is_empty() {
        writeln!(text, "limits of KooDrive's API gateway")?;
    }
    for limit in &overview.apig {
        writeln!(text, "  {:<32} {}, {} ago", limit.of, limit.told, overview.ago(limit.at))?;
    }
    Ok(())
}

/// Two lines where there is something to mend.
fn neighbour(text: &mut String, row: &Neighbour, overview: &Overview) -> fmt::Result {
    let verdict = match row.state {
        NeighbourState::Unknown => "-",
        NeighbourState::Good => "ok",
        NeighbourState::Failing => "FAILING",
    };
    let since = row.since.map(|since| format!("for {}", overview.ago(since)));
    let never = if row.since.is_some() { "never good" } else { "not asked yet" };
    let good = match row.last_good {
        Some(last) => format!("last good {} ago", overview.ago(last)),
        None => never.to_owned(),
    };
    let took = row.p50.zip(row.p95);
    let took = took.map(|(p50, p95)| format!("p50 {}, p95 {}", Took(p50), Took(p95)));
    let said = since.into_iter().chain([good]).chain(took).chain(overview.keys_of(row));
    let said = said.collect::<Vec<_>>().join(", ");
    writeln!(text, "  {verdict:<7}  {}: {said}", printable(&name_of(row)))?;
    match &row.cause {
        Some(cause) => writeln!(text, "           {}", printable(cause)),
        None => Ok(()),
    }
}

fn traffic(text: &mut String, traffic: &Traffic) -> fmt::Result {
    writeln!(text, "traffic                    1 min     10 min")?;
    for outcome in Outcome::ALL {
        let (minute, all) = (traffic.count(*outcome, MINUTE), traffic.count(*outcome, usize::MAX));
        writeln!(text, "  {:<18} {minute:>11} {all:>10}", outcome.as_str())?;
    }
    Ok(())
}

fn refusals(text: &mut String, overview: &Overview) -> fmt::Result {
    writeln!(text, "refusals")?;
    let reasons = overview.refusals_by_reason();
    if reasons.is_empty() {
        writeln!(text, "  none since the start")?;
    }
    for row in reasons {
        let (status, reason) = (row.reason.status().as_u16(), row.reason.as_str());
        writeln!(text, "  {status} {reason}  {} in ten minutes", row.of_late())?;
        writeln!(text, "      {}", row.reason.cure().replace('`', ""))?;
        for group in row.groups.iter().take(CALLERS_SHOWN) {
            let (count, last) = (group.count, &group.last);
            let caller = last.caller.map_or("unknown".to_owned(), |caller| caller.to_string());
            let (first_ago, last_ago) = (overview.ago(group.first), overview.ago(last.time));
            writeln!(
                text,
                "      {count} x caller {caller}, first {first_ago} ago, last {last_ago} ago: {} {}",
                printable(last.method.as_str()),
                printable(&last.path)
            )?;
            writeln!(text, "        {}", printable(&last.detail))?;
            writeln!(text, "        traceid {}", last.x_trace_id)?;
        }
        if let Some(more @ 1..) = row.groups.len().checked_sub(CALLERS_SHOWN) {
            writeln!(text, "      and {more} more callers")?;
        }
    }
    Ok(())
}

fn latencies(text: &mut String, traffic: &Traffic) -> fmt::Result {
    writeln!(text, "of ten minutes     half within  95 % within")?;
    for row in &traffic.latencies {
        let (p50, p95) = (Took(row.p50).to_string(), Took(row.p95).to_string());
        writeln!(text, "  {:<16} {p50:>11} {p95:>12}", row.of.as_str())?;
    }
    Ok(())
}

/// What may be sent to a terminal.
fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { char::REPLACEMENT_CHARACTER } else { c }).collect()
}

const CALLERS_SHOWN: usize = 3;
