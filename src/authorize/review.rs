//! What is odd about a table of rules: for `check-config`. Nothing of it is an error.

use crate::config::PathSegment::{Any, Literal, Rest};
use crate::config::{AuthorizeConfig, PathSegment, RuleConfig, RuleMethod};

/// One sentence per oddity. `base_path` is that of `forward.upstream`, `prefix` is
/// `forward.prefix`.
pub fn review(config: &AuthorizeConfig, base_path: &str, prefix: &str) -> Vec<String> {
    let mut remarks = Vec::new();
    for (index, rule) in config.rules.iter().enumerate() {
        let name = described(index, rule);
        if let Some(earlier) = shadowed_by(&config.rules, index) {
            let earlier = described(earlier, &config.rules[earlier]);
            remarks.push(format!("{name} never decides: {earlier} names all its calls before"));
        }
        if rule.deny && !rule.claims.is_empty() {
            remarks.push(format!("{name} denies everybody, so its claims decide nothing"));
        }
        for path in &rule.paths {
            // Rules may begin with the base path or behind it.
            let segments = path.segments();
            let behind = without(segments, base_path).unwrap_or(segments);
            if !below(segments, prefix) && !below(segments, &format!("{base_path}{prefix}")) {
                remarks.push(format!("{name}: {path} is outside of {prefix}, where no call goes"));
            } else if ![segments, behind].iter().any(|path| is_documented(path, &rule.methods)) {
                remarks.push(format!("{name}: {path} names no call that KooDrive documents"));
            }
        }
    }
    remarks
}

fn described(index: usize, rule: &RuleConfig) -> String {
    match rule.name.as_str() {
        "" => format!("authorize rule {}", index + 1),
        name => format!("authorize rule {} ({name})", index + 1),
    }
}

/// The earlier rule that names every call of a rule; several that do so only together are not
/// looked for.
fn shadowed_by(rules: &[RuleConfig], index: usize) -> Option<usize> {
    let rule = &rules[index];
    let covers = |wide: &RuleConfig| {
        covers_all(&wide.methods, &rule.methods)
            && covers_all(&wide.issuers, &rule.issuers)
            && (wide.paths.is_empty()
                || !rule.paths.is_empty()
                    && rule.paths.iter().all(|path| {
                        wide.paths.iter().any(|wide| covers_path(wide.segments(), path.segments()))
                    }))
    };
    rules[..index].iter().position(covers)
}

/// Empty means all.
fn covers_all<T: PartialEq>(wide: &[T], narrow: &[T]) -> bool {
    wide.is_empty() || !narrow.is_empty() && narrow.iter().all(|one| wide.contains(one))
}

/// Whether every path of the second pattern is one of the first.
fn covers_path(wide: &[PathSegment], narrow: &[PathSegment]) -> bool {
    match (wide, narrow) {
        ([Rest, ..], _) | ([], []) => true,
        ([Any, wide @ ..], [Any | Literal(_), narrow @ ..]) => covers_path(wide, narrow),
        ([Literal(a), wide @ ..], [Literal(b), narrow @ ..]) => {
            a.eq_ignore_ascii_case(b) && covers_path(wide, narrow)
        }
        _ => false,
    }
}

/// Whether the pattern has paths below the prefix.
fn below(pattern: &[PathSegment], prefix: &str) -> bool {
    let mut pattern = pattern.iter();
    for wanted in segments(prefix) {
        match pattern.next() {
            Some(Rest) => return true,
            Some(Any) => {}
            Some(Literal(found)) if found.eq_ignore_ascii_case(wanted) => {}
            _ => return false,
        }
    }
    true
}

/// The pattern without a base path that it begins with.
fn without<'p>(pattern: &'p [PathSegment], base: &str) -> Option<&'p [PathSegment]> {
    segments(base).try_fold(pattern, |pattern, wanted| match pattern {
        [Literal(found), rest @ ..] if found == wanted => Some(rest),
        _ => None,
    })
}

fn is_documented(pattern: &[PathSegment], methods: &[RuleMethod]) -> bool {
    let named = |method: &RuleMethod| methods.is_empty() || methods.contains(method);
    DOCUMENTED.iter().any(|(method, path)| named(method) && meets(pattern, segments(path)))
}

/// Whether the pattern has a path in common with a documented one, whose `*` stands for an id.
fn meets<'d>(pattern: &[PathSegment], mut documented: impl Iterator<Item = &'d str>) -> bool {
    let mut pattern = pattern.iter();
    loop {
        match (pattern.next(), documented.next()) {
            (Some(Rest), _) | (None, None) => return true,
            (Some(Any), Some(_)) | (Some(_), Some("*")) => {}
            (Some(Literal(a)), Some(b)) if a.eq_ignore_ascii_case(b) => {}
            _ => return false,
        }
    }
}

fn segments(path: &str) -> impl Iterator<Item = &str> {
    path.split('/').filter(|segment| !segment.is_empty())
}

use RuleMethod::{Delete, Get, Post, Put};

/// Calls of KooDrive's API reference.
#[rustfmt::skip]
const DOCUMENTED: &[(RuleMethod, &str)] = &[
    (Get, "/koodrive/ose/v1/userList"),
    (Get, "/koodrive/ose/v1/users/*"),
    (Get, "/koodrive/ose/v1/users/count"),
    (Get, "/koodrive/ose/v1/users/mobile/*"),
    (Post, "/koodrive/ose/v1/users"),
    (Put, "/koodrive/ose/v1/users/*"),
    (Delete, "/koodrive/ose/v1/users/*"),
    (Post, "/koodrive/ose/v1/users/batchimport/preverify"),
    (Post, "/koodrive/ose/v1/user/expand/*"),
    (Get, "/koodrive/ose/v1/departmentList"),
    (Get, "/koodrive/ose/v1/departments/*"),
    (Post, "/koodrive/ose/v1/departments"),
    (Put, "/koodrive/ose/v1/departments/*"),
    (Delete, "/koodrive/ose/v1/departments/*"),
    (Post, "/koodrive/ose/v1/space/*"),
    (Put, "/koodrive/ose/v1/space/*"),
    (Delete, "/koodrive/ose/v1/space/*"),
    (Get, "/koodrive/ose/v2/space/*"),
    (Get, "/koodrive/ose/v1/space/departmentList"),
    (Get, "/koodrive/ose/v1/space/groupList"),
    (Get, "/koodrive/ose/v1/space/userList"),
    (Get, "/koodrive/ose/v1/space/container/*"),
    (Post, "/koodrive/ose/v1/space/group"),
    (Delete, "/koodrive/ose/v1/space/group/*"),
    (Post, "/koodrive/ose/v1/usergroups"),
    (Put, "/koodrive/ose/v1/usergroups/*"),
    (Delete, "/koodrive/ose/v1/usergroup/*"),
    (Get, "/koodrive/ose/v1/usergroups/*/members"),
    (Post, "/koodrive/ose/v1/usergroups/*/members/batchAdd"),
    (Post, "/koodrive/ose/v1/usergroups/*/members/batchDelete"),
    (Get, "/koodrive/ose/v1/service"),
    (Get, "/koodrive/ose/v1/service/quotaUsed"),
    (Get, "/koodrive/ose/sdk/get-js-sdk-info"),
    (Post, "/koodrive/ose/v1/jobs"),
    (Get, "/koodrive/ose/v1/*"),
    (Post, "/koodrive/ose/v1/files/batch"),
    (Post, "/koodrive/ose/v1/task/create"),
    (Get, "/koodrive/ose/v1/task/result"),
    (Get, "/koodrive/ose/v1/task/list"),
    (Get, "/koodrive/ose/v1/task/*"),
    (Get, "/koodrive/ose/v1/task/dstUserInfo/*"),
    (Post, "/koodrive/ose/v1/directory"),
    (Post, "/koodrive/ose/v1/files/*"),
    (Get, "/koodrive/ose/v1/files/*"),
    (Put, "/koodrive/ose/v1/files/*"),
    (Post, "/koodrive/ose/v1/files/rename/*"),
    (Put, "/koodrive/ose/v1/files/rename/*"),
    (Get, "/koodrive/ose/v1/files/*/detail"),
    (Get, "/koodrive/ose/v1/files/*/operations"),
    (Get, "/koodrive/ose/v1/files/*/*"),
    (Post, "/koodrive/ose/v1/files/multipart/uploadUrl"),
    (Post, "/koodrive/ose/v1/archive/listFile"),
    (Get, "/koodrive/ose/v1/share"),
    (Post, "/koodrive/ose/v1/share"),
    (Put, "/koodrive/ose/v1/share/*"),
    (Get, "/koodrive/ose/v1/share/visit"),
    (Post, "/koodrive/ose/v1/share/tasks"),
    (Post, "/koodrive/ose/v1/share/taskDetail"),
    (Post, "/koodrive/ose/v1/share/public/verify"),
    (Get, "/koodrive/ose/v1/permission/userList"),
    (Put, "/koodrive/ose/v1/permission/batchupdate"),
    (Get, "/koodrive/ose/v1/permission/member/initial/*"),
    (Post, "/koodrive/ose/v1/permission/member/initial"),
    (Post, "/koodrive/ose/v1/permission/template/create"),
    (Post, "/koodrive/ose/v1/permission/template/edit"),
    (Get, "/koodrive/ose/v1/message/list"),
    (Post, "/koodrive/ose/v1/message/batchRead"),
    (Delete, "/koodrive/ose/v1/message/batchDelete"),
    (Post, "/koodrive/ose/v1/auditlog"),
    (Post, "/koodrive/ose/v1/session"),
    (Post, "/koodrive/ose/v1/session/*"),
    (Get, "/koodrive/ose/v1/session/*"),
];
