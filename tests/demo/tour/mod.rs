//! The tour: calls an internal tool would make, each with a promise and what became of it.

mod steps;

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use http::Method;

use crate::show;
use crate::show::Show;
use crate::simulators::StartFailed;
use crate::support::caller::{Call, Caller, NoReply, Reply};
use crate::support::koodrive::PREVERIFY;
use crate::support::recording::Received;
use crate::support::scratch::Scratch;
use crate::town::Town;

/// Calls of one user, with the token in a file so that no command shows it.
struct Tool {
    caller: Caller,
    token_file: PathBuf,
}

/// One step, with what was promised of it: whether it came so, and the words.
struct Step {
    title: String,
    promises: Vec<(bool, String)>,
}

pub struct Tour<'a> {
    town: &'a Town,
    show: Show,
    scratch: Scratch,
    done: Vec<Step>,
    /// X-Traceid of the first good call.
    traced: String,
}

impl<'a> Tour<'a> {
    pub fn new(town: &'a Town, show: Show) -> Result<Self, StartFailed> {
        let scratch = Scratch::new().map_err(StartFailed::Scratch)?;
        show::plain(
            "koodrive-gateway: internal tools call KooDrive with their company SSO token.\n",
        );
        show::plain("  tool ──SSO token──▶ gateway ──the user's own KooDrive token──▶ KooDrive");
        show::plain("                        │  ▲");
        show::plain("                        ▼  │ keys, token exchange");
        show::plain("                        SSO\n");
        show::plain(&format!("  gateway   {}", town.gateway));
        show::plain(&format!("  SSO       {} (simulated, real keys)", town.sso.issuer()));
        show::plain(&format!(
            "  KooDrive  {} (simulated, as strict as its API page)",
            town.koodrive.url()
        ));
        Ok(Self { town, show, scratch, done: Vec::new(), traced: String::new() })
    }

    pub async fn walk(&mut self) {
        let walked = self.steps().await;
        self.promise(walked.is_ok(), "every call got an answer");
        if let Err(error) = walked {
            show::note(&error.to_string());
        }
    }

    async fn steps(&mut self) -> Result<(), Lost> {
        let alice = self.tool("alice", &self.town.sso.token_for("alice"))?;
        self.good_batch(&alice).await?;
        self.token_reused(&alice).await?;
        self.broken_example(&alice).await?;
        self.four_faults(&alice).await?;
        self.expired_token().await?;
        self.denied_delete(&alice).await?;
        self.burst(&alice).await?;
        self.passthrough(&alice).await?;
        self.revoked_token(&alice).await
    }

    /// Whether all promises were kept; says so, step by step.
    pub fn summary(&self) -> bool {
        self.show.heading("Summary");
        let mut all_well = !self.done.is_empty();
        for (number, step) in (1..).zip(&self.done) {
            let kept = step.promises.iter().filter(|(kept, _)| *kept).count();
            let (of, title) = (step.promises.len(), &step.title);
            self.show
                .promise(kept == of, &format!("{number}  {title:34} {kept} of {of} as promised"));
            for (_, what) in step.promises.iter().filter(|(kept, _)| !kept) {
                show::note(&format!("     {what}"));
            }
            all_well &= kept == of;
        }
        all_well
    }

    /// Where to look while everything keeps serving.
    pub fn farewell(&self) {
        let town = self.town;
        let trace = self.traced.chars().take(32).collect::<String>();
        show::note("");
        show::note(&format!("metrics      {}/metrics", town.admin));
        show::note(&format!(
            "admin page   {}/  (what is wrong, neighbours, traffic, refusals)",
            town.admin
        ));
        show::note(&format!(
            "fresh token  curl -s '{}/demo-token?subject=alice'  ",
            town.sso.issuer()
        ));
        show::note("traces       the first 32 characters of an X-Traceid are its trace in Jaeger:");
        show::note(&format!("             {trace} for the first call above."));
        show::note(
            "             Start Jaeger, then the demo with OTEL_EXPORTER_OTLP_ENDPOINT set:",
        );
        show::note("             docker run --rm -p 16686:16686 -p 4318:4318 jaegertracing/jaeger");
        show::note("             OTEL_EXPORTER_OTLP_ENDPOINT=http://127.0.0.1:4318 \\");
        show::note("               cargo run --example demo");
        show::note("             and look at http://127.0.0.1:16686/trace/<those 32 characters>");
        show::note("");
        show::note(
            "The commands above work while this runs; the access log follows. Ctrl-C stops.",
        );
    }

    fn step(&mut self, title: &str, sent: &str, promised: &str) {
        self.done.push(Step { title: title.to_owned(), promises: Vec::new() });
        self.show.heading(&format!("{}  {title}", self.done.len()));
        show::story(sent, promised);
    }

    fn promise(&mut self, kept: bool, what: &str) {
        self.show.promise(kept, what);
        if let Some(step) = self.done.last_mut() {
            step.promises.push((kept, what.to_owned()));
        }
    }

    fn refused(&mut self, reply: &Reply, status: u16, reason: &str) {
        let so = reply.status == status && reply.reason().as_deref() == Some(reason);
        self.promise(so, &format!("{status} {reason}"));
    }

    fn not_upstream(&mut self, before: u64) {
        let quiet = self.town.koodrive.received.total() == before;
        self.promise(quiet, "KooDrive heard nothing of it");
    }

    fn last_upstream(&self) -> Option<Arc<Received>> {
        self.town.koodrive.received.all().pop()
    }

    fn tool(&self, name: &str, token: &str) -> Result<Tool, Lost> {
        let token_file = self.file(&format!("{name}.jwt"), token)?;
        let caller = Caller::new(&self.town.http, &self.town.gateway, Some(token.to_owned()));
        Ok(Tool { caller, token_file })
    }

    fn file(&self, name: &str, content: &str) -> Result<PathBuf, Lost> {
        self.scratch.write(name, content).map_err(Lost::Scratch)
    }

    async fn call(
        &self,
        tool: &Tool,
        method: Method,
        target: &str,
        body: Option<&str>,
    ) -> Result<Reply, Lost> {
        let call = tool.caller.call(method, target);
        let Some(body) = body else { return self.send(tool, call, target, &[]).await };
        let options =
            ["-H 'Content-Type: application/json'".to_owned(), format!("--data-binary '{body}'")];
        self.send(tool, call.json(body.to_owned()), target, &options).await
    }

    /// Shows the command, sends the same call, shows the answer.
    async fn send(
        &self,
        tool: &Tool,
        call: Call,
        target: &str,
        options: &[String],
    ) -> Result<Reply, Lost> {
        let mut command = format!("curl -i '{}{target}'", self.town.gateway);
        let token = format!("-H \"Authorization: Bearer $(cat {})\"", tool.token_file.display());
        for option in std::iter::once(&token).chain(options) {
            command.push_str(" \\\n    ");
            command.push_str(option);
        }
        self.show.command(&command);
        let reply = call.try_send().await.map_err(Lost::Call)?;
        self.show.answer(&reply);
        Ok(reply)
    }
}

/// Why the tour could not go on.
#[derive(Debug, thiserror::Error)]
enum Lost {
    #[error("{0}: {cause}", cause = .0.cause())]
    Call(NoReply),
    #[error("a file cannot be written: {0}")]
    Scratch(io::Error),
}

impl Caller {
    async fn preverify_or_lost(&self, batch: &'static str) -> Result<Reply, Lost> {
        let call = self.call(Method::POST, PREVERIFY).json(batch);
        call.try_send().await.map_err(Lost::Call)
    }
}
