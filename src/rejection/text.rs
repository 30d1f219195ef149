//! What a refusal says to the author of a tool: what happened, and what to do.

use std::fmt;

use super::{Rejection, whole_seconds};
use crate::accept::{AcceptError, ClaimFault};
use crate::body::BodyError;
use crate::call::CallRefused;
use crate::limit::Policy;
use crate::token::TokenError;
use crate::validate::{Language, MalformedKind};

/// `msg`, in the caller's language.
pub(super) struct Text<'r> {
    pub(super) language: Language,
    pub(super) rejection: &'r Rejection,
}

impl fmt::Display for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (english, chinese) = sentences(self.rejection);
        f.write_str(match self.language {
            Language::English => english,
            Language::Chinese => chinese,
        })?;
        let detail = match self.rejection {
            Rejection::Framing(fault) => Some((*fault).to_owned()),
            Rejection::Content(refused) => Some(refused.text(self.language).to_owned()),
            Rejection::Call(CallRefused::Method { allow }) => Some((*allow).to_owned()),
            Rejection::Batch(malformed) if malformed.more != 0 => Some(match self.language {
                Language::English => format!("{} more findings not listed", malformed.more),
                Language::Chinese => format!("另有 {} 处未列出", malformed.more),
            }),
            Rejection::Limit(_) => self.rejection.retry_after().map(|after| {
                let seconds = whole_seconds(after);
                match self.language {
                    Language::English => format!("try again in {seconds} s"),
                    Language::Chinese => format!("请在 {seconds} 秒后重试"),
                }
            }),
            Rejection::Accept(error) => skewed(error).map(|seconds| match self.language {
                Language::English => {
                    format!("the SSO's clock and this host's differ by {seconds} s")
                }
                Language::Chinese => format!("单点登录系统与本机时钟相差 {seconds} 秒"),
            }),
            Rejection::Body(BodyError::TooLarge(bytes)) => Some(match self.language {
                Language::English => format!("at most {bytes} bytes"),
                Language::Chinese => format!("最多 {bytes} 字节"),
            }),
            _ => None,
        };
        match (detail, self.language) {
            (None, _) => Ok(()),
            (Some(detail), Language::English) => write!(f, ": {detail}"),
            (Some(detail), Language::Chinese) => write!(f, "：{detail}"),
        }
    }
}

/// How far the issuer's clock is from ours, where that may be the cause of a refusal.
fn skewed(error: &AcceptError) -> Option<u64> {
    match error {
        AcceptError::Expired { hint, .. }
        | AcceptError::NotYetValid { hint, .. }
        | AcceptError::ClaimRefused { fault: ClaimFault::InFuture, hint, .. } => {
            hint.0.map(i64::unsigned_abs).filter(|seconds| SKEW_TOLD_SECONDS <= *seconds)
        }
        _ => None,
    }
}

/// A smaller difference is no one's fault: the leeway is meant for it.
const SKEW_TOLD_SECONDS: u64 = 10;

/// The RFC 9457 title: short, English, the same for each reason.
pub(super) fn title(reason: &str) -> &'static str {
    TITLES.iter().find(|(known, _)| *known == reason).map_or("Refused", |(_, title)| title)
}

fn sentences(rejection: &Rejection) -> (&'static str, &'static str) {
    match rejection {
        Rejection::TraceId(_) => (
            "X-Traceid must be exactly one header of 58 characters from 0-9 A-Z a-z _ -; correct it or leave it out",
            "X-Traceid 必须是唯一的 58 个字符（0-9 A-Z a-z _ -）；请更正或去掉该请求头",
        ),
        Rejection::Framing(_) => AMBIGUOUS,
        Rejection::Call(CallRefused::RouteUnknown) => (
            "no such route; KooDrive calls start with /koodrive/",
            "未知路径；KooDrive 接口路径以 /koodrive/ 开头",
        ),
        Rejection::Call(CallRefused::Method { .. }) => {
            ("this method is not allowed here; allowed", "不支持该请求方法；允许的方法")
        }
        Rejection::Accept(error) => accept(error),
        Rejection::Limit(exceeded) => match exceeded.policy {
            Policy::Calls => {
                ("too many preverify calls of this caller", "该用户的预校验调用过于频繁")
            }
            Policy::Users => (
                "too many users in the preverify batches of this caller",
                "该用户提交的预校验用户数过多",
            ),
            Policy::Total => ("too many preverify calls in total", "预校验调用总量过大"),
            Policy::Concurrent => {
                ("too many preverify calls at the same time", "同时进行的预校验调用过多")
            }
        },
        Rejection::Content(_) => (
            "the batch must be sent as application/json in UTF-8 without content encoding",
            "批量数据必须为 UTF-8 编码的 application/json，且不得压缩",
        ),
        Rejection::Batch(malformed) => match malformed.kind {
            MalformedKind::NotJson => (
                "the batch is not JSON; nothing was forwarded; see errors for line and column",
                "批量数据不是合法的 JSON，未转发；行列位置见 errors",
            ),
            MalformedKind::Malformed => (
                "the batch breaks the preverify rules; nothing was forwarded; see errors",
                "批量数据不符合预校验规则，未转发；详见 errors",
            ),
        },
        Rejection::Body(error) => body(error),
        Rejection::Token(error) => token(error),
        Rejection::Forward(error) => match error.caller_body() {
            Some(error) => body(error),
            None => forward(rejection),
        },
        Rejection::Overloaded => ("the gateway is overloaded; try again", "网关过载，请稍后重试"),
        Rejection::Draining => ("the gateway is stopping; try again", "网关正在停止，请稍后重试"),
    }
}

fn accept(error: &AcceptError) -> (&'static str, &'static str) {
    match error {
        AcceptError::TokenMissing => (
            "no SSO token; send it as Authorization: Bearer <token>",
            "缺少单点登录令牌；请以 Authorization: Bearer <令牌> 发送",
        ),
        AcceptError::TokenMalformed(_) => (
            "the SSO token is malformed; send exactly one signed JWT as your SSO issued it",
            "单点登录令牌格式错误；请原样发送唯一的签名 JWT",
        ),
        AcceptError::SignatureInvalid { .. } => (
            "the signature of the SSO token is invalid; get a new token from your SSO",
            "单点登录令牌签名无效；请重新获取令牌",
        ),
        AcceptError::Expired { .. } => (
            "the SSO token has expired; get a new one from your SSO",
            "单点登录令牌已过期；请重新获取令牌",
        ),
        AcceptError::NotYetValid { .. } => (
            "the SSO token is not valid yet; check the clocks of your SSO and of this host",
            "单点登录令牌尚未生效；请检查服务器时钟",
        ),
        AcceptError::IssuerUnknown { .. } => (
            "the SSO token comes from an issuer this gateway does not know",
            "单点登录令牌的签发者未在网关中配置",
        ),
        AcceptError::AudienceMismatch { .. } => (
            "the SSO token is not meant for this gateway; ask for one with the right audience",
            "单点登录令牌的受众（aud）不包含本网关；请申请正确受众的令牌",
        ),
        AcceptError::AlgorithmRefused { .. } => (
            "the SSO token is signed with an algorithm that is not allowed here",
            "单点登录令牌的签名算法不被允许",
        ),
        AcceptError::KeyUnknown { .. } => (
            "the SSO does not publish the key this SSO token is signed with; get a new token",
            "找不到签发该令牌所用的密钥；请重新获取令牌",
        ),
        AcceptError::ClaimRefused { .. } => (
            "a claim of the SSO token is missing or not acceptable; see the gateway's log under this trace id",
            "单点登录令牌的声明缺失或不可接受；请按 traceId 查看网关日志",
        ),
        AcceptError::KeysUnavailable { .. } => (
            "the SSO's keys cannot be had at the moment, so no token can be checked; try again",
            "暂时无法获取单点登录系统的密钥，无法校验令牌；请稍后重试",
        ),
    }
}

const AMBIGUOUS: (&str, &str) =
    ("the request can be read in more than one way and was not forwarded", "请求存在歧义，未转发");

fn body(error: &BodyError) -> (&'static str, &'static str) {
    match error {
        BodyError::TooLarge(_) => {
            ("the body is too large; split the batch", "请求体过大；请拆分批量数据")
        }
        BodyError::NoBudget => {
            ("the gateway holds too many bodies at once; try again", "网关过载，请稍后重试")
        }
        BodyError::Malformed(_) => AMBIGUOUS,
        BodyError::Idle(_) | BodyError::Broken(_) => {
            ("the request body did not arrive in time", "请求体未及时到达")
        }
    }
}

fn token(error: &TokenError) -> (&'static str, &'static str) {
    match error {
        TokenError::Denied(_) => (
            "you are signed in, but may not use KooDrive; ask your KooDrive administrator",
            "已登录，但无权使用 KooDrive；请联系 KooDrive 管理员",
        ),
        TokenError::AnswerUnusable(_) => (
            "the gateway got no usable KooDrive token; tell its operator this trace id",
            "网关未能取得可用的 KooDrive 令牌；请将 traceId 告知运维人员",
        ),
        TokenError::Busy { .. } => {
            ("the token endpoint is busy; try again", "令牌服务繁忙，请稍后重试")
        }
        TokenError::Unavailable { .. } => {
            ("the token endpoint is unavailable; try again", "令牌服务不可用，请稍后重试")
        }
        TokenError::TimedOut { .. } => {
            ("the token endpoint did not answer in time; try again", "令牌服务响应超时，请稍后重试")
        }
    }
}

fn forward(rejection: &Rejection) -> (&'static str, &'static str) {
    match rejection.row().reason {
        "upstream_unreachable" => {
            ("KooDrive cannot be reached; try again later", "无法连接 KooDrive，请稍后重试")
        }
        "overloaded" => (
            "all connections to KooDrive are in use; try again",
            "到 KooDrive 的连接已用尽，请稍后重试",
        ),
        "upstream_timeout" => (
            "KooDrive did not answer in time; it may still have acted",
            "KooDrive 响应超时；操作可能已生效",
        ),
        _ => (
            "the connection to KooDrive broke before its answer; it may still have acted",
            "KooDrive 在应答前断开连接；操作可能已生效",
        ),
    }
}

pub(super) const TITLES: [(&str, &str); 35] = [
    ("batch_not_json", "The batch is not JSON"),
    ("batch_malformed", "The batch breaks the preverify rules"),
    ("trace_id_illegal", "Illegal X-Traceid"),
    ("framing_illegal", "Ambiguous request framing"),
    ("token_missing", "SSO token missing"),
    ("token_malformed", "SSO token malformed"),
    ("token_signature_invalid", "SSO token signature invalid"),
    ("token_expired", "SSO token expired"),
    ("token_not_yet_valid", "SSO token not yet valid"),
    ("token_issuer_unknown", "SSO token issuer unknown"),
    ("token_audience_mismatch", "SSO token for another audience"),
    ("token_algorithm_refused", "SSO token algorithm refused"),
    ("token_key_unknown", "SSO token key unknown"),
    ("token_claim_refused", "SSO token claim refused"),
    ("caller_denied", "Caller may not use KooDrive"),
    ("route_unknown", "Route unknown"),
    ("method_refused", "Method not allowed"),
    ("body_timeout", "Request body timed out"),
    ("body_too_large", "Request body too large"),
    ("content_type_refused", "Content type refused"),
    ("headers_too_large", "Request headers too large"),
    ("limit_calls", "Too many calls"),
    ("limit_users", "Too many users"),
    ("limit_total", "Too many calls in total"),
    ("limit_concurrent", "Too many calls at once"),
    ("upstream_unreachable", "KooDrive unreachable"),
    ("upstream_broken", "KooDrive broke off"),
    ("token_answer_unusable", "No usable KooDrive token"),
    ("keys_unavailable", "SSO keys unavailable"),
    ("token_endpoint_unavailable", "Token endpoint unavailable"),
    ("overloaded", "Gateway overloaded"),
    ("draining", "Gateway stopping"),
    ("token_endpoint_busy", "Token endpoint busy"),
    ("upstream_timeout", "KooDrive timed out"),
    ("token_endpoint_timeout", "Token endpoint timed out"),
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::accept::SkewHint;

    fn expired(skew: Option<i64>, language: Language) -> String {
        let error = AcceptError::Expired { seconds: 5, hint: SkewHint(skew) };
        Text { language, rejection: &Rejection::Accept(error) }.to_string()
    }

    #[test]
    fn clocks_that_differ_are_named_where_they_may_be_the_cause() {
        assert!(expired(Some(-90), Language::English).ends_with("differ by 90 s"));
        assert!(expired(Some(90), Language::Chinese).ends_with("相差 90 秒"));
        for harmless in [None, Some(0), Some(9), Some(-9)] {
            assert!(!expired(harmless, Language::English).contains("clock"));
        }
    }
}
