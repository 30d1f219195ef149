//! What happened and what to do, by reason: the README's words, for who has only the page.

use crate::rejection::Reason;

/// One sentence, the cure behind its colon.
pub fn cure(reason: Reason) -> &'static str {
    match reason {
        Reason::BatchNotJson => {
            "The batch is not one JSON value in UTF-8: `check-batch` shows where"
        }
        Reason::BatchMalformed => {
            "The batch breaks the preverify rules: correct everything in `errors`"
        }
        Reason::TraceIdIllegal => {
            "Not one `X-Traceid` of 58 legal characters: send none, or a legal one"
        }
        Reason::FramingIllegal => {
            "The request can be read in two ways (two lengths, odd transfer coding, no `Host` or two): fix the client or the proxy in front"
        }
        Reason::TokenMissing => {
            "No `Bearer` credentials in `accept.header`: send `Authorization: Bearer <SSO token>`"
        }
        Reason::TokenMalformed => {
            "Not one well-formed JWT, or two headers: `explain` says which part is wrong"
        }
        Reason::TokenSignatureInvalid => {
            "No key of the issuer made this signature: get a new token; if every caller sees it, compare `issuer` and `jwks_url` with the SSO"
        }
        Reason::TokenExpired => {
            "Past `exp` and `leeway`: get a new token; if every caller sees it, compare the clocks of SSO and gateway"
        }
        Reason::TokenNotYetValid => "Before `nbf` and `leeway`: compare the clocks",
        Reason::TokenIssuerUnknown => {
            "No `[[accept.issuers]]` has this `iss`: use a token of the right SSO, or add the issuer (compared exactly, trailing slash included)"
        }
        Reason::TokenAudienceMismatch => {
            "None of `audiences` is in `aud`: have the SSO issue tokens for the gateway, or add the audience"
        }
        Reason::TokenAlgorithmRefused => {
            "`alg` is not in `algorithms`, or does not match the key: add it, if the SSO is meant to use it"
        }
        Reason::TokenKeyUnknown => {
            "The SSO does not publish the key the token names: get a new token; if it persists, look at the key set the SSO publishes"
        }
        Reason::TokenClaimRefused => {
            "A claim is missing, mistyped or has another value than required, or the token lives longer than `max_lifetime`: `explain` names it"
        }
        Reason::CallerDenied => {
            "The token endpoint issues no KooDrive token for this caller: the KooDrive administrator admits the user, or the user signs in again; asked again after `token.denied_for`"
        }
        Reason::CallDenied => {
            "A rule of `[authorize]` keeps this caller from this call: the answer names the claims that fall short, `detail` the rule"
        }
        Reason::RouteUnknown => {
            "Not below `forward.prefix`, or only nearly the path of preverify: correct the path"
        }
        Reason::MethodRefused => "Use a method that `Allow` names; preverify is POST",
        Reason::BodyTimeout => {
            "The body paused for `listen.body_timeout`, or a batch took four times that: send it without pauses"
        }
        Reason::BodyTooLarge => "The batch is larger than `validate.max_body`: split it",
        Reason::ContentTypeRefused => "Send the batch as `application/json` in UTF-8, uncompressed",
        Reason::HostUnknown => "Admin listener: ask by IP address or a name of `admin.hosts`",
        Reason::LimitCalls => {
            "This caller's `calls_per_minute` are used up: wait; send fewer, larger batches"
        }
        Reason::LimitUsers => "This caller's `users_per_minute` are used up: wait",
        Reason::LimitTotal => {
            "All callers' `total_calls_per_second` are used up: wait; find who floods (`caller` in the access log)"
        }
        Reason::LimitConcurrent => {
            "`concurrent` calls are in flight: wait; if it persists, KooDrive is slow or the number too small"
        }
        Reason::LimitUpstream => {
            "KooDrive throttles: wait; if it persists, lower `total_calls_per_second`"
        }
        // Answered without a body, so without a row in the README.
        Reason::HeadersTooLarge => {
            "The head of the request is larger than listen.max_header_bytes: send less of it"
        }
        Reason::UpstreamUnreachable => {
            "No connection to KooDrive: run `check-config --online`. Nothing was sent, so it is safe to repeat"
        }
        Reason::UpstreamBroken => {
            "The connection broke before the response: KooDrive may have acted; check before repeating a POST"
        }
        Reason::TokenAnswerUnusable => {
            "The token endpoint refuses the gateway itself, or its response holds no token: `detail` says why"
        }
        Reason::KeysUnavailable => "No usable keys of the issuer: `status` says why",
        Reason::TokenEndpointUnavailable => {
            "It cannot be reached, or answers 5xx: callers with a cached token are still served"
        }
        Reason::Overloaded => {
            "`listen.max_in_flight` calls, or `listen.max_buffered` bytes of bodies: find the cause; raise them only with memory to spare"
        }
        Reason::Draining => "The gateway is stopping: repeat on a new connection",
        Reason::TokenEndpointBusy => {
            "It answered 429, or the queue for it is longer than `token.timeout`: wait; see `token.max_per_second`"
        }
        Reason::UpstreamTimeout => {
            "No response within `forward.response_timeout`: KooDrive may have acted; check before repeating a POST"
        }
        Reason::TokenEndpointTimeout => {
            "No response within `token.timeout`: callers with a cached token are still served"
        }
    }
}
