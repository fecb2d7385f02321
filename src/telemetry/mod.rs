//! Logs on standard error, traces over OTLP ([`traces`]), and the metrics: every name once, with its help text and its buckets.
//!
//! A room counts with `metrics::counter!(telemetry::ENROLLMENTS_TOTAL, "outcome" => …)`. No id of an account, a
//! contact or an enrollment is ever a label.

pub mod traces;

use std::io::IsTerminal;

use metrics::counter;
use metrics_exporter_prometheus::{
    BuildError, Matcher, PrometheusBuilder, PrometheusHandle, PrometheusRecorder,
};
use tracing::debug;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::{Directive, ParseError};

use crate::domain::decision::Decision;
use crate::domain::effects::Transition;
use crate::domain::enrollment::NewEnrollment;

/// What `-v` adds to the level that is set.
const VERBOSE: &str = "contact_reaper=debug";

/// What is never logged, whatever log.level says: lapin a returned message whole, and the frame with the password;
/// `amq_protocol_tcp` the URL that it connects to; sqlx the parameters of a URL and the lines of a file of passwords that
/// it does not understand.
const OFF: [&str; 3] = ["lapin", "amq_protocol", "sqlx_postgres::options"];

/// PostgreSQL remarks on each rollback before a connection is lent out.
const MUTED_TARGETS: &str = "sqlx::postgres::notice=error";

/// Why logs or metrics could not be started.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// The level does not parse.
    #[error(
        "log.level is not understood ({0}); use a level such as \"info\" or directives such as \"warn,contact_reaper=info\""
    )]
    Level(#[from] ParseError),
    /// Something else in this process logs already.
    #[error("logs are set up already ({0}); set them up once, at the start")]
    Subscriber(#[from] tracing::subscriber::SetGlobalDefaultError),
    /// The collector's address, or a second start.
    #[error("the traces could not be set up ({0}); set traces.endpoint to http://HOST:4318/v1/traces")]
    Traces(String),
    /// A bucket list is empty, or something else in this process counts already.
    #[error("the metrics could not be set up ({0}); set them up once, at the start")]
    Metrics(#[from] BuildError),
}

/// How to log.
#[derive(Debug, Clone)]
pub struct LogOptions {
    /// One JSON object a line instead of text for people.
    pub json: bool,
    /// A directive of [`EnvFilter`].
    pub level: String,
    /// Adds debug for this program's own modules.
    pub verbose: bool,
}

/// Starts logging to standard error, for the whole process.
///
/// # Errors
///
/// The level does not parse, or logging was started before.
pub fn start_logs(options: &LogOptions) -> Result<(), TelemetryError> {
    let filter = filter(options)?;
    // A line that cannot be written is lost: to say so on the same standard error would panic.
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .log_internal_errors(false);
    if options.json {
        tracing::subscriber::set_global_default(
            builder.json().flatten_event(true).with_span_list(false).finish(),
        )?;
    } else {
        let colours = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
        tracing::subscriber::set_global_default(builder.with_ansi(colours).finish())?;
    }
    Ok(())
}

/// Counts and logs a decision that was committed.
pub fn decided(enrollment: &NewEnrollment, decision: &Decision) {
    let (outcome, reason) = (decision.outcome(), decision.reason().unwrap_or_default());
    debug!(
        account.id = enrollment.key.account_id,
        enrollment.id = enrollment.key.enrollment_id,
        workflow.id = enrollment.workflow_id,
        outcome,
        reason,
        "enrollment decided"
    );
    counter!(ENROLLMENTS_TOTAL, "outcome" => outcome, "reason" => reason).increment(1);
    if *decision == Decision::Delete {
        let trash = Transition::Trash.as_str();
        counter!(TRANSITIONS_TOTAL, "transition" => trash, "origin" => "workflow").increment(1);
    }
}

fn filter(options: &LogOptions) -> Result<EnvFilter, ParseError> {
    // A directive for a part of what is off would be the more precise one, and win.
    let level: Vec<&str> = options.level.split(',').filter(|part| !is_of_what_is_off(part)).collect();
    let mut filter = EnvFilter::try_new(level.join(","))?.add_directive(MUTED_TARGETS.parse()?);
    for target in OFF {
        filter = filter.add_directive(format!("{target}=off").parse()?);
    }
    if !options.verbose {
        return Ok(filter);
    }
    let verbose: Directive = VERBOSE.parse()?;
    Ok(filter.add_directive(verbose))
}

fn is_of_what_is_off(directive: &str) -> bool {
    OFF.iter().any(|target| directive.trim_start().starts_with(target))
}

/// What a metric is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// Only grows.
    Counter,
    /// As [`Kind::Counter`], without labels: shown as 0 from the start, so that its first step is a step. Whoever counts
    /// with labels shows them in the same way.
    BareCounter,
    /// Goes up and down.
    Gauge,
    /// As [`Kind::Gauge`], and 0 until somebody says otherwise.
    BareGauge,
    /// Counted by size.
    Histogram,
    /// As [`Kind::Histogram`], without labels: shown as empty from the start.
    BareHistogram,
}

/// One metric.
#[derive(Debug)]
struct Metric {
    kind: Kind,
    name: &'static str,
    help: &'static str,
}

macro_rules! metrics {
    ($($constant:ident $kind:ident $name:literal $help:literal)*) => {
        $(#[doc = $help] pub const $constant: &str = concat!("contact_reaper_", $name);)*
        /// All of them.
        const METRICS: &[Metric] = &[$(Metric { kind: Kind::$kind, name: $constant, help: $help }),*];
    };
}

metrics! {
    ENROLLMENTS_TOTAL Counter "enrollments_total"
        "Enrollments decided, by outcome and reason; a second delivery counts as outcome duplicate."
    ENROLLMENT_AGE_SECONDS BareHistogram "enrollment_age_seconds"
        "Time from the enrollment in the CRM to the commit of its first decision, in seconds."
    BATCH_SIZE BareHistogram "batch_size"
        "Enrollments decided in one transaction."
    BATCH_SECONDS Histogram "batch_seconds"
        "Time one batch spends in each phase, in seconds."
    QUEUE_MESSAGES Gauge "queue_messages"
        "Messages ready in the broker's queues of enrollments, of dead letters and of records, as the leader saw them last."
    IN_FLIGHT BareGauge "in_flight"
        "Messages consumed from the feed and not yet acknowledged."
    REDELIVERED_TOTAL BareCounter "redelivered_total"
        "Messages that the feed redelivered."
    RETRIES_TOTAL Counter "retries_total"
        "Messages scheduled for retry, by reason."
    DEAD_LETTERS_TOTAL Counter "dead_letters_total"
        "Messages dead-lettered, by reason."
    FEED_CONNECTED BareGauge "feed_connected"
        "1 while the feed is connected and registered, else 0."
    FEED_RECONNECTS_TOTAL BareCounter "feed_reconnects_total"
        "Times the feed was connected again after a loss."
    RECORDS_TOTAL Counter "records_total"
        "Records of the records queue, by outcome: written (removals too) or skipped."
    RECORDS_BATCH_SIZE BareHistogram "records_batch_size"
        "Messages of the records queue written in one transaction."
    RECORDS_BATCH_SECONDS Histogram "records_batch_seconds"
        "Time one batch of the records queue spends in each phase, in seconds."
    RECORDS_IN_FLIGHT BareGauge "records_in_flight"
        "Messages consumed from the records queue and not yet acknowledged."
    RECORDS_CONNECTED BareGauge "records_connected"
        "1 while the records queue is consumed or stands by for it, else 0."
    RECORDS_RECONNECTS_TOTAL BareCounter "records_reconnects_total"
        "Times the records queue was connected again after a loss."
    STORE_POOL Gauge "store_pool"
        "Connections to the store, by state."
    STORE_RETRIES_TOTAL Counter "store_retries_total"
        "Transactions retried after a conflict, by reason."
    OUTBOX_PENDING Gauge "outbox_pending"
        "Events not yet confirmed by the broker."
    OUTBOX_OLDEST_SECONDS Gauge "outbox_oldest_seconds"
        "Age of the oldest of them, in seconds; 0 where there is none."
    CONFIRMATIONS_PENDING Gauge "confirmations_pending"
        "Confirmation e-mails not yet taken by the mail server."
    CONFIRMATIONS_OLDEST_SECONDS Gauge "confirmations_oldest_seconds"
        "Age of the oldest of them, in seconds; 0 where there is none, or no mail server."
    MAILS_TOTAL Counter "mails_total"
        "Attempts to send a confirmation e-mail, by result."
    GUARD_HELD Gauge "guard_held"
        "Enrollments that the volume guard holds until a person approves or rejects them."
    PAUSED Gauge "paused"
        "Pauses in force: of everything, of accounts, of workflows."
    TRANSITIONS_TOTAL Counter "transitions_total"
        "Contacts that changed state, by transition and by who caused it."
    RECORD_TRANSITIONS_TOTAL Counter "record_transitions_total"
        "Records that are no contacts and changed state, by type, transition and who caused it; types of an account's own are `custom`."
    RETENTION_DELETED_TOTAL Counter "retention_deleted_total"
        "Rows removed for good, by job."
    RETENTION_BACKLOG Gauge "retention_backlog"
        "Rows due for removal and still there, by job."
    RETENTION_RECORD_BACKLOG Gauge "retention_record_backlog"
        "Records that are no contacts, due for removal and still there, by type; types of an account's own are `custom`."
    RETENTION_OLDEST_OVERDUE_SECONDS Gauge "retention_oldest_overdue_seconds"
        "How long the oldest row due for removal has been due, in seconds, by job."
    JOB_LAST_SUCCESS_TIMESTAMP_SECONDS Gauge "job_last_success_timestamp_seconds"
        "When the job last ran to its end, in seconds since 1970, by job."
    JOB_RUNS_TOTAL Counter "job_runs_total"
        "Runs of scheduled jobs, by job and result."
    PURGE_WAITS_FOR_CLOCK BareGauge "purge_waits_for_clock"
        "1 while nothing is deleted by age because the clock has jumped by more than a day, else 0."
    SCHEDULER_LEADER BareGauge "scheduler_leader"
        "1 while this process runs the scheduled jobs, else 0."
    DRAIN_SECONDS BareHistogram "drain_seconds"
        "Time from the signal to stop until everything in hand was settled, in seconds."
    BUILD_INFO Gauge "build_info"
        "Always 1; version and revision of this program."
}

/// Milliseconds while the feed is idle, hours after an outage.
const AGE_BUCKETS: &[f64] = &[
    0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 900.0, 3_600.0,
    21_600.0, 86_400.0,
];
/// From one message at low load to the largest batch there may be.
const SIZE_BUCKETS: &[f64] =
    &[1.0, 2.0, 5.0, 10.0, 25.0, 50.0, 100.0, 200.0, 300.0, 500.0, 1_000.0, 2_000.0, 5_000.0];
/// From one statement on a local database to its timeout.
const PHASE_BUCKETS: &[f64] =
    &[0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0];
/// Up to the longest grace periods in use.
const DRAIN_BUCKETS: &[f64] = &[0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0];

const BUCKETS: [(&str, &[f64]); 6] = [
    (ENROLLMENT_AGE_SECONDS, AGE_BUCKETS),
    (BATCH_SIZE, SIZE_BUCKETS),
    (BATCH_SECONDS, PHASE_BUCKETS),
    (RECORDS_BATCH_SIZE, SIZE_BUCKETS),
    (RECORDS_BATCH_SECONDS, PHASE_BUCKETS),
    (DRAIN_SECONDS, DRAIN_BUCKETS),
];

/// The metrics of this process.
#[derive(Debug, Clone)]
pub struct Telemetry {
    handle: PrometheusHandle,
}

impl Telemetry {
    /// Counts from now on, for the whole process.
    ///
    /// # Errors
    ///
    /// Something in this process counts already.
    pub fn install() -> Result<Self, TelemetryError> {
        let (recorder, telemetry) = Self::build()?;
        metrics::set_global_recorder(recorder).map_err(BuildError::from)?;
        Ok(telemetry)
    }

    /// The recorder with every metric described, not yet installed.
    fn build() -> Result<(PrometheusRecorder, Self), TelemetryError> {
        let mut builder = PrometheusBuilder::new();
        for (name, buckets) in BUCKETS {
            builder = builder.set_buckets_for_metric(Matcher::Full(name.to_owned()), buckets)?;
        }
        let recorder = builder.build_recorder();
        metrics::with_local_recorder(&recorder, describe);
        let handle = recorder.handle();
        Ok((recorder, Self { handle }))
    }

    /// Everything counted so far, in Prometheus' text format.
    pub fn render(&self) -> String {
        self.handle.render()
    }

    /// Folds what the histograms collected. Call it every few seconds: between two calls they keep every single
    /// sample in memory, whether or not anybody asks for the metrics.
    pub fn run_upkeep(&self) {
        self.handle.run_upkeep();
    }
}

fn describe() {
    for Metric { kind, name, help } in METRICS {
        match kind {
            Kind::Counter | Kind::BareCounter => metrics::describe_counter!(*name, *help),
            Kind::Gauge | Kind::BareGauge => metrics::describe_gauge!(*name, *help),
            Kind::Histogram | Kind::BareHistogram => metrics::describe_histogram!(*name, *help),
        }
        match kind {
            Kind::BareCounter => metrics::counter!(*name).absolute(0),
            Kind::BareGauge => metrics::gauge!(*name).set(0.0),
            Kind::BareHistogram => drop(metrics::histogram!(*name)),
            Kind::Counter | Kind::Gauge | Kind::Histogram => {}
        }
    }
    let revision = option_env!("CONTACT_REAPER_REVISION").unwrap_or("unknown");
    metrics::gauge!(BUILD_INFO, "version" => env!("CARGO_PKG_VERSION"), "revision" => revision).set(1.0);
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::process::{Command, Stdio};

    use super::*;

    /// Everything once, with a label where the contract has labels.
    fn rendered() -> String {
        let (recorder, telemetry) = Telemetry::build().unwrap();
        metrics::with_local_recorder(&recorder, || {
            for Metric { kind, name, .. } in METRICS {
                match kind {
                    Kind::BareCounter => metrics::counter!(*name).increment(1),
                    Kind::Counter => metrics::counter!(*name, "reason" => "a \"b\"").increment(1),
                    Kind::Gauge | Kind::BareGauge => metrics::gauge!(*name).set(1.0),
                    Kind::Histogram | Kind::BareHistogram => metrics::histogram!(*name).record(0.3),
                }
            }
        });
        telemetry.run_upkeep();
        telemetry.render()
    }

    #[test]
    fn every_metric_has_help_and_a_type_and_every_histogram_its_buckets() {
        let text = rendered();
        for Metric { kind, name, help } in METRICS {
            assert!(text.contains(&format!("# HELP {name} {help}\n")), "{name} in {text}");
            let kind_name = match kind {
                Kind::Counter | Kind::BareCounter => "counter",
                Kind::Gauge | Kind::BareGauge => "gauge",
                Kind::Histogram | Kind::BareHistogram => "histogram",
            };
            assert!(text.contains(&format!("# TYPE {name} {kind_name}\n")), "{name} in {text}");
            assert_eq!(
                matches!(kind, Kind::Histogram | Kind::BareHistogram),
                BUCKETS.iter().any(|(with_buckets, _)| with_buckets == name)
            );
        }
    }

    #[test]
    fn promtool_accepts_them() {
        let mut promtool = Command::new("promtool")
            .args(["check", "metrics"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("promtool comes with the package prometheus, which tests/run.sh installs");
        promtool.stdin.take().unwrap().write_all(rendered().as_bytes()).unwrap();
        let output = promtool.wait_with_output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success() && said.trim().is_empty(), "{said}");
    }

    #[test]
    fn libraries_that_log_passwords_stay_off_whatever_is_asked_for() {
        let level = "trace,lapin=trace,lapin::connection=trace,amq_protocol_tcp=trace, sqlx_postgres::options::parse=warn";
        let text =
            filter(&LogOptions { json: false, level: level.to_owned(), verbose: false }).unwrap().to_string();
        let mut directives: Vec<&str> = text.split(',').collect();
        directives.sort_unstable();
        let expected = [
            "amq_protocol=off",
            "lapin=off",
            "sqlx::postgres::notice=error",
            "sqlx_postgres::options=off",
            "trace",
        ];
        assert_eq!(directives, expected);
    }

    #[test]
    fn verbose_adds_debug_for_this_program_only() {
        let options = LogOptions { json: false, level: "warn".to_owned(), verbose: true };
        let text = filter(&options).unwrap().to_string();
        assert!(text.contains("contact_reaper=debug") && text.contains("warn"), "{text}");
        let options = LogOptions { verbose: false, ..options };
        let text = filter(&options).unwrap().to_string();
        assert!(text.contains("warn") && !text.contains("contact_reaper"), "{text}");
        assert!(filter(&LogOptions { level: "contact_reaper=loud".to_owned(), ..options }).is_err());
    }
}
