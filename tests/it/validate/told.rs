//! How findings are told: two languages, a terminal, a machine.

use koodrive_gateway::config::ValidateConfig;
use koodrive_gateway::validate::{BatchRules, Language, Report};
use serde_json::json;

use super::{USER, check, unknown, user, users};

fn report(body: &str, language: Language, width: usize) -> String {
    let verdict = check(body.as_bytes());
    let body = body.as_bytes();
    Report { name: "batch.json", body, verdict: &verdict, language, width, colours: false }
        .to_string()
}

#[test]
fn the_language_header_chooses() {
    for value in ["zh", "zh-CN", "zh_cn", "ZH-Hans", "Zh", " zh-TW"] {
        assert_eq!(Language::of(value), Language::Chinese, "{value}");
    }
    for value in ["", "en-US", "en_us", "de", "z", "中文", "*"] {
        assert_eq!(Language::of(value), Language::English, "{value}");
    }
}

#[test]
fn findings_are_told_in_chinese() {
    for (body, sentence) in [
        ("{\"curDeptId\":1 \"users\":[]}", "此处应为 `,` 或 `}`，实际为双引号：其前缺少逗号"),
        ("", "请求体必须是 JSON 对象，实际为空：请发送一个对象"),
        ("[]", "请求体必须是 JSON 对象，实际为数组：请发送 {\"curDeptId\": …, \"users\": […]}"),
        (
            &user("\"personalCapacity\":\"1\",\"isAllocateCapacity\":true"),
            "personalCapacity 必须是整数，实际为字符串：请去掉引号",
        ),
        (&user("\"personalCapacity\":1"), "缺少必填的 isAllocateCapacity：请添加，类型为布尔值"),
        (
            &format!("{{\"curDeptId\":\"{}\",\"users\":[{USER}]}}", "0aF4".repeat(8)),
            "curDeptId 必须是该部门在 KooDrive 中的数字 ID，实际为 32 位十六进制字符串，\
             即 OrgID 的 deptId：请填写 KooDrive 部门列表中该部门的 `id`，只写数字",
        ),
        (&users("1"), "users 的每个元素必须是对象，实际为数字：请用 { } 括起每个用户"),
        (
            &unknown("{\"a\":1,\"a\":1}"),
            "该成员在同一对象中只能出现一次，实际重复出现：请删除其中一个",
        ),
    ] {
        let malformed = check(body.as_bytes()).expect_err(body);
        assert_eq!(malformed.findings[0].text(Language::Chinese), sentence);
    }
}

#[test]
fn no_sentence_repeats_a_value() {
    let secret = "s3cretvalue";
    for body in [
        user(&format!("\"personalCapacity\":\"{secret}\",\"isAllocateCapacity\":\"{secret}\"")),
        user(&format!("\"targetDeptName\":[\"{secret}\"]")),
        user(&format!("\"targetDeptName\":\"{}\"", secret.repeat(9))),
        format!("{{\"curDeptId\":{secret}}}"),
        format!("{{\"curDeptId\":\"\\{secret}\"}}"),
        secret.to_owned(),
        users("{\"personalCapacity\":-77123,\"isAllocateCapacity\":true}"),
        users("{\"personalCapacity\":77123,\"isAllocateCapacity\":false}"),
    ] {
        let malformed = check(body.as_bytes()).expect_err(&body);
        for finding in &malformed.findings {
            for language in [Language::English, Language::Chinese] {
                let text = serde_json::to_string(&finding.view(language)).expect("plain data");
                assert!(!text.contains("s3cret") && !text.contains("77123"), "{text}");
            }
        }
    }
}

#[test]
fn a_terminal_sees_the_line_and_a_caret() {
    let body = format!("{{\n\t\"curDeptId\": \"12\",\n  \"users\": [{USER}]\n}}\n");
    assert_eq!(
        report(&body, Language::English, 80),
        "batch.json:2:15 /curDeptId\n  curDeptId must be an integer, found a string: write the \
         digits without quotes\n    2 |  \"curDeptId\": \"12\",\n      |               ^\n\n\
         batch_malformed: 1 fault\n"
    );
    assert_eq!(
        report(&users(USER), Language::English, 80),
        "batch.json: a valid batch of 1 user\n"
    );
    assert_eq!(report(&users(USER), Language::Chinese, 80), "batch.json：批次正确，共 1 个用户\n");
}

#[test]
fn long_lines_are_cut_around_the_fault() {
    let many = vec![USER; 300].join(",");
    for before in ["", "\n\n"] {
        let body =
            format!("{before}{{\"curDeptId\":1,\"users\":[{many},▲7,{many}]}}").replace('▲', "");
        let text = report(&body, Language::English, 60);
        let lines: Vec<_> = text.lines().collect();
        assert!(lines.iter().skip(2).all(|line| line.chars().count() <= 60), "{text}");
        let caret_at = lines[3].chars().position(|char| char == '^').expect("a caret");
        assert_eq!(lines[2].chars().nth(caret_at), Some('7'), "{text}");
        assert!(lines[2].ends_with('…') && lines[2].contains("| …"), "{text}");
    }
}

#[test]
fn the_caret_stands_right_after_wide_and_hostile_characters() {
    // Wide characters take two columns, the rest one; nothing reaches the terminal raw.
    let body = unknown("[\"研发😀\", \"\u{202e}\u{301}\u{200b}\u{7f}\", .5]");
    let text = report(&body, Language::English, 200);
    let lines: Vec<_> = text.lines().collect();
    let shown = lines[2].split('.').next().expect("the fault");
    let columns: usize =
        shown.chars().map(|char| if "研发😀".contains(char) { 2 } else { 1 }).sum();
    assert_eq!(lines[3].chars().position(|char| char == '^'), Some(columns), "{text}");
    assert!(!text.contains(['\u{202e}', '\u{301}', '\u{200b}', '\u{7f}']), "{text}");
    let body = "{\"\u{1b}[31m\":1}";
    assert!(!report(body, Language::English, 80).contains('\u{1b}'));
}

#[test]
fn a_machine_sees_reason_and_errors() {
    let rules = BatchRules::new(&ValidateConfig { max_findings: 1, ..ValidateConfig::default() });
    let body = users("{}");
    let verdict = rules.check(body.as_bytes());
    let mut report = Report {
        name: "batch.json",
        body: body.as_bytes(),
        verdict: &verdict,
        language: Language::English,
        width: 80,
        colours: false,
    };
    assert_eq!(
        serde_json::to_value(&report).expect("plain data"),
        json!({
            "reason": "batch_malformed",
            "errors": [{
                "pointer": "/users/0/personalCapacity",
                "line": 1,
                "column": 43,
                "reason": "personalCapacity is required but missing: add it as an integer",
            }],
            "more": 1,
        })
    );
    assert!(report.to_string().ends_with("batch_malformed: 2 faults, the first 1 shown\n"));
    let good = check(users(USER).as_bytes());
    report.verdict = &good;
    let value = serde_json::to_value(&report).expect("plain data");
    assert_eq!(value, json!({"reason": null, "errors": [], "more": 0}));
}
