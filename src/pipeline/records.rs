//! Records of a CRM: messages that are written to the store.

use metrics::counter;
use tracing::{debug, warn};

use super::{Handler, Metrics};
use crate::domain::record::Record;
use crate::domain::record_event::parse_records;
use crate::domain::rejection::Rejection;
use crate::domain::trace::TraceContext;
use crate::ports::{Answers, BatchError, Message, RecordWriter};
use crate::telemetry;

/// Has records written.
#[derive(Clone, Debug)]
pub struct Records<W>(pub W);

impl<W: RecordWriter> Handler for Records<W> {
    type Event = Vec<Record>;
    type Answer = ();
    type Store = W;

    const METRICS: Metrics = Metrics {
        batch_size: telemetry::RECORDS_BATCH_SIZE,
        batch_seconds: telemetry::RECORDS_BATCH_SECONDS,
        phases: ["write", "settle"],
        in_flight: telemetry::RECORDS_IN_FLIGHT,
        connected: telemetry::RECORDS_CONNECTED,
        reconnects: telemetry::RECORDS_RECONNECTS_TOTAL,
    };

    fn store(&self) -> &W {
        &self.0
    }

    fn parse(&self, body: &[u8], _: Option<TraceContext>) -> Result<Vec<Record>, Rejection> {
        parse_records(body)
    }

    async fn handle(&self, batch: &[Message<'_, Vec<Record>>]) -> Result<Answers<()>, BatchError> {
        self.0.write(batch).await
    }

    fn report(&self, records: &Vec<Record>, (): &()) {
        debug!(records = records.len(), "records of a message taken in");
    }

    fn report_retry(&self, _: Option<&Vec<Record>>, reason: &'static str, problem: &str) {
        warn!(reason, error = problem, "records scheduled for retry");
    }

    fn init_metrics() {
        for outcome in ["written", "skipped"] {
            counter!(telemetry::RECORDS_TOTAL, "outcome" => outcome).increment(0);
        }
    }
}
