//! What a refusal says to the author of a tool: the sentence of its reason, and what is known of
//! this one call.

use std::fmt;

use super::{Rejection, whole_seconds};
use crate::accept::{AcceptError, ClaimFault};
use crate::authorize::Denied;
use crate::body::BodyError;
use crate::call::CallRefused;
use crate::forward::ForwardError;
use crate::validate::Language;

/// `msg`, in the caller's language.
pub(super) struct Text<'r> {
    pub(super) language: Language,
    pub(super) rejection: &'r Rejection,
}

impl fmt::Display for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.rejection.reason().sentence(self.language))?;
        match (self.detail(), self.language) {
            (None, _) => Ok(()),
            (Some(detail), Language::English) => write!(f, ": {detail}"),
            (Some(detail), Language::Chinese) => write!(f, "：{detail}"),
        }
    }
}

impl Text<'_> {
    /// What the sentence leaves open.
    fn detail(&self) -> Option<String> {
        match self.rejection {
            Rejection::Framing(fault) => Some((*fault).to_owned()),
            Rejection::Content(refused) => Some(refused.text(self.language).to_owned()),
            Rejection::Call(CallRefused::Method { allow }) => Some((*allow).to_owned()),
            Rejection::Batch(malformed) => (malformed.more != 0).then(|| {
                let more = malformed.more;
                self.said(
                    format!("{more} more findings not listed"),
                    format!("另有 {more} 处未列出"),
                )
            }),
            Rejection::Limit(_) => self.rejection.retry_after().map(|after| {
                let seconds = whole_seconds(after);
                self.said(format!("try again in {seconds} s"), format!("请在 {seconds} 秒后重试"))
            }),
            Rejection::Accept(error) => skewed(error).map(|seconds| {
                self.said(
                    format!("the SSO's clock and this host's differ by {seconds} s"),
                    format!("单点登录系统与本机时钟相差 {seconds} 秒"),
                )
            }),
            Rejection::Body(error) => self.of_body(error),
            Rejection::Forward(ForwardError::Saturated) => Some(
                self.said("all connections to KooDrive are in use", "到 KooDrive 的连接已用尽"),
            ),
            Rejection::Forward(error) => error.caller_body().and_then(|body| self.of_body(body)),
            Rejection::Denied(Denied::Lacks { claims, .. }) => {
                let claims = claims.join(", ");
                Some(self.said(
                    format!("it requires more of your SSO token's {claims}"),
                    format!("单点登录令牌的声明不满足要求：{claims}"),
                ))
            }
            Rejection::Denied(Denied::Nobody { .. } | Denied::Unnamed | Denied::Ambiguous)
            | Rejection::TraceId(_)
            | Rejection::Call(CallRefused::RouteUnknown)
            | Rejection::Token(_)
            | Rejection::Overloaded
            | Rejection::Draining => None,
        }
    }

    fn of_body(&self, error: &BodyError) -> Option<String> {
        match error {
            BodyError::TooLarge(bytes) => {
                Some(self.said(format!("at most {bytes} bytes"), format!("最多 {bytes} 字节")))
            }
            BodyError::NoBudget => {
                Some(self.said("it holds too many bodies at once", "同时处理的请求体过多"))
            }
            BodyError::Malformed(_) | BodyError::Idle(_) | BodyError::Broken(_) => None,
        }
    }

    fn said(&self, english: impl Into<String>, chinese: impl Into<String>) -> String {
        match self.language {
            Language::English => english.into(),
            Language::Chinese => chinese.into(),
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
