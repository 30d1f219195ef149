//! Where lines go, and the process's own log: `tracing` events as lines of the same shape.
//!
//! No event of a foreign crate finer than INFO is ever written, whatever the directives say: HTTP
//! and TLS libraries may print header values there.

use std::cell::RefCell;
use std::error::Error;
use std::fmt;

use http::HeaderValue;
use tokio::task::futures::TaskLocalFuture;
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::{Context, SubscriberExt as _};

use crate::clock::Clock;
use crate::config::TelemetryConfig;
use crate::trace_context::TraceId;

use super::chain;
use super::log_line::{Line, Style};

pub use super::writer::LogWriter;

/// Why the log cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum LogSetupError {
    #[error("the log of this process was set up before")]
    Installed(#[source] tracing::subscriber::SetGlobalDefaultError),
}

/// Makes `writer` the log of the whole process, panics included. Once, from `main`.
pub fn install(
    config: &TelemetryConfig,
    clock: Clock,
    writer: LogWriter,
) -> Result<(), LogSetupError> {
    let subscriber = subscriber(config, clock, writer);
    tracing::subscriber::set_global_default(subscriber).map_err(LogSetupError::Installed)?;
    std::panic::set_hook(Box::new(|panic| {
        let location = panic.location().map(ToString::to_string);
        let said = panic.payload_as_str();
        tracing::error!(location, said, "thread panicked");
    }));
    Ok(())
}

/// What [`install`] installs; by itself it can be the log of one thread.
pub fn subscriber(
    config: &TelemetryConfig,
    clock: Clock,
    writer: LogWriter,
) -> impl Subscriber + Send + Sync + use<> {
    let directives: String = config.log_level.split_whitespace().collect();
    let filter: Targets = directives.parse().expect("the configuration takes nothing else");
    let style = Style::of(config.log_format, &writer);
    let lines = LineLayer { writer, clock, style };
    tracing_subscriber::registry().with(filter).with(lines)
}

/// Runs `call` so that every line it logs carries the ids of its request.
pub fn within<F: Future>(
    x_trace_id: HeaderValue,
    trace_id: TraceId,
    call: F,
) -> impl Future<Output = F::Output> + use<F> {
    let scoped: TaskLocalFuture<Ids, F> = IDS.scope(Ids { x_trace_id, trace_id }, call);
    scoped
}

#[derive(Debug)]
struct Ids {
    x_trace_id: HeaderValue,
    trace_id: TraceId,
}

tokio::task_local! {
    static IDS: Ids;
}

/// Turns events into lines.
#[derive(Debug)]
struct LineLayer {
    writer: LogWriter,
    clock: Clock,
    style: Style,
}

impl<S: Subscriber> Layer<S> for LineLayer {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let about = event.metadata();
        if !may_be_written(about.target(), *about.level()) {
            return;
        }
        BUFFER.with(|buffer| match buffer.try_borrow_mut() {
            Ok(mut buffer) => self.write(event, &mut buffer),
            // A field whose Debug logs: the outer line holds the buffer.
            Err(_) => self.write(event, &mut String::new()),
        });
    }
}

impl LineLayer {
    fn write(&self, event: &Event<'_>, buffer: &mut String) {
        buffer.clear();
        let mut message = Message(String::new());
        event.record(&mut message);
        let level = match *event.metadata().level() {
            Level::ERROR => "error",
            Level::WARN => "warn",
            Level::INFO => "info",
            Level::DEBUG => "debug",
            Level::TRACE => "trace",
        };
        let mut line = Line::start(buffer, self.style, self.clock.now(), level, &message.0);
        let target = event.metadata().target();
        if self.style == Style::Json {
            // Outside of a request there are no ids, and the fields are absent.
            IDS.try_with(|ids| {
                line.text("traceid", ids.x_trace_id.to_str().ok());
                line.plain("trace_id", Some(ids.trace_id));
            })
            .unwrap_or_default();
            line.text("target", Some(target));
            event.record(&mut Fields { line: &mut line });
        } else {
            event.record(&mut Fields { line: &mut line });
            // Where it was said is for who debugs.
            line.text("target", Some(target).filter(|_| Level::INFO < *event.metadata().level()));
            IDS.try_with(|ids| line.ids(ids.x_trace_id.to_str().ok(), ids.trace_id))
                .unwrap_or_default();
        }
        line.finish();
        self.writer.write(buffer.as_bytes());
    }
}

fn may_be_written(target: &str, level: Level) -> bool {
    let own = target == OWN || target.strip_prefix(OWN).is_some_and(|rest| rest.starts_with("::"));
    own || level <= Level::INFO
}

const OWN: &str = "koodrive_gateway";

thread_local! {
    static BUFFER: RefCell<String> = RefCell::new(String::with_capacity(512));
}

struct Message(String);

impl Visit for Message {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if field.name() == MESSAGE {
            self.0 = format!("{value:?}");
        }
    }
}

struct Fields<'a, 'b> {
    line: &'a mut Line<'b>,
}

impl Visit for Fields<'_, '_> {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if field.name() != MESSAGE {
            self.line.text(field.name(), Some(&format!("{value:?}")));
        }
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() != MESSAGE {
            self.line.text(field.name(), Some(value));
        }
    }

    fn record_error(&mut self, field: &Field, value: &(dyn Error + 'static)) {
        self.line.text(field.name(), Some(&chain(value)));
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.line.number(field.name(), value);
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.line.bare(field.name(), value);
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.line.bare(field.name(), value);
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        if value.is_finite() {
            self.line.bare(field.name(), value);
        } else {
            self.line.text(field.name(), Some(&value.to_string()));
        }
    }
}

const MESSAGE: &str = "message";
