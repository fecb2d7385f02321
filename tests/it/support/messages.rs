//! Messages of AMQP with an event in each of its modes.

use std::io::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use flate2::Compression;
use flate2::write::GzEncoder;
use lapin::BasicProperties;
use lapin::types::{AMQPValue, FieldTable};
use serde_json::{Value, json};

pub fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(bytes).expect("memory takes it");
    encoder.finish().expect("memory takes it")
}

/// An event whose data is base64.
pub fn in_base64(mut event: Value) -> Value {
    let data = event.as_object_mut().and_then(|event| event.remove("data")).expect("an event has data");
    event["data_base64"] = json!(STANDARD.encode(data.to_string()));
    event
}

/// Properties of a message in AMQP's binary mode, its attributes under this prefix.
pub fn attributes(event: &Value, prefix: &str) -> FieldTable {
    let mut headers = FieldTable::default();
    for name in ["specversion", "id", "source", "type", "time"] {
        let value = AMQPValue::LongString(event[name].as_str().expect("a text").into());
        headers.insert(format!("{prefix}{name}").into(), value);
    }
    headers
}

pub fn binary(event: &Value, prefix: &str) -> (Vec<u8>, BasicProperties) {
    let properties = BasicProperties::default()
        .with_delivery_mode(2)
        .with_content_type("application/json".into())
        .with_headers(attributes(event, prefix));
    (event["data"].to_string().into_bytes(), properties)
}

pub fn typed(body: Vec<u8>, content_type: &str) -> (Vec<u8>, BasicProperties) {
    (body, BasicProperties::default().with_delivery_mode(2).with_content_type(content_type.into()))
}

pub fn batch(events: &[String]) -> (Vec<u8>, BasicProperties) {
    typed(format!("[{}]", events.join(",")).into_bytes(), "application/cloudevents-batch+json; charset=utf-8")
}
