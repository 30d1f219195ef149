//! `check-batch`.

use serde_json::{Value, json};

use super::{fed, koodrive_gateway, with_environment};
use crate::support::scratch::Scratch;
use crate::support::world::GOOD_BATCH;

const BAD: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/tests/fixtures/batches/bad/batch_malformed--capacity-string.json"
);
const GOOD: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/batches/good/compact.json");
/// The example of the API page, which lacks a comma.
const PAGE: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/tests/fixtures/batches/bad/batch_not_json--api-page-example-indented.json"
);

#[tokio::test]
async fn a_good_batch_is_called_good() {
    koodrive_gateway(&["check-batch", GOOD]).await.expect(0, &["a valid batch of 1 user"]);
    let said = koodrive_gateway(&["check-batch", GOOD, "--format", "json"]).await.expect(0, &[]);
    let told: Value = serde_json::from_str(&said.stdout).unwrap();
    assert_eq!((&told["reason"], &told["errors"]), (&Value::Null, &json!([])));
}

#[tokio::test]
async fn a_bad_batch_is_shown_with_the_spot_for_people_and_for_programs() {
    let said = koodrive_gateway(&["check-batch", BAD]).await;
    let spot = format!("{BAD}:4:26 /users/0/personalCapacity\n");
    said.expect(1, &[&spot, "found a string", "^", "batch_malformed: 1 fault"]);

    let said = koodrive_gateway(&["check-batch", BAD, "--format", "json"]).await.expect(1, &[]);
    let told: Value = serde_json::from_str(&said.stdout).unwrap();
    assert_eq!(told["reason"], "batch_malformed");
    let error = &told["errors"][0];
    assert_eq!(
        (&error["pointer"], &error["line"], &error["column"]),
        (&json!("/users/0/personalCapacity"), &json!(4), &json!(26))
    );

    let said = koodrive_gateway(&["check-batch", BAD, "--language", "zh"]).await;
    said.expect(1, &["必须是整数"]);
    koodrive_gateway(&["check-batch", PAGE]).await.expect(1, &["batch_not_json: 1 fault"]);
}

#[tokio::test]
async fn standard_input_is_read_with_a_dash_or_without_a_file() {
    for arguments in [&["check-batch", "-"][..], &["check-batch"]] {
        fed(arguments, GOOD_BATCH).await.expect(0, &["standard input: a valid batch of 2 users"]);
        fed(arguments, "[]").await.expect(1, &["standard input:1:1"]);
    }
}

#[tokio::test]
async fn the_rules_are_those_of_the_configuration() {
    let scratch = Scratch::new().unwrap();
    let write = |limit: &str| {
        let text = format!(
            "[[accept.issuers]]\nissuer = \"https://sso.example.com\"\naudiences = [\"a\"]\n\
             [token]\nendpoint = \"https://sso.example.com/token\"\nclient_id = \"gateway\"\n\
             client_secret_file = \"secret\"\n\
             [forward]\nupstream = \"https://koodrive.example.com\"\n[validate]\n{limit}\n"
        );
        scratch.write("secret", "secret").unwrap();
        scratch.write("gateway.toml", text).unwrap().to_str().unwrap().to_owned()
    };
    for (limit, complaint) in [
        ("max_users = 1", "users may hold at most 1 users, found 2"),
        ("max_body = \"100B\"", "standard input: larger than validate.max_body (100 bytes)"),
        ("max_dept_name_chars = 2", "targetDeptName"),
    ] {
        let config = write(limit);
        let said = fed(&["check-batch", "--config", &config], GOOD_BATCH).await;
        said.expect(1, &[complaint]);
    }
    let arguments = ["check-batch", "--config", &write("max_body = '100B'"), "--format", "json"];
    let said = fed(&arguments, GOOD_BATCH).await.expect(1, &[]);
    let told: Value = serde_json::from_str(&said.stdout).unwrap();
    assert_eq!(told, json!({"reason": "body_too_large", "errors": []}));
    let config = write("max_userz = 1");
    let said = fed(&["check-batch", "--config", &config], GOOD_BATCH).await.expect(2, &[]);
    said.complains("did you mean `max_users`?");
}

#[tokio::test]
async fn the_environment_sets_the_rules_as_it_does_for_a_gateway() {
    const ONE: (&str, &str) = ("KOODRIVE_GATEWAY__VALIDATE__MAX_USERS", "1");
    let scratch = Scratch::new().unwrap();
    let write =
        |name: &str, text: &str| scratch.write(name, text).unwrap().to_str().unwrap().to_owned();
    // What a gateway needs besides is not asked for, nor are the files that only it can read.
    let narrow = write("narrow.toml", "[validate]\nmax_users = 1\n");
    let wide = write("wide.toml", "[validate]\nmax_users = 9000\n");
    let secret = "[token]\nclient_secret_file = \"/run/secrets/nowhere\"\n";
    let away = write("away.toml", &format!("{secret}[validate]\nmax_users = 1\n"));
    let file = |name| ("KOODRIVE_GATEWAY_CONFIG", name);
    let refused = "users may hold at most 1 users, found 2";
    let passed = "standard input: a valid batch of 2 users";
    for (arguments, environment, code, told) in [
        (&[][..], &[][..], 0, passed),
        (&[], &[ONE], 1, refused),
        (&[], &[file(&*narrow)], 1, refused),
        (&[], &[file(&away)], 1, refused),
        (&[], &[file(&wide)], 0, passed),
        (&[], &[file(&wide), ONE], 1, refused),
        (&["--config", &wide], &[file(&narrow)], 0, passed),
        (&["--config", &wide], &[ONE], 1, refused),
        (&[], &[("KOODRIVE_GATEWAY__FORWARD__UPSTREAM", "https://k.example.com")], 0, passed),
    ] {
        let arguments = [&["check-batch"], arguments].concat();
        with_environment(&arguments, environment, GOOD_BATCH).await.expect(code, &[told]);
    }
    let misspelt = write("misspelt.toml", "[validat]\nmax_users = 1\n");
    for (variable, complaint) in [
        (("KOODRIVE_GATEWAY__VALIDATE__MAX_USERZ", "1"), "KOODRIVE_GATEWAY__VALIDATE__MAX_USERS"),
        (("KOODRIVE_GATEWAY__VALIDATE__MAX_USERS", "some"), "expected an integer from 1 to"),
        (
            file(&misspelt),
            "misspelt.toml:1:2: key `validat`: unknown key; did you mean `validate`?",
        ),
        (file("/nowhere.toml"), "/nowhere.toml: cannot read the configuration: no such file"),
    ] {
        let said = with_environment(&["check-batch"], &[variable], GOOD_BATCH).await;
        said.expect(2, &[]).complains(complaint);
    }
}

#[tokio::test]
async fn a_file_that_is_not_there_is_a_failure_and_no_verdict() {
    let said = koodrive_gateway(&["check-batch", "/nowhere/batch.json"]).await.expect(3, &[]);
    said.complains("/nowhere/batch.json: ");
}

#[tokio::test]
async fn several_files_are_judged_each_for_itself() {
    let said = koodrive_gateway(&["check-batch", GOOD, BAD]).await;
    said.expect(1, &["valid batch of 1 user", &format!("{BAD}:4:26"), "batch_malformed: 1 fault"]);
    let said = koodrive_gateway(&["check-batch", GOOD, BAD, "--format", "json"]).await;
    let told: Value = serde_json::from_str(&said.expect(1, &[]).stdout).unwrap();
    let rows: Vec<_> =
        told.as_array().unwrap().iter().map(|t| (&t["file"], &t["reason"])).collect();
    assert_eq!(rows, [(&json!(GOOD), &Value::Null), (&json!(BAD), &json!("batch_malformed"))]);

    // What cannot be read keeps nobody from the rest, and is no verdict.
    let said = koodrive_gateway(&["check-batch", "/nowhere.json", "/", GOOD]).await;
    let said = said.expect(3, &["valid batch of 1 user"]);
    said.complains("cannot read /nowhere.json: no such file");
    said.complains("cannot read /: it is a directory");
}

#[tokio::test]
async fn a_misspelt_member_is_found_out() {
    let batch =
        r#"{"curDepId": 1, "users": [{"personalCapacty": 0, "isAllocateCapacity": false}]}"#;
    let said = fed(&["check-batch"], batch).await;
    said.expect(
        1,
        &[
            "curDeptId is required but missing: add it as an integer; did you mean it by \
             `curDepId`?",
            "did you mean it by `personalCapacty`?",
        ],
    );
    let other = r#"{"department": 1, "users": []}"#;
    let said = fed(&["check-batch"], other).await.expect(1, &["curDeptId is required"]);
    assert!(!said.stdout.contains("did you mean"), "{said:?}");
}

#[tokio::test]
async fn what_is_no_json_at_all_and_what_is_no_number_is_told_kindly() {
    for (body, told) in [
        ("<!doctype html>", "found something that is not JSON at all"),
        ("curDeptId,users\n1,2\n", "found something that is not JSON at all"),
        ("name,capacity\nA,10\n", "found something that is not JSON at all"),
        ("PK\u{3}\u{4}", "found something that is not JSON at all"),
        (r#"{"curDeptId": NaN, "users": []}"#, "found `NaN` or `Infinity`: JSON has no such"),
        (r#"{"curDeptId": -Infinity, "users": []}"#, "found `NaN` or `Infinity`: JSON has no"),
        (r#"{"curDeptId": True}"#, "true, false and null are lower case"),
    ] {
        fed(&["check-batch"], body).await.expect(1, &[told, "batch_not_json: 1 fault"]);
    }
}
