//! The table: one row per reason decides code, status, who must act, and what the caller reads.

use http::StatusCode;

use crate::validate::Language;
use crate::words::words;

words! {
    /// Who must act.
    pub enum Origin {
        Caller = "caller",
        Gateway = "gateway",
        Sso = "sso",
        TokenEndpoint = "token_endpoint",
        Upstream = "upstream",
    }
}

/// What one reason says. The sentences tell the author of a tool what happened and what to do; the
/// cure tells an operator, in the words of the README.
struct Row {
    /// Six digits; KooDrive's own have eight.
    code: u32,
    origin: Origin,
    /// The RFC 9457 title: short, English, the same for each reason.
    title: &'static str,
    english: &'static str,
    chinese: &'static str,
    cure: &'static str,
}

macro_rules! reasons {
    ($($(#[$doc:meta])* $name:ident = $word:literal, $code:literal, $origin:ident,
        $title:literal, $english:literal, $chinese:literal, $cure:literal;)+) => {
        words! {
            /// Why the gateway refuses a call: the word for programs, and with it a row of the
            /// table.
            pub enum Reason { $($(#[$doc])* $name = $word),+ }
        }

        const ROWS: [Row; Reason::ALL.len()] = [$(Row {
            code: $code,
            origin: Origin::$origin,
            title: $title,
            english: $english,
            chinese: $chinese,
            cure: $cure,
        }),+];
    };
}

reasons! {
    BatchNotJson = "batch_not_json", 400_001, Caller,
        "The batch is not JSON",
        "the batch is not JSON; nothing was forwarded; see errors for line and column",
        "批量数据不是合法的 JSON，未转发；行列位置见 errors",
        "The batch is not one JSON value in UTF-8: `check-batch` shows where";
    BatchMalformed = "batch_malformed", 400_002, Caller,
        "The batch breaks the preverify rules",
        "the batch breaks the preverify rules; nothing was forwarded; see errors",
        "批量数据不符合预校验规则，未转发；详见 errors",
        "The batch breaks the preverify rules: correct everything in `errors`";
    TraceIdIllegal = "trace_id_illegal", 400_003, Caller,
        "Illegal X-Traceid",
        "X-Traceid must be exactly one header of 58 characters from 0-9 A-Z a-z _ -; correct it or leave it out",
        "X-Traceid 必须是唯一的 58 个字符（0-9 A-Z a-z _ -）；请更正或去掉该请求头",
        "Not one `X-Traceid` of 58 legal characters: send none, or a legal one";
    FramingIllegal = "framing_illegal", 400_004, Caller,
        "Ambiguous request framing",
        "the request can be read in more than one way and was not forwarded",
        "请求存在歧义，未转发",
        "The request can be read in two ways (two lengths, odd transfer coding, no `Host` or two): fix the client or the proxy in front";
    TokenMissing = "token_missing", 401_001, Caller,
        "SSO token missing",
        "no SSO token; send it as Authorization: Bearer <token>",
        "缺少单点登录令牌；请以 Authorization: Bearer <令牌> 发送",
        "No `Bearer` credentials in `accept.header`: send `Authorization: Bearer <SSO token>`";
    TokenMalformed = "token_malformed", 401_002, Caller,
        "SSO token malformed",
        "the SSO token is malformed; send exactly one signed JWT as your SSO issued it",
        "单点登录令牌格式错误；请原样发送唯一的签名 JWT",
        "Not one well-formed JWT, or two headers: `explain` says which part is wrong";
    TokenSignatureInvalid = "token_signature_invalid", 401_003, Caller,
        "SSO token signature invalid",
        "the signature of the SSO token is invalid; get a new token from your SSO",
        "单点登录令牌签名无效；请重新获取令牌",
        "No key of the issuer made this signature: get a new token; if every caller sees it, compare `issuer` and `jwks_url` with the SSO";
    TokenExpired = "token_expired", 401_004, Caller,
        "SSO token expired",
        "the SSO token has expired; get a new one from your SSO",
        "单点登录令牌已过期；请重新获取令牌",
        "Past `exp` and `leeway`: get a new token; if every caller sees it, compare the clocks of SSO and gateway";
    TokenNotYetValid = "token_not_yet_valid", 401_005, Caller,
        "SSO token not yet valid",
        "the SSO token is not valid yet; check the clocks of your SSO and of this host",
        "单点登录令牌尚未生效；请检查服务器时钟",
        "Before `nbf` and `leeway`: compare the clocks";
    TokenIssuerUnknown = "token_issuer_unknown", 401_006, Caller,
        "SSO token issuer unknown",
        "the SSO token comes from an issuer this gateway does not know",
        "单点登录令牌的签发者未在网关中配置",
        "No `[[accept.issuers]]` has this `iss`: use a token of the right SSO, or add the issuer (compared exactly, trailing slash included)";
    TokenAudienceMismatch = "token_audience_mismatch", 401_007, Caller,
        "SSO token for another audience",
        "the SSO token is not meant for this gateway; ask for one with the right audience",
        "单点登录令牌的受众（aud）不包含本网关；请申请正确受众的令牌",
        "None of `audiences` is in `aud`: have the SSO issue tokens for the gateway, or add the audience";
    TokenAlgorithmRefused = "token_algorithm_refused", 401_008, Caller,
        "SSO token algorithm refused",
        "the SSO token is signed with an algorithm that is not allowed here",
        "单点登录令牌的签名算法不被允许",
        "`alg` is not in `algorithms`, or does not match the key: add it, if the SSO is meant to use it";
    TokenKeyUnknown = "token_key_unknown", 401_009, Caller,
        "SSO token key unknown",
        "the SSO does not publish the key this SSO token is signed with; get a new token",
        "找不到签发该令牌所用的密钥；请重新获取令牌",
        "The SSO does not publish the key the token names: get a new token; if it persists, look at the key set the SSO publishes";
    TokenClaimRefused = "token_claim_refused", 401_010, Caller,
        "SSO token claim refused",
        "a claim of the SSO token is missing or not acceptable",
        "单点登录令牌的声明缺失或不可接受",
        "A claim is missing, mistyped or has another value than required, or the token lives longer than `max_lifetime`: `explain` names it";
    CallerDenied = "caller_denied", 403_001, TokenEndpoint,
        "Caller may not use KooDrive",
        "you are signed in, but may not use KooDrive; ask your KooDrive administrator",
        "已登录，但无权使用 KooDrive；请联系 KooDrive 管理员",
        "The token endpoint issues no KooDrive token for this caller: the KooDrive administrator admits the user, or the user signs in again; asked again after `token.denied_for`";
    CallDenied = "call_denied", 403_002, Caller,
        "Call not permitted",
        "you are signed in, but may not make this call",
        "已登录，但无权进行此调用",
        "A rule of `[authorize]` keeps this caller from this call: the answer names the claims that fall short, `detail` the rule";
    RouteUnknown = "route_unknown", 404_001, Caller,
        "Route unknown",
        "no such route; KooDrive calls start with /koodrive/",
        "未知路径；KooDrive 接口路径以 /koodrive/ 开头",
        "Not below `forward.prefix`, or only nearly the path of preverify: correct the path";
    MethodRefused = "method_refused", 405_001, Caller,
        "Method not allowed",
        "this method is not allowed here; allowed",
        "不支持该请求方法；允许的方法",
        "Use a method that `Allow` names; preverify is POST";
    BodyTimeout = "body_timeout", 408_001, Caller,
        "Request body timed out",
        "the request body did not arrive in time",
        "请求体未及时到达",
        "The body paused for `listen.body_timeout`, or a batch took four times that: send it without pauses";
    BodyTooLarge = "body_too_large", 413_001, Caller,
        "Request body too large",
        "the body is too large; split the batch",
        "请求体过大；请拆分批量数据",
        "The batch is larger than `validate.max_body`: split it";
    ContentTypeRefused = "content_type_refused", 415_001, Caller,
        "Content type refused",
        "the batch must be sent as application/json in UTF-8 without content encoding",
        "批量数据必须为 UTF-8 编码的 application/json，且不得压缩",
        "Send the batch as `application/json` in UTF-8, uncompressed";
    /// Of the admin listener only.
    HostUnknown = "host_unknown", 421_001, Caller,
        "Host unknown",
        "the admin listener is not known under this Host",
        "管理端口不接受此 Host",
        "Admin listener: ask by IP address or a name of `admin.hosts`";
    LimitCalls = "limit_calls", 429_001, Caller,
        "Too many calls",
        "too many preverify calls of this caller",
        "该用户的预校验调用过于频繁",
        "This caller's `calls_per_minute` are used up: wait; send fewer, larger batches";
    LimitUsers = "limit_users", 429_002, Caller,
        "Too many users",
        "too many users in the preverify batches of this caller",
        "该用户提交的预校验用户数过多",
        "This caller's `users_per_minute` are used up: wait";
    LimitTotal = "limit_total", 429_003, Caller,
        "Too many calls in total",
        "too many preverify calls in total",
        "预校验调用总量过大",
        "All callers' `total_calls_per_second` are used up: wait; find who floods (`caller` in the access log)";
    LimitConcurrent = "limit_concurrent", 429_004, Caller,
        "Too many calls at once",
        "too many preverify calls at the same time",
        "同时进行的预校验调用过多",
        "`concurrent` calls are in flight: wait; if it persists, KooDrive is slow or the number too small";
    LimitUpstream = "limit_upstream", 429_005, Upstream,
        "KooDrive throttles",
        "KooDrive is throttling preverify calls",
        "KooDrive 正在对预校验调用限流",
        "KooDrive throttles: wait; if it persists, lower `total_calls_per_second`";
    /// Answered before there is a request, so without a body: metrics and log alone know it.
    HeadersTooLarge = "headers_too_large", 431_001, Caller,
        "Request headers too large",
        "the request headers are too large",
        "请求头过大",
        "The head of the request is larger than `listen.max_header_bytes`, or has more than 256 lines: send less of it";
    UpstreamUnreachable = "upstream_unreachable", 502_001, Upstream,
        "KooDrive unreachable",
        "KooDrive cannot be reached; try again later",
        "无法连接 KooDrive，请稍后重试",
        "No connection to KooDrive: run `check-config --online`. Nothing was sent, so it is safe to repeat";
    UpstreamBroken = "upstream_broken", 502_002, Upstream,
        "KooDrive broke off",
        "the connection to KooDrive broke before its answer; it may still have acted",
        "KooDrive 在应答前断开连接；操作可能已生效",
        "The connection broke before the response: KooDrive may have acted; check before repeating a POST";
    TokenAnswerUnusable = "token_answer_unusable", 502_003, Gateway,
        "No usable KooDrive token",
        "the gateway got no usable KooDrive token; tell its operator this trace id",
        "网关未能取得可用的 KooDrive 令牌；请将 traceId 告知运维人员",
        "The token endpoint refuses the gateway itself, or its response holds no token: `detail` says why";
    KeysUnavailable = "keys_unavailable", 503_001, Sso,
        "SSO keys unavailable",
        "the SSO's keys are not available at the moment, so no token can be checked; try again",
        "暂时无法获取单点登录系统的密钥，无法校验令牌；请稍后重试",
        "No usable keys of the issuer: `status` says why";
    TokenEndpointUnavailable = "token_endpoint_unavailable", 503_002, TokenEndpoint,
        "Token endpoint unavailable",
        "the token endpoint is unavailable; try again",
        "令牌服务不可用，请稍后重试",
        "It cannot be reached, or answers 5xx: callers with a cached token are still served";
    Overloaded = "overloaded", 503_003, Gateway,
        "Gateway overloaded",
        "the gateway is overloaded; try again",
        "网关过载，请稍后重试",
        "`listen.max_in_flight` calls, or `listen.max_buffered` bytes of bodies: find the cause; raise them only with memory to spare";
    Draining = "draining", 503_004, Gateway,
        "Gateway stopping",
        "the gateway is stopping; try again",
        "网关正在停止，请稍后重试",
        "The gateway is stopping: repeat on a new connection";
    TokenEndpointBusy = "token_endpoint_busy", 503_005, TokenEndpoint,
        "Token endpoint busy",
        "the token endpoint is busy; try again",
        "令牌服务繁忙，请稍后重试",
        "It answered 429, or the queue for it is longer than `token.timeout`: wait; see `token.max_per_second`";
    UpstreamTimeout = "upstream_timeout", 504_001, Upstream,
        "KooDrive timed out",
        "KooDrive did not answer in time; it may still have acted",
        "KooDrive 响应超时；操作可能已生效",
        "No response within `forward.response_timeout`: KooDrive may have acted; check before repeating a POST";
    TokenEndpointTimeout = "token_endpoint_timeout", 504_002, TokenEndpoint,
        "Token endpoint timed out",
        "the token endpoint did not answer in time; try again",
        "令牌服务响应超时，请稍后重试",
        "No response within `token.timeout`: callers with a cached token are still served";
}

impl Reason {
    /// Six digits, stable; the first three are the status.
    pub fn code(self) -> u32 {
        self.row().code
    }

    pub fn status(self) -> StatusCode {
        let status = u16::try_from(self.code() / 1000).ok();
        let status = status.and_then(|status| StatusCode::from_u16(status).ok());
        status.expect("codes begin with a status")
    }

    pub fn origin(self) -> Origin {
        self.row().origin
    }

    /// What happened and, behind a colon, what to do: one sentence with names of keys in backticks.
    pub fn cure(self) -> &'static str {
        self.row().cure
    }

    pub(super) fn title(self) -> &'static str {
        self.row().title
    }

    pub(super) fn sentence(self, language: Language) -> &'static str {
        match language {
            Language::English => self.row().english,
            Language::Chinese => self.row().chinese,
        }
    }

    fn row(self) -> &'static Row {
        &ROWS[self as usize]
    }
}
