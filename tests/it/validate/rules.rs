//! What a batch must say, beyond being JSON.

use koodrive_gateway::config::{UnknownFields, ValidateConfig};
use koodrive_gateway::validate::{BatchRules, Language, MalformedKind};

use super::{USER, expect, expect_malformed, expect_users, unknown, user, users};

#[test]
fn good_batches_pass() {
    let many = vec![USER; 1000].join(",");
    for (body, count) in [
        (users(USER), 1),
        (users(&[USER; 3].join(" ,\n\t")), 3),
        (users(&many), 1000),
        (user(r#""personalCapacity":0,"isAllocateCapacity":false"#), 1),
        (user(r#""isAllocateCapacity":false,"personalCapacity":0"#), 1),
        (user(r#""targetDeptName":null,"personalCapacity":1,"isAllocateCapacity":true"#), 1),
        (user(r#""targetDeptName":"","personalCapacity":1,"isAllocateCapacity":true"#), 1),
        (user(r#""personalCapacity":9223372036854775807,"isAllocateCapacity":true"#), 1),
        (user(r#""personalCapacity":1000000000000000000,"isAllocateCapacity":true"#), 1),
        (user(r#""personal\u0043apacity":1,"isAllocateCapacit\u0079":true"#), 1),
        (user(r#""a":1,"b":[],"c":{},"personalCapacity":1,"isAllocateCapacity":true"#), 1),
        (format!(r#"{{"users":[{USER}],"curDeptId":1}}"#), 1),
        (format!(r#" {{ "curDeptId" : 9223372036854775807 , "users" : [ {USER} ] }} "#), 1),
        (format!("\r\n\t{{\r\n\t\"curDeptId\"\t:1\r,\"users\"\n:[\r{USER}\n]\n}}\r\n"), 1),
        (unknown("null"), 1),
        (unknown(r#"[1,-0,2.5,1e308,1E-999,true,false,null,"",{"k":{"k":[{"k":0}]}},[[]]]"#), 1),
        (unknown("[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]"), 1),
        (unknown(r#"{"":1,"a":2,"A":3,"users":4,"users ":5,"curDeptId":"6"}"#), 1),
        (unknown(r#"{"1":1,"2":1,"3":1,"4":1,"5":1,"6":1,"7":1,"8":1,"9":1,"10":1,"1 ":1}"#), 1),
        (unknown("18446744073709551616"), 1),
    ] {
        expect_users(&body, count);
    }
}

const ORG_ID: &str = "/curDeptId: curDeptId must be KooDrive's numeric id of the department, \
    found a string of 32 hexadecimal digits, which is how OrgID writes its deptId: give the \
    department's `id` from KooDrive's department list, as plain digits";

#[test]
fn cur_dept_id_is_an_exact_integer() {
    let integer = "/curDeptId: curDeptId must be an integer, found";
    let [org_id, org_id_digits, too_long, too_short, no_hex] =
        ["0aF4".repeat(8), "1234".repeat(8), "0aF4".repeat(9), "0aF4".repeat(7), "0aG4".repeat(8)]
            .map(|id| format!("▲\"{id}\""));
    let range = "/curDeptId: curDeptId must be from 1 to 9223372036854775807, found";
    for (value, wanted) in [
        ("▲\"10\"", format!("{integer} a string: write the digits without quotes")),
        (&org_id, ORG_ID.to_owned()),
        (&org_id_digits, ORG_ID.to_owned()),
        (&too_long, format!("{integer} a string: write the digits without quotes")),
        (&too_short, format!("{integer} a string: write the digits without quotes")),
        (&no_hex, format!("{integer} a string: write the digits without quotes")),
        ("▲null", format!("{integer} null: write plain digits")),
        ("▲true", format!("{integer} a boolean: write plain digits")),
        ("▲[1]", format!("{integer} an array: write plain digits")),
        ("▲{}", format!("{integer} an object: write plain digits")),
        ("▲10.0", format!("{integer} a number with a fraction: write plain digits")),
        ("▲1e1", format!("{integer} a number with an exponent: write plain digits")),
        ("▲1E+1", format!("{integer} a number with an exponent: write plain digits")),
        ("▲1e400", format!("{integer} a number with an exponent: write plain digits")),
        ("▲1.5e3", format!("{integer} a number with a fraction: write plain digits")),
        ("▲-0", format!("{integer} minus zero: write plain digits")),
        ("▲-0.0", format!("{integer} a number with a fraction: write plain digits")),
        ("▲0", format!("{range} a smaller integer: give the id of an existing department")),
        ("▲-1", format!("{range} a smaller integer: give the id of an existing department")),
        (
            "▲-99999999999999999999",
            format!("{range} a smaller integer: give the id of an existing department"),
        ),
        (
            "▲9223372036854775808",
            format!("{range} a larger integer: check that no digit was added"),
        ),
        (
            "▲18446744073709551617",
            format!("{range} a larger integer: check that no digit was added"),
        ),
        (
            "▲100000000000000000000000000000000000000001",
            format!("{range} a larger integer: check that no digit was added"),
        ),
    ] {
        expect_malformed(&format!(r#"{{"curDeptId":{value},"users":[{USER}]}}"#), &[&wanted]);
    }
}

#[test]
fn a_batch_is_an_object_with_users() {
    let root = ": the body must be a JSON object, found";
    let root_cure = "send {\"curDeptId\": …, \"users\": […]}";
    for (body, found) in [
        ("▲[]", "an array"),
        ("▲\"x\"", "a string"),
        (" \n▲12", "a number"),
        ("▲true", "a boolean"),
        ("▲null", "null"),
    ] {
        expect_malformed(body, &[&format!("{root} {found}: {root_cure}")]);
    }
    let no_department = "/curDeptId: curDeptId is required but missing: add it as an integer";
    let no_users = "/users: users is required but missing: add it as an array of objects";
    expect_malformed("▲▲{}", &[no_department, no_users]);
    expect_malformed("\t▲{\"curDeptId\":1}", &[no_users]);
    expect_malformed(&format!("\n ▲{{\"users\":[{USER}]}}"), &[no_department]);
    let kind = "/users: users must be an array of objects, found";
    for (value, found) in
        [("▲{}", "an object"), ("▲null", "null"), ("▲\"\"", "a string"), ("▲1", "a number")]
    {
        let body = format!(r#"{{"curDeptId":1,"users":{value}}}"#);
        expect_malformed(&body, &[&format!("{kind} {found}: write [ ] around the users")]);
    }
    expect_malformed(
        r#"{"curDeptId":1,"users":▲[ ]}"#,
        &[
            "/users: users must hold at least one user, found an empty array: add the users to check",
        ],
    );
    let element = "each element of users must be an object, found";
    expect_malformed(
        &users(&format!("▲1,{USER},▲null,▲[{USER}],▲\"a\"")),
        &[
            &format!("/users/0: {element} a number: write {{ }} around each user"),
            &format!("/users/2: {element} null: write {{ }} around each user"),
            &format!("/users/3: {element} an array: write {{ }} around each user"),
            &format!("/users/4: {element} a string: write {{ }} around each user"),
        ],
    );
}

#[test]
fn users_are_counted() {
    let rules = ValidateConfig { max_users: 2, ..ValidateConfig::default() };
    let body = format!(r#"{{"curDeptId":1,"users": ▲[{USER},{USER},{USER}]}}"#);
    let wanted = "/users: users may hold at most 2 users, found 3: send several batches";
    expect(&rules, MalformedKind::Malformed, &body, &[wanted]);
}

#[test]
fn a_user_has_its_three_members() {
    let no_capacity =
        "/users/0/personalCapacity: personalCapacity is required but missing: add it as an integer";
    let no_flag = "/users/0/isAllocateCapacity: isAllocateCapacity is required but missing: add it as a boolean";
    expect_malformed(&users("▲▲{}"), &[no_capacity, no_flag]);
    expect_malformed(&users(r#"▲{"personalCapacity":1}"#), &[no_flag]);
    expect_malformed(&users(r#"▲{"isAllocateCapacity":true}"#), &[no_capacity]);
    let capacity = "/users/0/personalCapacity: personalCapacity must be";
    for (value, wanted) in [
        ("▲\"10\"", "an integer, found a string: write the digits without quotes"),
        ("▲null", "an integer, found null: write plain digits"),
        ("▲10.0", "an integer, found a number with a fraction: write plain digits"),
        ("▲1e1", "an integer, found a number with an exponent: write plain digits"),
        ("▲1e400", "an integer, found a number with an exponent: write plain digits"),
        ("▲-0", "an integer, found minus zero: write plain digits"),
        ("▲-5", "from 0 to 9223372036854775807, found a negative integer: give 0 or more"),
        (
            "▲9223372036854775808",
            "from 0 to 9223372036854775807, found a larger integer: check that no digit was added",
        ),
    ] {
        let body = user(&format!(r#""isAllocateCapacity":true,"personalCapacity": {value}"#));
        expect_malformed(&body, &[&format!("{capacity} {wanted}")]);
    }
    let flag = "/users/0/isAllocateCapacity: isAllocateCapacity must be a boolean, found";
    for (value, found) in [
        ("▲\"true\"", "a string"),
        ("▲1", "a number"),
        ("▲null", "null"),
        ("▲[true]", "an array"),
        ("▲{}", "an object"),
    ] {
        let body = user(&format!(r#""personalCapacity":7,"isAllocateCapacity":{value}"#));
        expect_malformed(&body, &[&format!("{flag} {found}: write true or false, without quotes")]);
    }
    let name = "/users/0/targetDeptName: targetDeptName must be a string or null, found";
    for (value, found) in
        [("▲1", "a number"), ("▲false", "a boolean"), ("▲[]", "an array"), ("▲{}", "an object")]
    {
        let members = r#""personalCapacity":1,"isAllocateCapacity":true,"targetDeptName":"#;
        let cure = "write it in double quotes, or omit it";
        expect_malformed(
            &user(&format!("{members}{value}")),
            &[&format!("{name} {found}: {cure}")],
        );
    }
}

#[test]
fn capacity_follows_allocation() {
    let unallocated = "/users/0/personalCapacity: personalCapacity must be 0 when \
        isAllocateCapacity is false, found more: write 0, or set isAllocateCapacity to true";
    let zero = "/users/0/personalCapacity: personalCapacity must be at least 1 when \
        isAllocateCapacity is true, found less: give the capacity in GB, or set \
        isAllocateCapacity to false";
    expect_malformed(&user(r#""personalCapacity":▲1,"isAllocateCapacity":false"#), &[unallocated]);
    expect_malformed(&user(r#""isAllocateCapacity":false,"personalCapacity":▲7"#), &[unallocated]);
    let no_capacity = user(r#""personalCapacity": ▲0,"isAllocateCapacity":true"#);
    expect_malformed(&no_capacity, &[zero]);
    let lax = ValidateConfig {
        require_capacity_when_allocated: false,
        max_capacity: 100,
        ..ValidateConfig::default()
    };
    let rules = BatchRules::new(&lax);
    assert!(rules.check(no_capacity.replace('▲', "").as_bytes()).is_ok());
    let ceiling = user(r#""personalCapacity":▲101,"isAllocateCapacity":true"#);
    let above = "/users/0/personalCapacity: personalCapacity may be at most 100 GB, found more: \
        request less";
    expect(&lax, MalformedKind::Malformed, &ceiling, &[above]);
    assert!(rules.check(ceiling.replace("▲101", "100").as_bytes()).is_ok());
}

#[test]
fn department_names_are_counted_in_scalar_values() {
    let members = |name: &str| {
        user(&format!(r#""targetDeptName":{name},"personalCapacity":1,"isAllocateCapacity":true"#))
    };
    for twenty in [
        "a".repeat(20),
        "研".repeat(20),
        "😀".repeat(20),
        r"\ud83d\ude00".repeat(20),
        r"\u7814".repeat(20),
        r"\n".repeat(20),
        r#"\""#.repeat(20),
        "é研😀\\t\\u0041".repeat(4),
    ] {
        expect_users(&members(&format!("\"{twenty}\"")), 1);
        let wanted = "/users/0/targetDeptName: targetDeptName may have at most 20 characters, \
            found 21: shorten the name";
        expect_malformed(&members(&format!("▲\"{twenty}x\"")), &[wanted]);
        expect_malformed(&members(&format!("▲\"x{twenty}\"")), &[wanted]);
    }
    let unlimited = ValidateConfig { max_dept_name_chars: 0, ..ValidateConfig::default() };
    let body = members(&format!("\"{}\"", "x".repeat(100_000)));
    let rules = BatchRules::new(&unlimited);
    assert!(rules.check(body.as_bytes()).is_ok());
}

#[test]
fn a_member_that_a_lenient_reader_takes_for_a_known_one_is_a_finding() {
    let sentence = |known: &str| {
        format!(
            "the name of this member is too close to {known}: a lenient reader would take it for \
             that; write it exactly so, or rename it"
        )
    };
    let user_with = |name: &str| {
        user(&format!("\"personalCapacity\":1,\"isAllocateCapacity\":true,\"{name}\":▲1"))
    };
    for (known, names) in [
        ("users", &["Users", "USERS", "u_sers", "us-ers", "\\u0055sers", "u\u{17f}ers"][..]),
        ("curDeptId", &["curdeptid", "cur_dept_id", "Cur-Dept-Id", "CURDEPTID"]),
    ] {
        for name in names {
            let body = format!("{{\"curDeptId\":1,\"users\":[{USER}],\"{name}\":▲[{USER}]}}");
            let malformed = BatchRules::new(&ValidateConfig::default())
                .check(body.replace('▲', "").as_bytes())
                .expect_err(name);
            let found = malformed.findings[0].text(Language::English);
            assert_eq!(found, sentence(known), "{name}");
        }
    }
    for (known, name) in [
        ("targetDeptName", "TargetDeptName"),
        ("personalCapacity", "personal_capacity"),
        ("isAllocateCapacity", "is-allocate-capacity"),
        ("isAllocateCapacity", "ISALLOCATECAPACITY"),
    ] {
        expect_malformed(&user_with(name), &[&format!("/users/0/{name}: {}", sentence(known))]);
    }
    // Of another object, or further away.
    for name in ["users ", "curDeptIds", "userz", "curDeptId\u{301}", "targetDeptName2", "User"] {
        expect_users(&unknown(&format!("1,\"{name}\":1")), 1);
        expect_users(&user_with(name).replace('▲', ""), 1);
    }
    // It is told once, also where every unknown member is refused.
    let strict =
        ValidateConfig { unknown_fields: UnknownFields::Reject, ..ValidateConfig::default() };
    expect(
        &strict,
        MalformedKind::Malformed,
        &unknown("1,\"Users\":▲1").replacen("\"x\":", "\"x\":▲", 1),
        &[
            "/x: this member is unknown: remove it; a batch has curDeptId and users",
            &format!("/Users: {}", sentence("users")),
        ],
    );
}

#[test]
fn unknown_members_can_be_refused() {
    let strict =
        ValidateConfig { unknown_fields: UnknownFields::Reject, ..ValidateConfig::default() };
    let body = format!(
        "{{\n\"curDeptId\":1,\"note\":▲{{\"a\":1}},\n\"users\":[{USER},\
         {{\"personalCapacity\":1,\"Note~/\":▲[],\"isAllocateCapacity\":true}}]}}"
    );
    let root = "/note: this member is unknown: remove it; a batch has curDeptId and users";
    let user = "/users/1/Note~0~1: this member is unknown: remove it; a user has targetDeptName, \
        personalCapacity and isAllocateCapacity";
    expect(&strict, MalformedKind::Malformed, &body, &[root, user]);
    // A name of another object is unknown here.
    let body = format!(r#"▲{{"personalCapacity":▲1,"users":[{USER}]}}"#);
    let missing = "/curDeptId: curDeptId is required but missing: add it as an integer";
    let unknown = root.replace("/note", "/personalCapacity");
    expect(&strict, MalformedKind::Malformed, &body, &[missing, &unknown]);
}

#[test]
fn all_faults_are_told_at_once_in_order() {
    expect_malformed(
        "▲{\n  \"users\": [\n    {\"personalCapacity\": ▲\"10\", \"isAllocateCapacity\": true},\n    \
         ▲{\"personalCapacity\": 0},\n    {\"targetDeptName\": ▲\"一二三四五六七八九十一二三四五六七八九十一\", \
         \"targetDeptName\": ▲▲3, \"personalCapacity\": ▲5, \"isAllocateCapacity\": false}\n  ]\n}",
        &[
            "/curDeptId: curDeptId is required but missing: add it as an integer",
            "/users/0/personalCapacity: personalCapacity must be an integer, found a string: \
             write the digits without quotes",
            "/users/1/isAllocateCapacity: isAllocateCapacity is required but missing: add it as \
             a boolean",
            "/users/2/targetDeptName: targetDeptName may have at most 20 characters, found 21: \
             shorten the name",
            "/users/2/targetDeptName: targetDeptName may appear only once in its object, found \
             again: remove one of them",
            "/users/2/targetDeptName: targetDeptName must be a string or null, found a number: \
             write it in double quotes, or omit it",
            "/users/2/personalCapacity: personalCapacity must be 0 when isAllocateCapacity is \
             false, found more: write 0, or set isAllocateCapacity to true",
        ],
    );
}

#[test]
fn faults_beyond_max_findings_are_counted() {
    let rules = ValidateConfig { max_findings: 3, ..ValidateConfig::default() };
    let rules = BatchRules::new(&rules);
    let body = users(&vec!["{}"; 500].join(","));
    let malformed = rules.check(body.as_bytes()).expect_err("no user is complete");
    let pointers: Vec<_> = malformed.findings.iter().map(|f| f.pointer.as_str()).collect();
    let first = ["/users/0/personalCapacity", "/users/0/isAllocateCapacity"];
    assert_eq!(pointers, [&first[..], &["/users/1/personalCapacity"]].concat());
    assert_eq!(malformed.more, 997);
}
