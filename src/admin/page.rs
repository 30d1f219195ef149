//! The one page for people: plain HTML, no script, readable on a phone.

use std::fmt;
use std::fmt::Write as _;
use std::time::Duration;

use super::{Overview, Pages, time};
use crate::telemetry::Refusal;

pub(super) fn render(pages: &Pages) -> String {
    let mut html = String::with_capacity(32 * 1024);
    write_page(&mut html, pages).expect("a String takes everything");
    html
}

fn write_page(html: &mut String, pages: &Pages) -> fmt::Result {
    let overview = (pages.overview)();
    html.push_str(HEAD);
    health(html, pages, &overview)?;
    keys(html, &overview)?;
    for (title, rows) in &overview.tables {
        write!(html, "<section><h2>{}</h2><dl>", Text(title))?;
        for (name, value) in rows {
            write!(html, "<div><dt>{}</dt><dd>{}</dd></div>", Text(name), Text(value))?;
        }
        html.push_str("</dl></section>");
    }
    refusals(html, &(pages.refusals)(), pages.jaeger_ui.as_deref())?;
    html.push_str(FOOT);
    Ok(())
}

fn health(html: &mut String, pages: &Pages, overview: &Overview) -> fmt::Result {
    let reasons = pages.readiness.reasons();
    let (class, word) = if reasons.is_empty() { ("good", "ready") } else { ("bad", "not ready") };
    let version = Text(&overview.version);
    let uptime = Span(overview.uptime);
    write!(html, "<header><h1>koodrive-gateway <small>{version}, up {uptime}</small></h1>")?;
    write!(html, "<p><strong class={class}>{word}</strong></p>")?;
    list(html, "bad", &reasons)?;
    list(html, "note", &(pages.notes)())?;
    html.push_str("</header>");
    Ok(())
}

fn list(html: &mut String, class: &str, items: &[String]) -> fmt::Result {
    if items.is_empty() {
        return Ok(());
    }
    write!(html, "<ul class={class}>")?;
    for item in items {
        write!(html, "<li>{}</li>", Text(item))?;
    }
    html.push_str("</ul>");
    Ok(())
}

fn keys(html: &mut String, overview: &Overview) -> fmt::Result {
    html.push_str("<section><h2>Keys</h2>");
    if overview.issuers.is_empty() {
        html.push_str("<p>No issuer is configured.</p>");
    }
    html.push_str("<dl>");
    for row in &overview.issuers {
        let (class, word) = if row.usable { ("good", "usable") } else { ("bad", "missing") };
        write!(html, "<div><dt>{}</dt><dd><b class={class}>{word}</b>", Text(&row.issuer))?;
        match row.age {
            Some(age) => write!(html, ", fetched {} ago", Span(age))?,
            None => html.push_str(", never fetched"),
        }
        html.push_str("</dd></div>");
    }
    html.push_str("</dl></section>");
    Ok(())
}

fn refusals(html: &mut String, rows: &[Refusal], jaeger_ui: Option<&str>) -> fmt::Result {
    html.push_str("<section><h2>Last refusals</h2>");
    if rows.is_empty() {
        html.push_str("<p>None since the start.</p></section>");
        return Ok(());
    }
    html.push_str("<ol>");
    for row in rows {
        let class = if 500 <= row.status { "bad" } else { "note" };
        write!(html, "<li><b class={class}>{} {}</b> ", row.status, Text(row.reason))?;
        write!(html, "<time>{}</time>", Text(&time(row.time)))?;
        write!(html, "<p>{}</p><p><code>", Text(&row.detail))?;
        let x_trace_id = Text(&row.x_trace_id);
        match jaeger_ui {
            Some(base) => {
                let (base, trace) = (Text(base.trim_end_matches('/')), Text(&row.trace));
                write!(html, "<a href=\"{base}/trace/{trace}\">{x_trace_id}</a>")?;
            }
            None => write!(html, "{x_trace_id}")?,
        }
        html.push_str("</code></p>");
        if let Some(caller) = &row.caller {
            write!(html, "<p>caller <code>{}</code></p>", Text(caller))?;
        }
        html.push_str("</li>");
    }
    html.push_str("</ol></section>");
    Ok(())
}

/// Text that cannot become markup, neither between tags nor in a quoted attribute.
struct Text<'a>(&'a str);

impl fmt::Display for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for letter in self.0.chars() {
            match letter {
                '&' => f.write_str("&amp;")?,
                '<' => f.write_str("&lt;")?,
                '>' => f.write_str("&gt;")?,
                '"' => f.write_str("&quot;")?,
                '\'' => f.write_str("&#39;")?,
                _ => f.write_char(letter)?,
            }
        }
        Ok(())
    }
}

/// A span of time for people: its two largest units.
struct Span(Duration);

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
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

const HEAD: &str = "<!doctype html>
<html lang=en><meta charset=utf-8>
<meta name=viewport content=\"width=device-width, initial-scale=1\">
<title>koodrive-gateway</title>
<style>
:root{color-scheme:light dark;--good:#14752f;--bad:#b3261e;--note:#8a5a00;--line:#8884}
@media(prefers-color-scheme:dark){:root{--good:#6fd58b;--bad:#ff8a80;--note:#f0b95a}}
body{font:16px/1.45 system-ui,sans-serif;max-width:60rem;margin:0 auto;padding:1rem}
h1{font-size:1.3rem;margin:0}h1 small{font-weight:400;opacity:.7;font-size:.9rem}
h2{font-size:1.05rem;margin:1.5rem 0 .25rem}
.good{color:var(--good)}.bad{color:var(--bad)}.note{color:var(--note)}
dl,ol{margin:0;padding:0;list-style:none}
dl div,ol li{border-top:1px solid var(--line);padding:.4rem 0}
dl div{display:flex;flex-wrap:wrap;gap:0 1rem;justify-content:space-between}
dd{margin:0}dt,dd,li p,code{overflow-wrap:anywhere}
li p{margin:.1rem 0}code{font-size:.85em}time{opacity:.7;font-size:.85em;white-space:nowrap}
nav{margin:1.5rem 0;display:flex;flex-wrap:wrap;gap:1rem}
</style>
<body>";

const FOOT: &str = "<nav><a href=/readyz>readyz</a><a href=/metrics>metrics</a>\
<a href=/config>config</a><a href=/refusals>refusals</a></nav></body></html>
";
