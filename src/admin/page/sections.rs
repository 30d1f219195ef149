//! The sections of the page, in its order.

use std::fmt;
use std::fmt::Write as _;
use std::time::Duration;

use super::markup::{Sentence, Text, ago};
use super::pictures;
use crate::admin::overview::{Concern, MINUTE, Overview, RefusedFor, Took, name_of};
use crate::rejection::Origin;
use crate::telemetry::{Neighbour, NeighbourState, Outcome, RefusalGroup};

pub(super) fn concerns(html: &mut String, concerns: &[Concern]) -> fmt::Result {
    html.push_str("<section id=concerns><h2>What is wrong</h2>");
    if concerns.is_empty() {
        html.push_str("<p class=good>Nothing that can be seen from here.</p></section>");
        return Ok(());
    }
    html.push_str("<ul>");
    for concern in concerns {
        let class = if concern.grave { "bad" } else { "note" };
        write!(html, "<li class={class}>{}</li>", Text(&concern.text))?;
    }
    html.push_str("</ul></section>");
    Ok(())
}

pub(super) fn neighbours(html: &mut String, overview: &Overview) -> fmt::Result {
    html.push_str("<section id=neighbours><h2>Neighbours</h2>");
    let columns = ["state", "neighbour", "last good", "half within", "95 % within", ""];
    table(html, &columns)?;
    for row in &overview.neighbours {
        let (class, word) = match row.state {
            NeighbourState::Unknown => ("quiet", "not asked"),
            NeighbourState::Good => ("good", "ok"),
            NeighbourState::Failing => ("bad", "failing"),
        };
        html.push_str("<tr role=row>");
        cell(html, columns[0], &format!("<b class={class}>{word}</b>"))?;
        cell(html, columns[1], &Text(&name_of(row)).to_string())?;
        let never = if row.state == NeighbourState::Failing { "never" } else { "" };
        let last = row.last_good.map_or(never.to_owned(), |then| ago(overview, then));
        cell(html, columns[2], &last)?;
        let took = |took: Option<Duration>| took.map_or(String::new(), |t| Took(t).to_string());
        cell(html, columns[3], &took(row.p50))?;
        cell(html, columns[4], &took(row.p95))?;
        cell(html, columns[5], &what_of(overview, row))?;
        html.push_str("</tr>");
    }
    html.push_str("</tbody></table></section>");
    Ok(())
}

/// Why it fails and since when, and what else there is to say.
fn what_of(overview: &Overview, row: &Neighbour) -> String {
    let since = row.since.map(|then| format!("since {}", ago(overview, then)));
    let cause = row.cause.as_deref().map(|cause| format!("<b>{}</b>", Text(cause)));
    let keys = overview.keys_of(row);
    since.into_iter().chain(cause).chain(keys).collect::<Vec<_>>().join(", ")
}

pub(super) fn traffic(html: &mut String, overview: &Overview) -> fmt::Result {
    html.push_str("<section id=traffic><h2>Traffic</h2>");
    let traffic = &overview.traffic;
    pictures::outcomes(html, traffic)?;
    let columns = ["calls", "last minute", "ten minutes"];
    table(html, &columns)?;
    for outcome in Outcome::ALL {
        let index = *outcome as usize;
        html.push_str("<tr role=row>");
        let swatch = "<svg class=swatch viewBox=\"0 0 1 1\" aria-hidden=true>";
        let word = outcome.as_str();
        let named = format!("{swatch}<path class=o{index} d=\"M0 0h1v1H0z\"/></svg>{word}");
        cell(html, columns[0], &named)?;
        cell(html, columns[1], &traffic.count(*outcome, MINUTE).to_string())?;
        cell(html, columns[2], &traffic.count(*outcome, usize::MAX).to_string())?;
        html.push_str("</tr>");
    }
    html.push_str("</tbody></table></section>");
    Ok(())
}

pub(super) fn refusals(
    html: &mut String,
    overview: &Overview,
    jaeger: Option<&str>,
) -> fmt::Result {
    html.push_str("<section id=refusals><h2>Refusals</h2>");
    let reasons = overview.refusals_by_reason();
    if reasons.is_empty() {
        html.push_str("<p class=good>None since the start.</p>");
    }
    for row in &reasons {
        refused_for(html, overview, row, jaeger)?;
    }
    html.push_str("</section>");
    Ok(())
}

fn refused_for(
    html: &mut String,
    overview: &Overview,
    row: &RefusedFor<'_>,
    jaeger: Option<&str>,
) -> fmt::Result {
    let (word, status) = (row.reason.as_str(), row.reason.status().as_u16());
    let class = if 500 <= status { "bad" } else { "note" };
    write!(html, "<article id=\"{word}\"><h3><b class={class}>{status} {word}</b></h3>")?;
    let of_late = row.of_late();
    write!(html, "<p>{of_late} in ten minutes, to be mended by {}", who(row.reason.origin()))?;
    if of_late != 0 {
        let numbers = row.series.iter().map(|count| Some(f64::from(*count)));
        pictures::line(html, &format!("{word} in the last ten minutes"), numbers)?;
    }
    write!(html, "</p><p class=cure>{}</p>", Sentence(row.reason.cure()))?;
    html.push_str("<ul>");
    for group in row.groups.iter().take(CALLERS_SHOWN) {
        refused_caller(html, overview, group, jaeger)?;
    }
    html.push_str("</ul>");
    if let Some(more @ 1..) = row.groups.len().checked_sub(CALLERS_SHOWN) {
        write!(html, "<p>and {more} more callers</p>")?;
    }
    html.push_str("</article>");
    Ok(())
}

/// Of one caller for one reason: how often, when, and the last of them.
fn refused_caller(
    html: &mut String,
    overview: &Overview,
    group: &RefusalGroup,
    jaeger: Option<&str>,
) -> fmt::Result {
    let last = &group.last;
    write!(html, "<li><p><b>{} ×</b> ", group.count)?;
    match last.caller {
        Some(caller) => write!(html, "caller <code>{caller}</code>")?,
        None => html.push_str("caller not known"),
    }
    if group.first != last.time {
        write!(html, ", first {}", ago(overview, group.first))?;
    }
    write!(html, ", last {}: ", ago(overview, last.time))?;
    write!(html, "<code>{} {}</code></p>", Text(last.method.as_str()), Text(&last.path))?;
    write!(html, "<p>{}</p><p>traceid <code>", Text(&last.detail))?;
    let traceid = Text(&last.x_trace_id);
    match jaeger {
        Some(base) => {
            let (base, trace) = (Text(base), Text(&last.trace));
            write!(html, "<a href=\"{base}/trace/{trace}\">{traceid}</a>")?;
        }
        None => write!(html, "{traceid}")?,
    }
    html.push_str("</code></p></li>");
    Ok(())
}

fn who(origin: Origin) -> &'static str {
    match origin {
        Origin::Caller => "the caller",
        Origin::Gateway => "the gateway's operator",
        Origin::Sso => "the SSO",
        Origin::TokenEndpoint => "the token endpoint",
        Origin::Upstream => "KooDrive",
    }
}

pub(super) fn latencies(html: &mut String, overview: &Overview) -> fmt::Result {
    html.push_str("<section id=latency><h2>Where the time goes</h2>");
    if overview.traffic.latencies.is_empty() {
        html.push_str("<p>No call has ended in ten minutes.</p></section>");
        return Ok(());
    }
    let columns = ["of ten minutes", "half within", "95 % within", "95 % within, over time"];
    table(html, &columns)?;
    for row in &overview.traffic.latencies {
        let of = row.of.as_str();
        html.push_str("<tr role=row>");
        cell(html, columns[0], of)?;
        cell(html, columns[1], &Took(row.p50).to_string())?;
        cell(html, columns[2], &Took(row.p95).to_string())?;
        let mut picture = String::new();
        let numbers = row.series.iter().map(|took| took.map(|took| took.as_secs_f64()));
        pictures::line(&mut picture, &format!("{of}: 95 % within, over ten minutes"), numbers)?;
        cell(html, columns[3], &picture)?;
        html.push_str("</tr>");
    }
    html.push_str("</tbody></table></section>");
    Ok(())
}

pub(super) fn bounds(html: &mut String, overview: &Overview) -> fmt::Result {
    html.push_str("<section id=bounds><h2>Bounds</h2>");
    let columns = ["what", "taken", "", "key"];
    table(html, &columns)?;
    for bound in &overview.bounds {
        html.push_str("<tr role=row>");
        cell(html, columns[0], bound.of)?;
        let full = bound.is_nearly_full();
        let fill = bound.fill();
        cell(html, columns[1], &if full { format!("<b class=note>{fill}</b>") } else { fill })?;
        let mut picture = String::new();
        pictures::fill(&mut picture, bound.taken, bound.most, full)?;
        cell(html, columns[2], &picture)?;
        let key = if bound.key.is_empty() {
            "fixed".to_owned()
        } else {
            format!("<code>{}</code>", bound.key)
        };
        cell(html, columns[3], &key)?;
        html.push_str("</tr>");
    }
    html.push_str("</tbody></table></section>");
    Ok(())
}

/// Only where KooDrive's API gateway tells of its limits.
pub(super) fn apig(html: &mut String, overview: &Overview) -> fmt::Result {
    if overview.apig.is_empty() {
        return Ok(());
    }
    html.push_str("<section id=apig><h2>Limits of KooDrive's API gateway</h2>");
    let columns = ["counts calls of", "told", "when"];
    table(html, &columns)?;
    for limit in &overview.apig {
        html.push_str("<tr role=row>");
        cell(html, columns[0], limit.of)?;
        cell(html, columns[1], &Text(&limit.told).to_string())?;
        cell(html, columns[2], &format!("{} ago", overview.ago(limit.at)))?;
        html.push_str("</tr>");
    }
    html.push_str("</tbody></table></section>");
    Ok(())
}

/// A table to the head of its body. With its roles said: laid out as cards on a phone, it would
/// lose them.
fn table(html: &mut String, columns: &[&str]) -> fmt::Result {
    html.push_str("<table role=table><thead role=rowgroup><tr role=row>");
    for column in columns {
        write!(html, "<th role=columnheader scope=col>{column}</th>")?;
    }
    html.push_str("</tr></thead><tbody role=rowgroup>");
    Ok(())
}

/// `markup` is escaped already.
fn cell(html: &mut String, column: &str, markup: &str) -> fmt::Result {
    write!(html, "<td role=cell data-column=\"{column}\">{markup}</td>")
}

const CALLERS_SHOWN: usize = 5;
