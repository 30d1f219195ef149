//! What the two READMEs say of commands, keys and rejections.

use std::path::Path;
use std::process::Command;

use koodrive_gateway::config::{Config, ENVIRONMENT_PREFIX, Key, Origin, Shape, keys};
use koodrive_gateway::rejection::Reason;

use super::{OPERATORS, README, code, documents, table, text_of, words};
use crate::support::scratch::Scratch;

#[test]
fn the_rejection_table_is_the_programs() {
    let table = table(README, "<!-- this table is compared with the program by a test -->", 0);
    let told: Vec<_> = table
        .iter()
        .map(|row| {
            assert_eq!(row.len(), 4, "{row:?}");
            [row[0].clone(), code(&row[1])[0].to_owned(), row[2].clone(), row[3].clone()]
        })
        .collect();
    // Answered without a body, so without a row of its own.
    let reasons = Reason::ALL.iter().filter(|reason| **reason != Reason::HeadersTooLarge);
    let rows = reasons.map(|reason| {
        let (code, origin) = (reason.code().to_string(), reason.origin().as_str());
        // The admin page and `status` say the same sentence.
        [code, reason.as_str().to_owned(), origin.to_owned(), reason.cure().to_owned()]
    });
    assert_eq!(told, rows.collect::<Vec<_>>());
}

/// Named as rooms are, but no keys.
const SPANS: [&str; 2] = ["forward.attempt", "token.exchange"];

#[test]
fn the_complete_configuration_is_one() {
    let readme = text_of(README);
    let (_, after) = readme.split_once("<!-- this example is parsed by a test -->").unwrap();
    let document = after.split("```toml").nth(1).unwrap().split("```").next().unwrap();
    let scratch = Scratch::new().unwrap();
    scratch.write("client-secret", "secret\n").unwrap();
    let loaded = Config::parse(document, "README.md", scratch.path(), std::iter::empty());
    loaded.unwrap_or_else(|error| panic!("{error}"));
}

#[test]
fn keys_named_in_the_readmes_exist() {
    for (path, least) in [(README, 20), (OPERATORS, 15)] {
        let text = text_of(path);
        let mut seen = 0;
        for word in text.split('`').skip(1).step_by(2) {
            let name = word.trim_matches(['[', ']']);
            let name = name.split([' ', '=']).next().unwrap_or_default();
            let mut segments = name.split('.');
            let Some(first) = segments.next() else { continue };
            let dotted = name.contains('.') || word.starts_with('[');
            if SPANS.contains(&name) || !dotted || !keys().iter().any(|key| key.name == first) {
                continue;
            }
            assert!(is_key(keys(), name), "{path}: no key `{name}`");
            seen += 1;
        }
        assert!(least <= seen, "{path}: {seen}");
    }
}

fn is_key(known: &[Key], name: &str) -> bool {
    let (first, rest) =
        name.split_once('.').map_or((name, None), |(first, rest)| (first, Some(rest)));
    let Some(key) = known.iter().find(|key| key.name == first) else { return false };
    match (rest, &key.shape) {
        (None, _) => true,
        (Some(rest), Shape::Table(below)) => is_key(below, rest),
        (Some(rest), Shape::List(element)) => {
            matches!(&**element, Shape::Table(below) if is_key(below, rest))
        }
        (Some(_), _) => false,
    }
}

#[test]
fn variables_named_in_readme_and_deploy_set_keys() {
    let mut seen = 0;
    for (path, text) in documents() {
        for name in words(&text, ENVIRONMENT_PREFIX) {
            if name.ends_with("__") {
                continue; // the general form
            }
            let variables = [(name.to_owned(), "x".to_owned())];
            let parsed = Config::parse("", "x", "/".as_ref(), variables.into_iter());
            for problem in parsed.unwrap_err().problems() {
                let about = problem.origin == Origin::Environment(name.into());
                let unknown = problem.reason.contains("unknown key");
                assert!(!(about && unknown), "{}: {problem}", path.display());
            }
            seen += 1;
        }
    }
    assert!(10 < seen, "{seen}");
}

#[test]
fn the_readme_lists_every_command() {
    let output =
        Command::new(env!("CARGO_BIN_EXE_koodrive-gateway")).arg("--help").output().unwrap();
    let help = String::from_utf8(output.stdout).unwrap();
    let listed = help.lines().skip_while(|line| *line != "Commands:").skip(1);
    let listed: Vec<_> = listed
        .take_while(|line| !line.is_empty())
        .filter_map(|line| line.split_whitespace().next())
        .filter(|name| *name != "help")
        .collect();
    assert!(5 < listed.len(), "{help}");
    let readme = text_of(README);
    for name in &listed {
        assert!(readme.contains(&format!("| `koodrive-gateway {name}")), "README: {name}");
    }
    for row in readme.lines().filter_map(|line| line.strip_prefix("| `koodrive-gateway ")) {
        let name = row.split([' ', '`']).next().unwrap();
        assert!(listed.contains(&name), "no command {name}");
    }
}

#[test]
fn files_and_headings_linked_in_the_readmes_exist() {
    for (path, least) in [(README, 15), (OPERATORS, 20)] {
        let text = text_of(path);
        let beside = super::repository().join(path).parent().unwrap().to_owned();
        let mut seen = 0;
        for rest in text.split("](").skip(1) {
            let target = rest.split(')').next().unwrap();
            let (file, heading) = target.split_once('#').unwrap_or((target, ""));
            let file = if file.is_empty() { path.into() } else { beside.join(file) };
            let file = super::repository().join(file);
            assert!(file.exists(), "{path}: {target}");
            let has = heading.is_empty() || headings_of(&file).iter().any(|known| known == heading);
            assert!(has, "{path}: {target}");
            seen += 1;
        }
        assert!(least <= seen, "{path}: {seen}");
    }
}

/// As a link names them.
fn headings_of(path: &Path) -> Vec<String> {
    let text = std::fs::read_to_string(path).unwrap();
    let headings = text.lines().filter_map(|line| line.strip_prefix("## "));
    headings.map(|heading| heading.to_lowercase().replace(' ', "-").replace(',', "")).collect()
}

/// It is for the first look; what only an operator wants to know belongs into `deploy/README.md`.
#[test]
fn the_readme_stays_short() {
    let bytes = text_of(README).len();
    assert!(bytes <= 20 * 1024, "README.md has {bytes} bytes");
}
