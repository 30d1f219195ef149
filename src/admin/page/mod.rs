//! The page for people: what is wrong first, then neighbours, traffic, refusals, bounds.
//!
//! Drawn whole on the server and readable on a phone. The script only keeps it up to date and shows
//! calls as they end; without it everything else is there.

mod markup;
mod pictures;
mod sections;

use std::fmt;
use std::fmt::Write as _;
use std::time::SystemTime;

use self::markup::Text;
use super::overview::Overview;
use super::{Pages, time};

/// Files that the page names.
pub(super) const STYLE: &str = include_str!("page.css");
pub(super) const SCRIPT: &str = include_str!("page.js");
pub(super) const ICON: &str = include_str!("icon.svg");

pub(super) fn render(pages: &Pages) -> String {
    let mut html = String::with_capacity(64 * 1024);
    write_page(&mut html, pages).expect("a String takes everything");
    html
}

fn write_page(html: &mut String, pages: &Pages) -> fmt::Result {
    let overview = (pages.overview)();
    let unready = pages.readiness.reasons();
    let jaeger = pages.jaeger_ui.as_deref().map(|base| base.trim_end_matches('/'));
    html.push_str(HEAD);
    header(html, &overview, unready.is_empty())?;
    html.push_str("<main>");
    sections::concerns(html, &overview.concerns(&unready, &(pages.notes)()))?;
    sections::neighbours(html, &overview)?;
    sections::traffic(html, &overview)?;
    sections::refusals(html, &overview, jaeger)?;
    sections::latencies(html, &overview)?;
    sections::bounds(html, &overview)?;
    sections::apig(html, &overview)?;
    live(html, jaeger)?;
    html.push_str("</main>");
    html.push_str(FOOT);
    Ok(())
}

fn header(html: &mut String, overview: &Overview, ready: bool) -> fmt::Result {
    let (class, word) = if ready { ("good", "ready") } else { ("bad", "not ready") };
    let since = overview.now.checked_sub(overview.uptime).unwrap_or(overview.now);
    write!(html, "<header id=top><h1>koodrive-gateway <strong class={class}>{word}</strong></h1>")?;
    write!(html, "<p>{} on <b>{}</b></p>", Text(&overview.version), Text(&overview.host))?;
    write!(html, "<p>as of <time>{}</time></p>", second(overview.now))?;
    write!(html, "<p>up since <time>{}</time> ({})</p>", second(since), overview.ago(since))?;
    html.push_str("</header>");
    Ok(())
}

/// To the second.
fn second(then: SystemTime) -> String {
    let mut text = time(then);
    text.truncate("2026-11-24T03:14:00".len());
    text.push('Z');
    text
}

/// Filled by the script.
fn live(html: &mut String, jaeger: Option<&str>) -> fmt::Result {
    html.push_str("<section id=live");
    if let Some(jaeger) = jaeger {
        write!(html, " data-jaeger=\"{}\"", Text(jaeger))?;
    }
    html.push_str("><h2>Calls as they end</h2><p id=said>With script they are shown here; ");
    html.push_str("<code>koodrive-gateway watch</code> shows them in a terminal.</p>");
    html.push_str("<ol id=calls></ol></section>");
    Ok(())
}

const HEAD: &str = "<!doctype html>
<html lang=en><head><meta charset=utf-8>
<meta name=viewport content=\"width=device-width, initial-scale=1\">
<meta name=color-scheme content=\"light dark\">
<title>koodrive-gateway</title>
<link rel=icon href=icon.svg><link rel=stylesheet href=page.css>
<script src=page.js defer></script></head>
<body>
<p id=follow hidden><label><input type=checkbox checked> keep up to date</label> <span role=status></span></p>
";

const FOOT: &str = "<nav aria-label=\"other pages\"><a href=readyz>readiness</a>\
<a href=refusals>refusals</a><a href=config>configuration</a><a href=metrics>metrics</a></nav>
</body></html>
";
