//! `check-batch`: the gateway's own preverify rules on a file.

use std::io;
use std::io::Read as _;
use std::path::Path;
use std::process::ExitCode;

use koodrive_gateway::config::ValidateConfig;
use koodrive_gateway::validate::{BatchRules, Language, Report};

use super::{NO, failed, load, unreadable};
use crate::cli::Format;

pub(super) fn run(file: &Path, config: Option<&Path>, format: Format, language: &str) -> ExitCode {
    let rules = match config.map(load).transpose() {
        Ok(Some(loaded)) => BatchRules::new(&loaded.config.validate),
        Ok(None) => BatchRules::new(&ValidateConfig::default()),
        Err(code) => return code,
    };
    let body = match read(file, rules.max_body()) {
        Ok(body) => body,
        Err(error) => return unreadable(file, &error),
    };
    if rules.max_body() < body.len() {
        eprintln!("{}: larger than validate.max_body ({} bytes)", file.display(), rules.max_body());
        return NO;
    }
    let verdict = rules.check(&body);
    let name = if file == Path::new("-") { "standard input" } else { &file.display().to_string() };
    let report = Report {
        name,
        body: &body,
        verdict: &verdict,
        language: Language::of(language),
        width: TERMINAL_COLUMNS,
    };
    match format {
        Format::Text => print!("{report}"),
        Format::Json => match serde_json::to_string_pretty(&report) {
            Ok(json) => println!("{json}"),
            Err(error) => return failed(&error),
        },
    }
    if verdict.is_ok() { ExitCode::SUCCESS } else { NO }
}

/// One byte more than allowed shows that it is too large.
fn read(file: &Path, bytes_max: usize) -> io::Result<Vec<u8>> {
    let mut body = Vec::new();
    let limit = bytes_max as u64 + 1;
    if file == Path::new("-") {
        io::stdin().take(limit).read_to_end(&mut body)?;
    } else {
        std::fs::File::open(file)?.take(limit).read_to_end(&mut body)?;
    }
    Ok(body)
}

const TERMINAL_COLUMNS: usize = 100;
