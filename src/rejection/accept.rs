//! What is said to a caller whose SSO token is not accepted, besides the sentence of the reason:
//! which slip it looks like. Of what a good token must say, only whoever shows one with a good
//! signature learns anything.

use crate::accept::{AcceptError, ClaimFault, MalformedToken, MissingToken};
use crate::validate::Language;

/// What is known of this one token.
pub(super) fn detail(error: &AcceptError, language: Language) -> Option<String> {
    let (english, chinese) = match error {
        AcceptError::TokenMissing(missing) => pair(of_missing(*missing)?),
        AcceptError::TokenMalformed(malformed) => of_malformed(*malformed),
        AcceptError::AudienceMismatch { wanted, .. } => {
            (format!("it wants {wanted}"), format!("所需受众为 {wanted}"))
        }
        AcceptError::ClaimRefused { claim, fault, .. } if skewed(error).is_none() => {
            (format!("claim {claim} {fault}"), format!("声明 {claim} {}", in_chinese(*fault)))
        }
        _ => {
            let seconds = skewed(error)?;
            (
                format!("the SSO's clock and this host's differ by {seconds} s"),
                format!("单点登录系统与本机时钟相差 {seconds} 秒"),
            )
        }
    };
    Some(match language {
        Language::English => english,
        Language::Chinese => chinese,
    })
}

fn pair((english, chinese): (&str, &str)) -> (String, String) {
    (english.to_owned(), chinese.to_owned())
}

/// The sentence says it all where there is no header.
fn of_missing(missing: MissingToken) -> Option<(&'static str, &'static str)> {
    match missing {
        MissingToken::NoHeader => None,
        MissingToken::Empty => Some((
            "the header is empty; is the variable that holds the token set?",
            "请求头为空；存放令牌的变量是否已赋值？",
        )),
        MissingToken::NoScheme => Some((
            "the header holds a token, but not the word Bearer before it",
            "请求头中有令牌，但缺少前面的 Bearer",
        )),
        MissingToken::OtherScheme => {
            Some(("the header holds something else than Bearer", "请求头中不是 Bearer 凭证"))
        }
    }
}

fn of_malformed(malformed: MalformedToken) -> (String, String) {
    pair(match malformed {
        MalformedToken::HeaderRepeated => {
            ("more than one header holds credentials; send one", "凭证请求头多于一个；请只发送一个")
        }
        MalformedToken::Empty => (
            "nothing stands behind Bearer; is the variable that holds the token empty?",
            "Bearer 之后没有内容；存放令牌的变量是否为空？",
        ),
        MalformedToken::Quoted => {
            ("it stands in quotes; send it without them", "令牌带有引号；请去掉引号")
        }
        MalformedToken::SchemeTwice => {
            ("the word Bearer stands before it twice", "令牌前有两个 Bearer")
        }
        MalformedToken::Placeholder => (
            "it is a stand-in such as $TOKEN; the variable was not replaced by its value",
            "这是 $TOKEN 之类的占位符；变量未被替换为其值",
        ),
        MalformedToken::WholeAnswer => (
            "it is JSON, such as the SSO's whole answer; send the access_token in it alone",
            "这是 JSON，例如单点登录的完整响应；请只发送其中的 access_token",
        ),
        MalformedToken::Characters => (
            "it has characters no token has, such as blanks or line breaks",
            "含有令牌中不会出现的字符，例如空格或换行",
        ),
        MalformedToken::NotThreeParts => (
            "it has not three parts with dots between; it is cut off, or no JWT",
            "不是由点分隔的三部分；令牌被截断，或不是 JWT",
        ),
        MalformedToken::NotBase64url(part) => {
            return (
                format!("its {part} is damaged; is the token cut off?"),
                format!("其 {part} 部分已损坏；令牌是否被截断？"),
            );
        }
        MalformedToken::NotJson(part) => {
            return (
                format!("its {part} is no JSON object; is the token cut off?"),
                format!("其 {part} 部分不是 JSON 对象；令牌是否被截断？"),
            );
        }
        MalformedToken::Member(name) => {
            return (
                format!("{name} in its header is missing or of the wrong form"),
                format!("其头部的 {name} 缺失或格式错误"),
            );
        }
        MalformedToken::Extension(name) => {
            return (
                format!("{name} in its header asks for what is not supported"),
                format!("其头部的 {name} 要求了不支持的功能"),
            );
        }
        MalformedToken::Type => (
            "its typ is neither JWT nor at+jwt; send the access token, no ID or refresh token",
            "其 typ 既不是 JWT 也不是 at+jwt；请发送访问令牌，而非 ID 令牌或刷新令牌",
        ),
    })
}

fn in_chinese(fault: ClaimFault) -> String {
    match fault {
        ClaimFault::Missing => "缺失".to_owned(),
        ClaimFault::Mistyped => "类型或格式错误".to_owned(),
        ClaimFault::InFuture => "在将来".to_owned(),
        ClaimFault::LivesTooLong(seconds) => format!("使令牌有效期超过 {seconds} 秒"),
        ClaimFault::NotTheRequiredValue => "不是所需的值".to_owned(),
        ClaimFault::Bound => "将令牌绑定到其持有者的密钥".to_owned(),
        ClaimFault::OtherCertificate => "指定的客户端证书与所用证书不同".to_owned(),
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

    fn expired(skew: Option<i64>, language: Language) -> Option<String> {
        detail(&AcceptError::Expired { seconds: 5, hint: SkewHint(skew) }, language)
    }

    #[test]
    fn clocks_that_differ_are_named_where_they_may_be_the_cause() {
        assert!(expired(Some(-90), Language::English).unwrap().ends_with("differ by 90 s"));
        assert!(expired(Some(90), Language::Chinese).unwrap().ends_with("相差 90 秒"));
        for harmless in [None, Some(0), Some(9), Some(-9)] {
            assert_eq!(expired(harmless, Language::English), None);
        }
    }
}
