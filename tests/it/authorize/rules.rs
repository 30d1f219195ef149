//! Which rule decides, and what it takes.

use serde_json::{Value, json};

use super::Table;

const RULES: &str = r#"
otherwise = "deny"

[[authorize.rules]]
name = "nobody raises the ceiling"
methods = ["POST"]
paths = ["/koodrive/ose/v1/user/expand/*"]
deny = true

[[authorize.rules]]
name = "hr"
methods = ["POST", "PUT", "DELETE"]
paths = ["/koodrive/ose/v1/users/**"]
issuers = ["https://sso.example.com"]
claims = { groups = ["koodrive-admins", "hr"], "/realm_access/roles" = "tools" }

[[authorize.rules]]
methods = ["GET"]
paths = ["/koodrive/ose/v1/users/*", "/koodrive/ose/v1/userList", "/koodrive/ose/v1/departments/**"]
claims = { scope = "koodrive.read" }

[[authorize.rules]]
name = "levels"
paths = ["/koodrive/ose/v1/space/**"]
claims = { level = [7, 8], internal = true }

[[authorize.rules]]
name = "files"
paths = ["/koodrive/ose/v1/files/*/detail", "/koodrive/ose/*/jobs"]
"#;

fn hr() -> Value {
    json!({"groups": ["hr"], "realm_access": {"roles": ["tools", "x"]}})
}

#[test]
fn the_first_rule_that_names_a_call_decides() {
    let table = Table::of(RULES);
    let both = "rule hr: the caller lacks what it requires of ";
    let nobody = "nobody raises the ceiling: rule nobody raises the ceiling allows nobody";
    let unnamed = "otherwise: no rule names this call, and what no rule names is denied";
    let read = json!({"scope": "openid koodrive.read email"});
    let level = json!({"level": 7, "internal": true});
    let (groups, roles) = (format!("hr: {both}groups"), format!("hr: {both}/realm_access/roles"));
    let neither = format!("hr: {both}/realm_access/roles, groups");
    let scope = "3: rule 3: the caller lacks what it requires of scope";
    let levels = |claims: &str| {
        format!("levels: rule levels: the caller lacks what it requires of {claims}")
    };
    let rows: Vec<(&str, &str, Value, String)> = vec![
        ("POST", "/koodrive/ose/v1/users", hr(), "hr: allowed".into()),
        ("POST", "/koodrive/ose/v1/users/", hr(), "hr: allowed".into()),
        ("PUT", "/koodrive/ose/v1/users/7", hr(), "hr: allowed".into()),
        ("DELETE", "/koodrive/ose/v1/users/7/x/y", hr(), "hr: allowed".into()),
        ("POST", "/koodrive/ose/v1/users/batchimport/preverify", hr(), "hr: allowed".into()),
        ("DELETE", "/koodrive/ose/v1/users/7", json!({}), neither.clone()),
        ("DELETE", "/koodrive/ose/v1/users/7", json!({"groups": []}), neither.clone()),
        ("DELETE", "/koodrive/ose/v1/users/7", json!({"groups": null}), neither.clone()),
        ("DELETE", "/koodrive/ose/v1/users/7", json!({"groups": "hr"}), roles.clone()),
        ("DELETE", "/koodrive/ose/v1/users/7", json!({"groups": {"hr": 1}}), neither.clone()),
        ("DELETE", "/koodrive/ose/v1/users/7", json!({"groups": ["hr2", "HR"]}), neither.clone()),
        ("DELETE", "/koodrive/ose/v1/users/7", json!({"groups": [["hr"]]}), neither.clone()),
        ("DELETE", "/koodrive/ose/v1/users/7", json!({"groups": "hr x"}), neither.clone()),
        (
            "DELETE",
            "/koodrive/ose/v1/users/7",
            json!({"realm_access": {"roles": "tools"}}),
            groups.clone(),
        ),
        (
            "DELETE",
            "/koodrive/ose/v1/users/7",
            json!({"realm_access": "tools", "groups": "hr"}),
            roles.clone(),
        ),
        (
            "DELETE",
            "/koodrive/ose/v1/users/7",
            json!({"/realm_access/roles": "tools", "groups": "hr"}),
            roles.clone(),
        ),
        (
            "DELETE",
            "/koodrive/ose/v1/users/7",
            json!({"groups": ["koodrive-admins"], "realm_access": {"roles": ["tools"]}}),
            "hr: allowed".into(),
        ),
        ("GET", "/koodrive/ose/v1/users/7", hr(), scope.into()),
        ("GET", "/koodrive/ose/v1/users/7", read.clone(), "3: allowed".into()),
        (
            "GET",
            "/koodrive/ose/v1/users/7",
            json!({"scope": ["koodrive.read"]}),
            "3: allowed".into(),
        ),
        ("GET", "/koodrive/ose/v1/users/7", json!({"scope": "koodrive.reader"}), scope.into()),
        ("GET", "/koodrive/ose/v1/users/7", json!({"scope": "Koodrive.Read"}), scope.into()),
        ("GET", "/koodrive/ose/v1/users/7", json!({"scp": "koodrive.read"}), scope.into()),
        ("GET", "/koodrive/ose/v1/userList", read.clone(), "3: allowed".into()),
        ("GET", "/koodrive/ose/v1/departments", read.clone(), "3: allowed".into()),
        ("GET", "/koodrive/ose/v1/departments/1/2/3", read.clone(), "3: allowed".into()),
        ("GET", "/koodrive/ose/v1/users", read.clone(), unnamed.into()),
        ("GET", "/koodrive/ose/v1/users/7/8", read.clone(), unnamed.into()),
        ("GET", "/koodrive/ose/v1/userLists", read.clone(), unnamed.into()),
        ("HEAD", "/koodrive/ose/v1/users/7", read.clone(), unnamed.into()),
        ("OPTIONS", "/koodrive/ose/v1/users", hr(), unnamed.into()),
        ("PATCH", "/koodrive/ose/v1/users/7", hr(), unnamed.into()),
        ("POST", "/koodrive/ose/v1/user/expand/7", hr(), nobody.into()),
        ("POST", "/koodrive/ose/v1/user/expand", hr(), unnamed.into()),
        ("POST", "/koodrive/ose/v1/user/expand/7/8", hr(), unnamed.into()),
        ("GET", "/koodrive/ose/v1/user/expand/7", hr(), unnamed.into()),
        ("GET", "/koodrive/ose/v1/space/7", level.clone(), "levels: allowed".into()),
        (
            "DELETE",
            "/koodrive/ose/v1/space",
            json!({"level": 8, "internal": true}),
            "levels: allowed".into(),
        ),
        (
            "GET",
            "/koodrive/ose/v1/space/7",
            json!({"level": [1, 7], "internal": true}),
            "levels: allowed".into(),
        ),
        ("GET", "/koodrive/ose/v1/space/7", json!({"level": 9, "internal": true}), levels("level")),
        (
            "GET",
            "/koodrive/ose/v1/space/7",
            json!({"level": "7", "internal": true}),
            levels("level"),
        ),
        (
            "GET",
            "/koodrive/ose/v1/space/7",
            json!({"level": 7.5, "internal": true}),
            levels("level"),
        ),
        (
            "GET",
            "/koodrive/ose/v1/space/7",
            json!({"level": 7, "internal": false}),
            levels("internal"),
        ),
        (
            "GET",
            "/koodrive/ose/v1/space/7",
            json!({"level": 7, "internal": "true"}),
            levels("internal"),
        ),
        ("GET", "/koodrive/ose/v1/space/7", json!({}), levels("internal, level")),
        ("GET", "/koodrive/ose/v1/files/7/detail", json!({}), "files: allowed".into()),
        ("DELETE", "/koodrive/ose/v1/files/7/detail", json!({}), "files: allowed".into()),
        ("GET", "/koodrive/ose/v1/files//detail", json!({}), unnamed.into()),
        ("GET", "/koodrive/ose/v1/files/detail", json!({}), unnamed.into()),
        ("POST", "/koodrive/ose/v9/jobs", json!({}), "files: allowed".into()),
        ("POST", "/koodrive/ose/v9/x/jobs", json!({}), unnamed.into()),
        ("HEAD", "/koodrive/ose/v1/userList", read.clone(), unnamed.into()),
        ("GET", "/koodrive/ose/v1/userlist", read.clone(), "3: allowed".into()),
        ("GET", "/koodrive/ose/v1/userList/", json!({"scope": "koodrive.read\tx"}), scope.into()),
        (
            "GET",
            "/koodrive/ose/v1/userList",
            json!({"scope": "x  koodrive.read"}),
            "3: allowed".into(),
        ),
        ("GET", "/koodrive/ose/v1/userList", json!({"scope": true}), scope.into()),
        ("GET", "/koodrive/ose/v1/userList", json!({"scope": ""}), scope.into()),
        (
            "GET",
            "/koodrive/ose/v1/userList",
            json!({"scope": {"koodrive.read": true}}),
            scope.into(),
        ),
        ("GET", "/koodrive/ose/v1/departments/", json!({"Scope": "koodrive.read"}), scope.into()),
        ("GET", "/koodrive/ose/v1/departmentsx", read.clone(), unnamed.into()),
        ("POST", "/koodrive/ose/v1/departments/1", read.clone(), unnamed.into()),
        ("POST", "/koodrive/ose/v1/User/Expand/7", hr(), nobody.into()),
        (
            "POST",
            "/koodrive/ose/v1/user/expand/7/",
            json!({"groups": ["koodrive-admins"]}),
            nobody.into(),
        ),
        ("DELETE", "/koodrive/ose/v1/user/expand/7", hr(), unnamed.into()),
        ("PUT", "/koodrive/ose/v1/users", hr(), "hr: allowed".into()),
        (
            "PUT",
            "/koodrive/ose/v1/users",
            json!({"realm_access": {"roles": []}, "groups": "hr"}),
            roles.clone(),
        ),
        (
            "PUT",
            "/koodrive/ose/v1/users",
            json!({"realm_access": {"roles": ["Tools"]}, "groups": "hr"}),
            roles.clone(),
        ),
        (
            "PUT",
            "/koodrive/ose/v1/users",
            json!({"realm_access": {"roles": {"0": "tools"}}, "groups": "hr"}),
            roles.clone(),
        ),
        (
            "PUT",
            "/koodrive/ose/v1/users",
            json!({"realm_access": [{"roles": "tools"}], "groups": "hr"}),
            roles.clone(),
        ),
        (
            "PUT",
            "/koodrive/ose/v1/users",
            json!({"realm_access": {"roles": ["tools"]}, "groups": true}),
            groups.clone(),
        ),
        (
            "PUT",
            "/koodrive/ose/v1/users",
            json!({"realm_access": {"roles": ["tools"]}, "groups": ["x", 1, "hr"]}),
            "hr: allowed".into(),
        ),
        (
            "GET",
            "/koodrive/ose/v1/space/7",
            json!({"level": 7.0, "internal": true}),
            levels("level"),
        ),
        (
            "GET",
            "/koodrive/ose/v1/space/7",
            json!({"level": [], "internal": true}),
            levels("level"),
        ),
        (
            "GET",
            "/koodrive/ose/v1/space/7",
            json!({"level": -7, "internal": true}),
            levels("level"),
        ),
        (
            "GET",
            "/koodrive/ose/v1/space/7",
            json!({"level": 7, "internal": [true]}),
            "levels: allowed".into(),
        ),
        ("GET", "/koodrive/ose/v1/space/7", json!({"level": 7, "internal": 1}), levels("internal")),
        (
            "GET",
            "/koodrive/ose/v1/space/7",
            json!({"level": null, "internal": null}),
            levels("internal, level"),
        ),
        ("PATCH", "/koodrive/ose/v1/SPACE/a/b/c", level.clone(), "levels: allowed".into()),
        ("GET", "/koodrive/ose/v1/spaces/7", level.clone(), unnamed.into()),
        ("GET", "/koodrive/ose/v1/files/7/detail/x", json!({}), unnamed.into()),
        ("GET", "/koodrive/ose/v1/files/%2a/detail", json!({}), "files: allowed".into()),
        ("GET", "/koodrive/ose/jobs", json!({}), unnamed.into()),
        ("OPTIONS", "/koodrive/ose/v1/jobs/", json!({}), "files: allowed".into()),
        ("GET", "/", json!({}), unnamed.into()),
        ("GET", "/koodrive", json!({}), unnamed.into()),
    ];
    let mut wrong = Vec::new();
    for (method, path, claims, expected) in &rows {
        let found = table.verdict(method, path, &table.caller(claims));
        if found != *expected {
            wrong.push(format!("{method} {path} {claims}: expected {expected}, found {found}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_rule_of_one_issuer_does_not_name_the_calls_of_another() {
    let table = Table::of(RULES);
    let partner = table.caller_of("partner", &hr());
    let unnamed = "otherwise: no rule names this call, and what no rule names is denied";
    assert_eq!(table.verdict("DELETE", "/koodrive/ose/v1/users/7", &partner), unnamed);
    assert_eq!(table.verdict("POST", "/koodrive/ose/v1/jobs", &partner), "files: allowed");
}

#[test]
fn what_no_rule_names_is_allowed_by_default_and_without_rules_nothing_is_asked() {
    let table = Table::of("[[authorize.rules]]\nmethods = [\"DELETE\"]\ndeny = true");
    assert!(table.authorizer.is_on());
    let alice = table.caller(&json!({}));
    assert_eq!(table.verdict("GET", "/koodrive/x", &alice), "otherwise: allowed");
    let denied = table.verdict("DELETE", "/koodrive/x", &alice);
    assert_eq!(denied, "1: rule 1 allows nobody");
    assert!(!Table::of("").authorizer.is_on());
    assert!(!Table::of("mode = \"off\"\notherwise = \"deny\"").authorizer.is_on());
    assert!(Table::of("mode = \"observe\"\notherwise = \"deny\"").authorizer.observes());
}

#[test]
fn rules_may_begin_with_the_base_path_or_behind_it() {
    let rules = r#"
        [[authorize.rules]]
        methods = ["DELETE"]
        paths = ["/koodrive/ose/v1/users/**"]
        deny = true
        [[authorize.rules]]
        methods = ["POST"]
        paths = ["/gw/koodrive/ose/v1/users/**"]
        deny = true
    "#;
    let table = Table::behind("https://proxy.example.com/gw", rules);
    let alice = table.caller(&json!({}));
    for (method, path, expected) in [
        ("DELETE", "/gw/koodrive/ose/v1/users/7", "1: rule 1 allows nobody"),
        ("POST", "/gw/koodrive/ose/v1/users/7", "2: rule 2 allows nobody"),
        ("DELETE", "/gw/x/koodrive/ose/v1/users/7", "otherwise: allowed"),
    ] {
        assert_eq!(table.verdict(method, path, &alice), expected, "{path}");
    }
}

#[test]
fn odd_tables_are_remarked_upon() {
    let rules = r#"
        [[authorize.rules]]
        paths = ["/koodrive/ose/v1/users/**"]
        claims = { groups = "hr" }
        [[authorize.rules]]
        name = "late"
        methods = ["DELETE"]
        paths = ["/koodrive/ose/v1/users/*"]
        deny = true
        [[authorize.rules]]
        paths = ["/admin/**", "/koodrive/ose/v3/users"]
        deny = true
        claims = { a = "b" }
        [[authorize.rules]]
        methods = ["GET"]
        paths = ["/koodrive/**", "/koodrive/ose/v1/users/*/x/y", "/**"]
    "#;
    let config = Table::of(rules).config;
    let remarks = koodrive_gateway::authorize::review(&config.authorize, "", "/koodrive/");
    assert_eq!(
        remarks,
        [
            "authorize rule 2 (late) never decides: authorize rule 1 names all its calls before",
            "authorize rule 3 denies everybody, so its claims decide nothing",
            "authorize rule 3: /admin/** is outside of /koodrive/, where no call goes",
            "authorize rule 3: /koodrive/ose/v3/users names no call that KooDrive documents",
            "authorize rule 4: /koodrive/ose/v1/users/*/x/y names no call that KooDrive documents",
        ]
    );
}
