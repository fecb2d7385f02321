//! Traces: what a small collector hears of a batch, and where a message's trace goes on.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message as _;
use serde_json::{Value, json};
use sqlx::{Connection as _, Executor as _, PgConnection};

use crate::support::records::{contact, entitled_account, event, manual_workflow};
use crate::support::{Broker, DEADLINE, Database, Reaper, Worker, wait_until};

/// Takes spans by OTLP over HTTP, and keeps them.
struct Collector {
    address: String,
    spans: Arc<Mutex<Vec<Span>>>,
}

impl Collector {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let spans = Arc::new(Mutex::new(Vec::new()));
        let taken = Arc::clone(&spans);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let request = read_request(stream.unwrap());
                let resources = request.resource_spans.into_iter();
                let scopes = resources.flat_map(|resource| resource.scope_spans);
                taken.lock().unwrap().extend(scopes.flat_map(|scope| scope.spans));
            }
        });
        Self { address, spans }
    }

    fn named(&self, name: &str) -> Vec<Span> {
        self.spans.lock().unwrap().iter().filter(|span| span.name == name).cloned().collect()
    }
}

fn read_request(stream: TcpStream) -> ExportTraceServiceRequest {
    let (head, body) = answer(stream, "200 OK");
    assert!(head.starts_with("post /v1/traces http/1.1\r\n"), "{head}");
    assert!(head.contains("content-type: application/x-protobuf"), "{head}");
    ExportTraceServiceRequest::decode(&body[..]).unwrap()
}

/// Reads a request to its end and answers it: a client that is still writing would hear no answer. Its head in lower case,
/// and its body.
fn answer(mut stream: TcpStream, status: &str) -> (String, Vec<u8>) {
    let mut bytes = Vec::new();
    let mut chunk = [0; 4096];
    loop {
        let length = stream.read(&mut chunk).unwrap();
        assert_ne!(length, 0, "a whole request");
        bytes.extend_from_slice(&chunk[..length]);
        let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") else { continue };
        let head = String::from_utf8(bytes[..end].to_vec()).unwrap().to_lowercase();
        let said = head.lines().find_map(|line| line.strip_prefix("content-length: ")).expect("a length");
        let body = &bytes[end + 4..];
        if body.len() == said.parse::<usize>().unwrap() {
            stream.write_all(format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n").as_bytes()).unwrap();
            return (head, body.to_vec());
        }
    }
}

/// The context of one trace, by its number.
fn traceparent(number: u128) -> String {
    format!("00-{:032x}-{number:016x}-01", 0xabc0 + number)
}

struct Scene {
    database: Database,
    broker: Broker,
    heard: String,
    worker: Worker,
}

impl Scene {
    /// Workflow 6 takes whoever is enrolled by hand.
    async fn new(endpoint: &str) -> Self {
        let (database, broker) = (Database::postgres().await, Broker::new().await);
        let heard = broker.listen(&[]).await;
        let reaper = Reaper::new(&database)
            .fed_by(&broker)
            .setting("traces.endpoint", endpoint)
            .setting("feed.rabbitmq.retry_delays", "300ms,600ms")
            .setting("store.statement_timeout", "1s");
        let mut records = entitled_account(1);
        records.push(manual_workflow(1, 6));
        records.extend((1..=9).map(|id| contact(1, id, json!({}))));
        reaper.import(&records).await;
        let mut worker = reaper.spawn(&["run"]);
        worker.wait_ready().await;
        Self { database, broker, heard, worker }
    }

    /// Enrolls a contact, by a message with this header.
    async fn enroll(&self, id: i64, traceparent: &str) {
        let mut event = event(1, 6, id, id);
        event["data"]["cause"] = json!("MANUAL");
        let headers = vec![("traceparent", lapin::types::AMQPValue::LongString(traceparent.into()))];
        self.broker.put(&self.broker.queue(), &[(event.to_string(), headers)]).await;
    }

    /// What was told of each contact: its id, the attribute and the header.
    async fn told(&self, count: u32) -> Vec<(String, Value, Option<String>)> {
        wait_until("events", DEADLINE, async || self.broker.count(&self.heard).await == count).await;
        let told = self.broker.drain(&self.heard).await.into_iter().map(|message| {
            let body: Value = serde_json::from_slice(&message.body).unwrap();
            assert_eq!(body["data"].get("traceparent"), None, "{body}");
            let contact = body["data"]["contactId"].as_str().unwrap().to_owned();
            (contact, body["traceparent"].clone(), message.headers.get("traceparent").cloned())
        });
        told.collect()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_batch_is_a_span_with_links_and_a_message_keeps_its_trace_to_the_end() {
    let collector = Collector::start();
    let mut scene = Scene::new(&format!("http://{}/v1/traces", collector.address)).await;
    scene.enroll(1, &traceparent(1)).await;
    scene.enroll(2, "zebedee@example.org").await;
    let mut told = scene.told(2).await;
    told.sort_by(|one, other| one.0.cmp(&other.0));
    let first = traceparent(1);
    assert_eq!(told[0], ("1".to_owned(), json!(first), Some(first.clone())));
    assert_eq!(told[1], ("2".to_owned(), Value::Null, None), "what is no context goes nowhere");

    // Put off while somebody has its row, it keeps its trace on the ladder.
    let mut lock = PgConnection::connect(scene.database.url()).await.unwrap();
    lock.execute("BEGIN; SELECT 1 FROM contacts WHERE contact_id = 3 FOR UPDATE").await.unwrap();
    scene.enroll(3, &traceparent(3)).await;
    let put_off = "contact_reaper_retries_total{reason=\"timed_out\"} 1";
    wait_until("it is put off", DEADLINE, async || scene.worker.metrics().await.contains(put_off)).await;
    lock.execute("COMMIT").await.unwrap();
    let third = traceparent(3);
    assert_eq!(scene.told(1).await, [("3".to_owned(), json!(third), Some(third.clone()))]);

    scene.worker.terminate();
    assert_eq!(scene.worker.exit(DEADLINE).await.code(), Some(0), "{}", scene.worker.stderr());
    let batches = collector.named("batch");
    let links: Vec<String> =
        batches.iter().flat_map(|span| &span.links).map(|link| hex(&link.trace_id)).collect();
    // Each try of the third is a batch of its own.
    assert_eq!(links, [&first, &third, &third].map(|context| context[3..35].to_owned()));
    for part in ["decide", "settle"] {
        let parts = collector.named(part);
        assert_eq!(parts.len(), batches.len());
        for part in parts {
            let batch = batches.iter().find(|batch| batch.span_id == part.parent_span_id);
            assert_eq!(batch.map(|batch| &batch.trace_id), Some(&part.trace_id));
        }
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().concat()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_collector_that_is_away_costs_spans_and_no_work() {
    let mut scene = Scene::new("http://127.0.0.1:1/v1/traces").await;
    scene.enroll(1, &traceparent(1)).await;
    let first = traceparent(1);
    assert_eq!(scene.told(1).await, [("1".to_owned(), json!(first), Some(first.clone()))]);
    scene.worker.terminate();
    assert_eq!(scene.worker.exit(DEADLINE).await.code(), Some(0), "{}", scene.worker.stderr());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_collector_that_refuses_is_logged() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            answer(stream.unwrap(), "404 Not Found");
        }
    });
    let scene = Scene::new(&format!("http://{address}/spans")).await;
    scene.enroll(1, &traceparent(1)).await;
    wait_until("it is logged", DEADLINE, async || {
        scene.worker.stderr().contains("the collector answered 404: check that traces.endpoint")
    })
    .await;
}
