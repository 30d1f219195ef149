//! The verdict on a batch file, for the person or the machine that runs `check-batch`.

use std::borrow::Cow;
use std::fmt;
use std::fmt::Write as _;

use serde::Serialize;
use serde_json::Value;

use super::fault::Fault;
use super::field::Field;
use super::{BatchFacts, Finding, FindingView, Language, Malformed};
use crate::config::nearest;

/// What a check of one body has to say. `Display` is for terminals, `Serialize` for machines.
pub struct Report<'r> {
    /// As the user named the file.
    pub name: &'r str,
    pub body: &'r [u8],
    pub verdict: &'r Result<BatchFacts, Malformed>,
    pub language: Language,
    /// Columns of the terminal.
    pub width: usize,
    /// Whether the terminal shows colours.
    pub colours: bool,
}

/// The machine's form: the contract's `reason` and `errors`, and how many more there are.
#[derive(Serialize)]
struct ReportView<'r> {
    reason: Option<&'static str>,
    errors: Vec<FindingView<'r>>,
    more: usize,
}

impl Serialize for Report<'_> {
    fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let view = match self.verdict {
            Ok(_) => ReportView { reason: None, errors: Vec::new(), more: 0 },
            Err(malformed) => ReportView {
                reason: Some(malformed.kind.reason()),
                errors: malformed.findings.iter().map(|f| f.view(self.language)).collect(),
                more: malformed.more,
            },
        };
        view.serialize(to)
    }
}

impl fmt::Display for Report<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let malformed = match self.verdict {
            Ok(facts) => {
                let valid = valid(self.name, facts.users, self.language);
                return writeln!(f, "{}", self.painted(GREEN, &valid));
            }
            Err(malformed) => malformed,
        };
        for finding in &malformed.findings {
            self.write_finding(f, finding)?;
        }
        let total = malformed.findings.len() + malformed.more;
        writeln!(f, "{}", self.painted(RED, &summary(malformed, total, self.language)))
    }
}

impl Report<'_> {
    fn write_finding(&self, f: &mut fmt::Formatter<'_>, finding: &Finding) -> fmt::Result {
        let Finding { line, column, .. } = finding;
        let mut place = format!("{}:{line}:{column}", self.name);
        if !finding.pointer.is_empty() {
            place = format!("{place} {}", printable(&finding.pointer));
        }
        write!(f, "{}\n  {}", self.painted(BOLD, &place), finding.text(self.language))?;
        if let Some(name) = self.misspelt(finding) {
            let name = printable(&name);
            match self.language {
                Language::English => write!(f, "; did you mean it by `{name}`?")?,
                Language::Chinese => write!(f, "；是否误写为 `{name}`？")?,
            }
        }
        writeln!(f)?;
        let gutter = format!("{line:>5} | ");
        let room = self.width.saturating_sub(gutter.len()).max(WIDTH_MIN);
        let excerpt = Excerpt::around(self.body, finding.offset, room);
        writeln!(f, "{gutter}{}", excerpt.text)?;
        let blank = " ".repeat(excerpt.caret_at);
        writeln!(f, "{:>5} | {blank}{}\n", "", self.painted(RED, "^"))
    }

    fn painted<'t>(&self, style: &str, text: &'t str) -> Cow<'t, str> {
        if self.colours { format!("{style}{text}\x1b[0m").into() } else { text.into() }
    }

    /// The member by which a missing one may have been meant.
    fn misspelt(&self, finding: &Finding) -> Option<String> {
        let Fault::Missing { field } = finding.fault else { return None };
        let body: Value = serde_json::from_slice(self.body).ok()?;
        let (object, _) = finding.pointer.rsplit_once('/')?;
        let names = body.pointer(object)?.as_object()?.keys().map(String::as_str);
        let known = [Field::Root, Field::User].map(Field::members).concat();
        let unknown = |name: &&str| known.iter().all(|known| known.name() != *name);
        nearest(field.name(), names.filter(unknown)).map(str::to_owned)
    }
}

const BOLD: &str = "\x1b[1m";
const RED: &str = "\x1b[31m";
const GREEN: &str = "\x1b[32m";

/// Narrower excerpts would show nothing.
const WIDTH_MIN: usize = 20;

/// The part of a line around a fault that fits the terminal.
struct Excerpt {
    text: String,
    /// Columns before the caret.
    caret_at: usize,
}

impl Excerpt {
    /// Cuts so that the fault stands two thirds into the room at most; `…` marks a cut.
    fn around(body: &[u8], offset: usize, room: usize) -> Self {
        // No character that is shown is longer than four bytes; the rest of a long line is not
        // looked at.
        let reach = room * 4;
        let from = offset.saturating_sub(reach);
        let before = &body[from..offset];
        let line_from = before.iter().rposition(|byte| *byte == b'\n').map(|at| at + 1);
        let before = String::from_utf8_lossy(&before[line_from.unwrap_or(0)..]);
        let after = &body[offset..body.len().min(offset + reach)];
        let after = after.split(|byte| *byte == b'\n').next().unwrap_or_default();
        let after = String::from_utf8_lossy(after);

        let mut left: Vec<char> = Vec::new();
        let mut caret_at = 0;
        let mut is_cut = line_from.is_none() && from != 0;
        for char in before.chars().rev().map(shown) {
            if room * 2 / 3 - 1 < caret_at + columns(char) {
                is_cut = true;
                break;
            }
            caret_at += columns(char);
            left.push(char);
        }
        let mut text = String::new();
        if is_cut {
            text.push('…');
            caret_at += 1;
        }
        text.extend(left.iter().rev());
        let mut used = caret_at;
        for char in after.trim_end_matches('\r').chars().map(shown) {
            if room - 1 < used + columns(char) {
                text.push('…');
                break;
            }
            used += columns(char);
            text.push(char);
        }
        Self { text, caret_at }
    }
}

/// A character as it may be sent to a terminal: tabs as one blank, and a stand-in for whatever
/// would move the cursor, change its direction or take no room.
fn shown(char: char) -> char {
    match char {
        '\t' => ' ',
        '\u{300}'..='\u{36f}'
        | '\u{ad}'
        | '\u{61c}'
        | '\u{180e}'
        | '\u{200b}'..='\u{200f}'
        | '\u{2028}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}'
        | '\u{fe00}'..='\u{fe0f}'
        | '\u{feff}'
        | '\u{e0000}'..='\u{e0fff}' => char::REPLACEMENT_CHARACTER,
        char if char.is_control() => char::REPLACEMENT_CHARACTER,
        char => char,
    }
}

fn printable(text: &str) -> String {
    text.chars().map(shown).collect()
}

/// Columns a shown character takes: two for East Asian wide ones and emoji.
fn columns(char: char) -> usize {
    match char {
        '\u{1100}'..='\u{115f}'
        | '\u{2e80}'..='\u{303e}'
        | '\u{3041}'..='\u{a4cf}'
        | '\u{a960}'..='\u{a97c}'
        | '\u{ac00}'..='\u{d7a3}'
        | '\u{f900}'..='\u{faff}'
        | '\u{fe30}'..='\u{fe6f}'
        | '\u{ff00}'..='\u{ff60}'
        | '\u{ffe0}'..='\u{ffe6}'
        | '\u{1f300}'..='\u{1f64f}'
        | '\u{1f680}'..='\u{1f6ff}'
        | '\u{1f900}'..='\u{1f9ff}'
        | '\u{20000}'..='\u{3fffd}' => 2,
        _ => 1,
    }
}

fn valid(name: &str, users: u32, language: Language) -> String {
    match language {
        Language::English if users == 1 => format!("{name}: a valid batch of 1 user"),
        Language::English => format!("{name}: a valid batch of {users} users"),
        Language::Chinese => format!("{name}：批次正确，共 {users} 个用户"),
    }
}

fn summary(malformed: &Malformed, total: usize, language: Language) -> String {
    let reason = malformed.kind.reason();
    let mut text = match language {
        Language::English if total == 1 => format!("{reason}: 1 fault"),
        Language::English => format!("{reason}: {total} faults"),
        Language::Chinese => format!("{reason}：共 {total} 处错误"),
    };
    let shown = malformed.findings.len();
    if shown != total {
        let written = match language {
            Language::English => write!(text, ", the first {shown} shown"),
            Language::Chinese => write!(text, "，仅列出前 {shown} 处"),
        };
        written.expect("writing to a String does not fail");
    }
    text
}
