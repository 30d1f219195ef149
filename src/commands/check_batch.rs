//! `check-batch`: the gateway's own preverify rules on files.

use std::fs::File;
use std::io;
use std::io::Read as _;
use std::path::Path;
use std::process::ExitCode;

use koodrive_gateway::config;
use koodrive_gateway::rejection::Reason;
use koodrive_gateway::validate::{BatchRules, Language, Report};
use serde_json::{Value, json};

use super::failure::Failure;
use super::output::Output;
use super::{NO, Outcome};
use crate::cli::{CheckBatch, Format};

pub(super) fn run(asked: &CheckBatch, out: &mut Output) -> Outcome {
    let config = config::batch_rules(asked.config.as_deref(), config::environment())?;
    let check = Check { asked, rules: BatchRules::new(&config) };
    let mut are_good = true;
    let mut unreadable = None;
    let mut verdicts = Vec::new();
    for file in &asked.files {
        match read(file, check.rules.max_body()) {
            Ok(body) => are_good &= check.judge(file, &body, out, &mut verdicts)?,
            // The others are looked at all the same.
            Err(error) => unreadable = Some(Failure::unreadable(file, &error).report()),
        }
    }
    if let Format::Json = asked.format {
        match (&*asked.files, &*verdicts) {
            ([_], [verdict]) => writeln!(out, "{verdict:#}")?,
            ([_], _) => {}
            _ => writeln!(out, "{:#}", Value::from(verdicts))?,
        }
    }
    Ok(unreadable.unwrap_or(if are_good { ExitCode::SUCCESS } else { NO }))
}

struct Check<'a> {
    asked: &'a CheckBatch,
    rules: BatchRules,
}

impl Check<'_> {
    /// Whether the gateway would take this batch. For programs the verdict is added to `verdicts`,
    /// for people it is printed.
    fn judge(
        &self,
        file: &Path,
        body: &[u8],
        out: &mut Output,
        verdicts: &mut Vec<Value>,
    ) -> Result<bool, Failure> {
        let name = if is_stdin(file) { "standard input".into() } else { file.to_string_lossy() };
        let max_body = self.rules.max_body();
        if max_body < body.len() {
            let reason = Reason::BodyTooLarge.as_str();
            match self.asked.format {
                Format::Text => writeln!(
                    out,
                    "{name}: larger than validate.max_body ({max_body} bytes)\n{reason}"
                )?,
                Format::Json => {
                    verdicts.push(self.named(json!({"reason": reason, "errors": []}), &name));
                }
            }
            return Ok(false);
        }
        let verdict = self.rules.check(body);
        let report = Report {
            name: &name,
            body,
            verdict: &verdict,
            language: Language::of(&self.asked.language),
            width: TERMINAL_COLUMNS,
            colours: out.has_colours(),
        };
        match self.asked.format {
            Format::Text => write!(out, "{report}")?,
            Format::Json => {
                let told = serde_json::to_value(&report).map_err(Failure::at_run_time)?;
                verdicts.push(self.named(told, &name));
            }
        }
        Ok(verdict.is_ok())
    }

    /// Says whose verdict it is, where there are several.
    fn named(&self, mut verdict: Value, name: &str) -> Value {
        if 1 < self.asked.files.len() {
            verdict["file"] = name.into();
        }
        verdict
    }
}

/// One byte more than allowed shows that it is too large.
fn read(file: &Path, bytes_max: usize) -> io::Result<Vec<u8>> {
    let mut body = Vec::new();
    let limit = bytes_max as u64 + 1;
    if is_stdin(file) {
        io::stdin().take(limit).read_to_end(&mut body)?;
    } else {
        File::open(file)?.take(limit).read_to_end(&mut body)?;
    }
    Ok(body)
}

fn is_stdin(file: &Path) -> bool {
    file == Path::new("-")
}

const TERMINAL_COLUMNS: usize = 100;
