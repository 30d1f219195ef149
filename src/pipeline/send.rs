//! Token and forward: the part of the walk that may go round a second time.

use std::sync::Arc;

use http::{Method, Response};
use http_body::Body as _;

use super::Pipeline;
use super::walk::Walk;
use crate::accept::Accepted;
use crate::body;
use crate::body::{InboundBody, OutboundBody, WholeBody};
use crate::call::{CallPlan, Route};
use crate::forward::{Answer, AnswerBody, CallerAddress, ForwardError, TokenVerdict};
use crate::rejection::Rejection;
use crate::telemetry::{Attempt, Stage};
use crate::token::{Credential, Issued, Refusal, TokenError, TokenSource};

/// A request body on its way out.
pub(super) enum CallBody {
    /// In memory, or empty: can be sent again.
    Whole(Option<WholeBody>),
    /// Passes through once.
    Stream(Option<InboundBody>),
}

impl CallBody {
    pub(super) fn of(body: InboundBody) -> Self {
        if body.is_end_stream() { Self::Whole(None) } else { Self::Stream(Some(body)) }
    }

    fn can_be_sent_again(&self) -> bool {
        matches!(self, Self::Whole(_))
    }

    fn for_attempt(&mut self) -> OutboundBody {
        match self {
            Self::Whole(whole) => {
                whole.as_ref().map_or_else(OutboundBody::empty, |whole| whole.bytes.clone().into())
            }
            Self::Stream(body) => {
                body.take().map_or_else(OutboundBody::empty, OutboundBody::Streaming)
            }
        }
    }
}

impl Pipeline {
    /// Gets a credential and forwards; once more when KooDrive refuses the token, and once more
    /// when the connection was lost in a way that cannot have done harm.
    pub(super) async fn send(
        &self,
        walk: &mut Walk,
        route: &Route,
        accepted: &Accepted,
        mut body: CallBody,
    ) -> Result<Response<AnswerBody>, Rejection> {
        let mut issued = self.issue(walk, accepted).await?;
        if let (Credential::Signature(_), CallBody::Stream(stream)) =
            (&issued.credential, &mut body)
        {
            // The signature covers a digest of the body, so it must be known first.
            let stream = stream.take().expect("nothing was sent yet");
            let whole = body::read_budgeted(stream, self.rules.max_body(), &self.budget).await?;
            body = CallBody::Whole(Some(whole));
        }
        if let CallBody::Stream(Some(stream)) = &mut body {
            stream.occupy(self.forwarder.place_for_upload().await?);
        }
        let language = match route.plan {
            CallPlan::Preverify => self.default_language.as_ref(),
            CallPlan::Passthrough => None,
        };
        let caller = CallerAddress { ip: walk.arrival.ip, tls: walk.arrival.tls };
        let call =
            self.forwarder.prepare(&walk.parts, &route.path, &walk.x_trace_id, caller, language);
        let (mut refused_before, mut lost_before) = (false, false);
        loop {
            walk.record.begin(Stage::Forward);
            let span = walk.record.stage_span(Stage::Forward).child();
            let sent_at = self.clock.moment();
            let replay = refused_before || lost_before;
            let sent = self
                .forwarder
                .attempt(
                    &call,
                    body.for_attempt(),
                    &issued.credential,
                    span,
                    sent_at.wall,
                    lost_before,
                )
                .await;
            walk.record.attempt(Attempt {
                span,
                started: sent_at.wall,
                ended: self.clock.now(),
                status: sent.as_ref().ok().map(|answer| answer.head.status.as_u16()),
                error: sent.as_ref().err().map(error_word),
                replay,
                server: Arc::clone(&self.upstream),
            });
            match sent {
                Err(error)
                    if !lost_before
                        && error.closed_while_idle()
                        && is_harmless(&walk.parts.method)
                        && body.can_be_sent_again()
                        && self.forwarder.may_retry() =>
                {
                    lost_before = true;
                }
                Err(error) => return Err(error.into()),
                Ok(answer) => {
                    self.note_date(&answer, sent_at.wall);
                    let Credential::Token(token) = &issued.credential else {
                        return Ok(pass_on(answer));
                    };
                    match answer.verdict {
                        TokenVerdict::Accepted => self.tokens.accepted(token, accepted, sent_at),
                        TokenVerdict::Other => {}
                        TokenVerdict::TokenRefused => {
                            let refusal = self.tokens.refused(token, accepted);
                            if refusal == Refusal::Renew
                                && !refused_before
                                && body.can_be_sent_again()
                            {
                                refused_before = true;
                                walk.record.end(Stage::Forward);
                                issued = self.issue(walk, accepted).await?;
                                continue;
                            }
                        }
                    }
                    return Ok(pass_on(answer));
                }
            }
        }
    }

    async fn issue(&self, walk: &mut Walk, accepted: &Accepted) -> Result<Issued, Rejection> {
        walk.record.begin(Stage::Token);
        let span = walk.record.stage_span(Stage::Token);
        let issued = self.tokens.token_for(accepted, &span).await;
        match issued {
            Ok(issued) => {
                walk.record.token(issued.source, issued.exchange);
                walk.record.end(Stage::Token);
                Ok(issued)
            }
            Err(error) => {
                if let TokenError::Denied(_) = error {
                    walk.record.token(TokenSource::Denied, None);
                }
                Err(error.into())
            }
        }
    }

    fn note_date(&self, answer: &Answer, sent_at: std::time::SystemTime) {
        if let Some(date) = answer.head.headers.get(http::header::DATE) {
            self.telemetry.upstream_date(date, sent_at);
        }
    }
}

fn pass_on(answer: Answer) -> Response<AnswerBody> {
    Response::from_parts(answer.head, answer.body)
}

/// Sending these twice is the same as sending them once (RFC 9110 section 9.2.2).
fn is_harmless(method: &Method) -> bool {
    matches!(*method, Method::GET | Method::HEAD | Method::PUT | Method::DELETE)
}

fn error_word(error: &ForwardError) -> &'static str {
    match error {
        ForwardError::Unreachable(_) => "unreachable",
        ForwardError::Broken(_) => "broken",
        ForwardError::TimedOut(_) => "timed_out",
        ForwardError::Saturated => "saturated",
        ForwardError::Switched => "switched",
        ForwardError::CallerBody(_) => "caller_body",
    }
}
