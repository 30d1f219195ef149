//! What a refusal says to the author of a tool: the sentence of its reason, and what is known of
//! this one call.

use std::fmt;

use super::{Rejection, accept, whole_seconds};
use crate::authorize::Denied;
use crate::body::BodyError;
use crate::call::{CallRefused, RouteHint};
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
            Rejection::Accept(error) => accept::detail(error, self.language),
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
            Rejection::Call(CallRefused::RouteUnknown(hint)) => self.of_route(*hint),
            Rejection::Denied(Denied::Ambiguous) => self.of_route(RouteHint::Spelling),
            Rejection::Denied(Denied::Nobody { .. } | Denied::Unnamed)
            | Rejection::TraceId(_)
            | Rejection::Token(_)
            | Rejection::Overloaded(_)
            | Rejection::Draining => None,
        }
    }

    fn of_route(&self, hint: RouteHint) -> Option<String> {
        match hint {
            RouteHint::Elsewhere => None,
            RouteHint::PrefixForgotten => Some(self.said(
                "the prefix is missing, put /koodrive before this path",
                "缺少前缀，请在该路径前加上 /koodrive",
            )),
            RouteHint::Spelling => Some(self.said(
                "it is about the spelling; servers could read this path in different ways, so \
                 write it plainly: in lower case as documented, without %2f, %5c, backslashes, \
                 semicolons, dot segments or a suffix",
                "问题在于写法：不同服务器可能对该路径有不同理解；请按文档原样书写，不要使用 \
                 %2f、%5c、反斜杠、分号、点段或后缀",
            )),
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
            BodyError::Malformed(_)
            | BodyError::Idle(_)
            | BodyError::Slow(_)
            | BodyError::Broken(_) => None,
        }
    }

    fn said(&self, english: impl Into<String>, chinese: impl Into<String>) -> String {
        match self.language {
            Language::English => english.into(),
            Language::Chinese => chinese.into(),
        }
    }
}
