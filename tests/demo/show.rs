//! How the demo speaks: headings, curl lines, answers, ticks.

#![expect(clippy::print_stdout, reason = "speaking to a person is what the demo is for")]

use std::fmt::Write as _;
use std::io::IsTerminal as _;
use std::path::Path;

use crate::options::Options;
use crate::simulators::Simulators;
use crate::support::caller::Reply;

const INDENT: &str = "   ";
/// Longest piece of an answer that is shown.
const SHOWN_CHARS_MAX: usize = 1500;

/// Standard output, with colours where a person reads it.
#[derive(Clone, Copy, Debug)]
pub struct Show {
    colour: bool,
}

impl Show {
    pub fn to_stdout() -> Self {
        let wanted = std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        Self { colour: wanted && std::io::stdout().is_terminal() }
    }

    pub fn heading(self, title: &str) {
        let rule = "─".repeat(76_usize.saturating_sub(title.chars().count()));
        println!("\n{}", self.paint("1", &format!("── {title} {rule}")));
    }

    /// A command to repeat the call by hand.
    pub fn command(self, command: &str) {
        let command = command.replace('\n', &format!("\n{INDENT}"));
        println!("\n{INDENT}{}", self.paint("36", &format!("$ {command}")));
    }

    pub fn answer(self, reply: &Reply) {
        let reason = http::StatusCode::from_u16(reply.status).ok();
        let reason = reason.and_then(|status| status.canonical_reason()).unwrap_or_default();
        println!("{INDENT}{}", self.paint("1", &format!("HTTP {} {reason}", reply.status)));
        for name in ["x-traceid", "retry-after", "ratelimit", "www-authenticate"] {
            if let Some(value) = reply.header(name) {
                println!("{INDENT}{name}: {value}");
            }
        }
        for line in readable(&reply.text()).lines() {
            println!("{INDENT}{line}");
        }
    }

    /// One promise, kept or not.
    pub fn promise(self, kept: bool, what: &str) {
        let mark = if kept { self.paint("32", "✓") } else { self.paint("31", "✗ NOT SO:") };
        println!("{INDENT}{mark} {what}");
    }

    pub fn failure(self, text: &str) {
        println!("{} {text}", self.paint("31", "The demo cannot start:"));
    }

    fn paint(self, code: &str, text: &str) -> String {
        if self.colour { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }
}

pub fn plain(text: &str) {
    println!("{text}");
}

/// What happens and what should come of it.
pub fn story(sent: &str, promised: &str) {
    println!("{INDENT}sent      {sent}");
    println!("{INDENT}promised  {promised}");
}

pub fn note(text: &str) {
    println!("{INDENT}{text}");
}

pub fn simulators(simulators: &Simulators, options: &Options) {
    let sso = &simulators.sso;
    println!("SSO       {}", sso.issuer());
    if let Some(koodrive) = &simulators.koodrive {
        println!("KooDrive  {} (simulator)", koodrive.url());
    }
    println!("\nNow start the gateway yourself:");
    // Elsewhere, as in the image, there is nothing to build it from.
    let cargo = if Path::new("Cargo.toml").exists() { "cargo run --" } else { "koodrive-gateway" };
    println!("  {cargo} run --config {}", relative(&options.config).display());
    println!("and send it a token:");
    println!("  curl -s '{}/demo-token?subject=alice'", sso.issuer());
    println!("\nCtrl-C stops.");
}

/// A path as one would type it here.
fn relative(path: &Path) -> &Path {
    let here = std::env::current_dir().unwrap_or_default();
    path.strip_prefix(here).unwrap_or(path)
}

/// JSON with one line per member and list element near the top; anything else as it is.
fn readable(text: &str) -> String {
    let mut shown = String::new();
    if serde_json::from_str::<serde::de::IgnoredAny>(text).is_ok() {
        let (mut depth, mut quoted, mut escaped) = (0_usize, false, false);
        let mut previous = ' ';
        for char in text.chars() {
            let closes = !quoted && matches!(char, '}' | ']');
            depth -= usize::from(closes && 0 < depth);
            if closes && depth < LINES_DEPTH && !matches!(previous, '{' | '[') {
                new_line(&mut shown, depth);
            }
            if !quoted
                && depth <= LINES_DEPTH
                && matches!(previous, '{' | '[')
                && !closes
                && 0 < depth
                || !quoted && previous == ',' && depth <= LINES_DEPTH
            {
                new_line(&mut shown, depth);
            }
            shown.push(char);
            if quoted {
                quoted = escaped || char != '"';
                escaped = !escaped && char == '\\';
            } else {
                quoted = char == '"';
                depth += usize::from(matches!(char, '{' | '['));
            }
            previous = if quoted { ' ' } else { char };
        }
    } else {
        shown.push_str(text);
    }
    if SHOWN_CHARS_MAX < shown.chars().count() {
        shown = shown.chars().take(SHOWN_CHARS_MAX).collect();
        shown.push_str(" …");
    }
    shown
}

/// Deeper values stay on one line.
const LINES_DEPTH: usize = 2;

fn new_line(text: &mut String, depth: usize) {
    write!(text, "\n{:width$}", "", width = 2 * depth).expect("writing to a string does not fail");
}
