//! The recipes in `config/`, as they are shipped.

use serde_json::{Value, json};

use super::Table;

fn recipe(name: &str) -> Table {
    let path = format!("{}/config/authorize-{name}.toml", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(&path).unwrap();
    let (_, rules) = text.split_once("\n[authorize]\n").expect("the whole section");
    Table::of(rules)
}

const USER: &str = "/koodrive/ose/v1/users/7";
const USERS: &str = "/koodrive/ose/v1/users";
const PREVERIFY: &str = "/koodrive/ose/v1/users/batchimport/preverify";
const IMPORT: &str = "/koodrive/ose/v1/users/batchimport";

#[track_caller]
fn expect(table: &Table, claims: &Value, method: &str, path: &str, allowed: bool) {
    let verdict = table.verdict(method, path, &table.caller(claims));
    assert_eq!(verdict.ends_with(": allowed"), allowed, "{method} {path} {claims}: {verdict}");
}

#[test]
fn only_hr_may_import() {
    let table = recipe("only-hr-may-import");
    let (hr, other) = (json!({"groups": ["staff", "hr"]}), json!({"groups": ["staff"]}));
    for path in [USERS, IMPORT, PREVERIFY, "/koodrive/ose/v1//users/BatchImport/x/%70"] {
        expect(&table, &hr, "POST", path, true);
        expect(&table, &other, "POST", path, false);
        expect(&table, &json!({}), "POST", path, false);
    }
    for (method, path) in [("GET", USERS), ("PUT", USER), ("POST", "/koodrive/ose/v1/files")] {
        expect(&table, &other, method, path, true);
    }
}

#[test]
fn read_only_lets_nothing_be_changed() {
    let table = recipe("read-only");
    let anyone = json!({"groups": ["koodrive-admins"]});
    for (method, path) in [("GET", USER), ("HEAD", "/koodrive/x"), ("POST", PREVERIFY)] {
        expect(&table, &anyone, method, path, true);
    }
    for method in ["POST", "PUT", "PATCH", "DELETE", "OPTIONS"] {
        expect(&table, &anyone, method, USER, false);
    }
    expect(&table, &anyone, "POST", IMPORT, false);
    expect(&table, &anyone, "DELETE", PREVERIFY, false);
}

#[test]
fn nobody_deletes_users() {
    let table = recipe("nobody-deletes-users");
    let admin = json!({"groups": ["koodrive-admins", "hr"], "role": "admin"});
    for path in [USERS, USER, "/KooDrive/ose/v1/x/../users/7", "/koodrive/ose/v1/users/7/devices"] {
        expect(&table, &admin, "DELETE", path, false);
    }
    for (method, path) in [("GET", USER), ("PUT", USER), ("DELETE", "/koodrive/ose/v1/files/7")] {
        expect(&table, &admin, method, path, true);
    }
}
