//! Traces over OTLP: nothing unless they are started, and then a span a batch, with a link to the trace of each message.
//!
//! Spans are collected by a thread of the library's and leave every few seconds; a collector that is away costs spans,
//! never work.

use std::io::{Read as _, Write as _};
use std::net::{TcpStream, ToSocketAddrs as _};
use std::pin::Pin;
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use opentelemetry::trace::{
    Link, Span as _, SpanContext, SpanKind, Status, TraceContextExt as _, TraceFlags, TraceState,
    Tracer as _, TracerProvider as _,
};
use opentelemetry::{Context, KeyValue};
use opentelemetry_http::{Bytes, HttpClient, HttpError, Request, Response};
use opentelemetry_otlp::{SpanExporter, WithExportConfig as _, WithHttpConfig as _};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{SdkTracer, SdkTracerProvider, Span as SdkSpan};
use tracing::warn;

use super::TelemetryError;
use crate::domain::trace::TraceContext;

/// As traces and dashboards know this service.
const NAME: &str = "contact-reaper";
/// A span has a link to each message of the largest batch there may be.
const MAX_LINKS: u32 = 5000;
/// How long the collector may take, to be reached and to answer.
const EXPORT_TIMEOUT: Duration = Duration::from_secs(3);
/// The time between two warnings of spans that were lost.
const WARNING_INTERVAL: Duration = Duration::from_mins(1);
/// No answer of a collector's is longer.
const MAX_ANSWER: u64 = 64 * 1024;

static TRACER: OnceLock<SdkTracer> = OnceLock::new();

/// The traces of this process, while it sends any.
#[derive(Debug)]
pub struct Traces(SdkTracerProvider);

impl Traces {
    /// Sends them to this address from now on, for the whole process.
    ///
    /// # Errors
    ///
    /// The address is none, or they were started before.
    pub fn start(endpoint: &str) -> Result<Self, TelemetryError> {
        let exporter = SpanExporter::builder()
            .with_http()
            .with_http_client(Collector::default())
            .with_endpoint(endpoint)
            .build()
            .map_err(|error| TelemetryError::Traces(error.to_string()))?;
        let resource = Resource::builder()
            .with_service_name(NAME)
            .with_attribute(KeyValue::new("service.version", env!("CARGO_PKG_VERSION")))
            .build();
        let provider = SdkTracerProvider::builder()
            .with_batch_exporter(exporter)
            .with_max_links_per_span(MAX_LINKS)
            .with_resource(resource)
            .build();
        let started = TRACER.set(provider.tracer(NAME));
        started.map_err(|_| TelemetryError::Traces("they were started before".to_owned()))?;
        Ok(Self(provider))
    }

    /// Sends what is left. Blocks for as long as the collector takes, a few seconds at most.
    pub fn end(self) {
        if let Err(error) = self.0.shutdown_with_timeout(EXPORT_TIMEOUT) {
            warn!(%error, "the last traces were not sent");
        }
    }
}

/// A piece of work in a trace; nothing where there are no traces. It ends when dropped.
pub struct Span(Option<SdkSpan>);

impl Span {
    /// A batch of messages, some of which know the trace that they belong to.
    pub fn batch(size: usize, messages: impl Iterator<Item = TraceContext>) -> Self {
        let Some(tracer) = TRACER.get() else { return Self(None) };
        let links = messages.map(|context| Link::with_context(remote(context))).collect();
        let count = i64::try_from(size).unwrap_or(i64::MAX);
        let builder = tracer
            .span_builder("batch")
            .with_kind(SpanKind::Consumer)
            .with_links(links)
            .with_attributes([KeyValue::new("messaging.batch.message_count", count)]);
        Self(Some(builder.start_with_context(tracer, &Context::new())))
    }

    /// A part of it, until it is dropped.
    #[must_use]
    pub fn part(&self, name: &'static str) -> Self {
        let (Some(tracer), Some(span)) = (TRACER.get(), &self.0) else { return Self(None) };
        let within = Context::new().with_remote_span_context(span.span_context().clone());
        Self(Some(tracer.start_with_context(name, &within)))
    }

    /// It came to nothing, and is done again. Why stays in the log.
    pub fn fail(&mut self) {
        if let Some(span) = &mut self.0 {
            span.set_status(Status::error("not done"));
        }
    }
}

fn remote(context: TraceContext) -> SpanContext {
    let TraceContext { trace_id, span_id, flags } = context;
    SpanContext::new(trace_id.into(), span_id.into(), TraceFlags::new(flags), true, TraceState::default())
}

/// Takes spans to the collector, over HTTP without TLS: it is meant to run beside, and to go on over TLS from there. The
/// library's thread waits for it, so it may block.
#[derive(Debug, Default)]
struct Collector {
    /// When a failure was logged last.
    warned_at: Mutex<Option<Instant>>,
}

impl Collector {
    /// Logs why spans were lost, once per [`WARNING_INTERVAL`].
    fn warn(&self, problem: &str) {
        if self.is_warning_due(Instant::now()) {
            warn!(error = problem, "traces were not delivered");
        }
    }

    fn is_warning_due(&self, now: Instant) -> bool {
        let mut warned_at = self.warned_at.lock().unwrap_or_else(PoisonError::into_inner);
        let is_due = warned_at.is_none_or(|at| now.duration_since(at) >= WARNING_INTERVAL);
        if is_due {
            *warned_at = Some(now);
        }
        is_due
    }
}

impl HttpClient for Collector {
    fn send_bytes<'a, 'b>(
        &'a self,
        request: Request<Bytes>,
    ) -> Pin<Box<dyn Future<Output = Result<Response<Bytes>, HttpError>> + Send + 'b>>
    where
        'a: 'b,
        Self: 'b,
    {
        let answer = post(&request);
        match &answer {
            Ok(response) if response.status().is_success() => {}
            Ok(response) => self.warn(&format!(
                "the collector answered {}: check that traces.endpoint is its address for traces",
                response.status().as_u16()
            )),
            Err(error) => self.warn(&error.to_string()),
        }
        Box::pin(std::future::ready(answer.map_err(Into::into)))
    }
}

/// One request on a connection of its own.
fn post(request: &Request<Bytes>) -> std::io::Result<Response<Bytes>> {
    let strange = |what: &str| std::io::Error::other(format!("the collector's {what} is not understood"));
    let host = request.uri().host().ok_or_else(|| strange("address"))?;
    let port = request.uri().port_u16().unwrap_or(80);
    let address = (host, port).to_socket_addrs()?.next().ok_or_else(|| strange("address"))?;
    let mut stream = TcpStream::connect_timeout(&address, EXPORT_TIMEOUT)?;
    stream.set_read_timeout(Some(EXPORT_TIMEOUT))?;
    stream.set_write_timeout(Some(EXPORT_TIMEOUT))?;
    let (path, length) = (request.uri().path(), request.body().len());
    let mut head = format!(
        "POST {path} HTTP/1.1\r\nHost: {host}:{port}\r\nContent-Length: {length}\r\nConnection: close\r\n"
    );
    for (name, value) in request.headers() {
        let value = value.to_str().map_err(|_| strange("header"))?;
        head.extend([name.as_str(), ": ", value, "\r\n"]);
    }
    head += "\r\n";
    stream.write_all(head.as_bytes())?;
    stream.write_all(request.body())?;
    let mut answer = Vec::new();
    stream.take(MAX_ANSWER).read_to_end(&mut answer)?;
    let status =
        answer.split(|byte| *byte == b' ').nth(1).and_then(|code| str::from_utf8(code).ok()?.parse().ok());
    let status: u16 = status.ok_or_else(|| strange("answer"))?;
    Response::builder().status(status).body(Bytes::new()).map_err(std::io::Error::other)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lost_spans_are_logged_once_a_minute() {
        let (collector, start) = (Collector::default(), Instant::now());
        let due = [0, 5, 59, 60, 61, 119, 120]
            .map(|seconds| collector.is_warning_due(start + Duration::from_secs(seconds)));
        assert_eq!(due, [true, false, false, true, false, false, true]);
    }
}
