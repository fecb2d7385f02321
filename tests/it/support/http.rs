//! HTTP as a program speaks it that may say anything: no client library that would mend a request.

use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// A request.
#[derive(Clone, Debug)]
pub struct Asking {
    method: &'static str,
    path: String,
    /// Of HTTP. The older one ends every answer with its connection, and cuts none into pieces.
    version: &'static str,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
}

/// What was answered.
#[derive(Clone, Debug)]
pub struct Answered {
    pub status: u16,
    head: String,
    pub body: String,
}

impl Asking {
    pub fn get(path: &str) -> Self {
        Self { method: "GET", path: path.to_owned(), version: "1.0", headers: Vec::new(), body: Vec::new() }
    }

    /// Sends a JSON document.
    pub fn post(path: &str, document: &Value) -> Self {
        Self::sending(path, "application/json", document.to_string())
    }

    /// Sends a form.
    pub fn form(path: &str, fields: &[(&str, &str)]) -> Self {
        let fields: Vec<String> =
            fields.iter().map(|(name, value)| format!("{name}={}", encoded(value))).collect();
        Self::sending(path, "application/x-www-form-urlencoded", fields.join("&"))
    }

    pub fn sending(path: &str, kind: &str, body: impl Into<Vec<u8>>) -> Self {
        let asking = Self { method: "POST", body: body.into(), ..Self::get(path) };
        asking.with("content-type", kind)
    }

    pub fn by(self, method: &'static str) -> Self {
        Self { method, ..self }
    }

    /// For somebody who does not know the older HTTP.
    pub fn by_newer_http(self) -> Self {
        Self { version: "1.1", ..self }.with("connection", "close")
    }

    pub fn with(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Shows a token.
    pub fn showing(self, token: &str) -> Self {
        self.with("authorization", &format!("Bearer {token}"))
    }

    /// Asks over a connection of its own.
    pub async fn of(&self, address: &str) -> std::io::Result<Answered> {
        let mut stream = TcpStream::connect(address).await?;
        let mut head = vec![
            format!("{} {} HTTP/{}", self.method, self.path, self.version),
            format!("Host: {address}"),
            format!("Content-Length: {}", self.body.len()),
        ];
        head.extend(self.headers.iter().map(|(name, value)| format!("{name}: {value}")));
        let head = head.join("\r\n") + "\r\n\r\n";
        // Whoever has heard enough answers before it has read everything.
        let _ = stream.write_all(&[head.as_bytes(), &self.body].concat()).await;
        let mut answer = Vec::new();
        while !is_whole(&answer) && matches!(stream.read_buf(&mut answer).await, Ok(1..)) {}
        let answer = String::from_utf8_lossy(&answer);
        let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
        let status = head.split(' ').nth(1).and_then(|code| code.parse().ok());
        let status = status.ok_or_else(|| std::io::Error::other(format!("not an HTTP answer: {head}")))?;
        Ok(Answered { status, head: head.to_owned(), body: body.to_owned() })
    }
}

/// Has all arrived that the answer says it has? The connection may stay open: it may have been inherited.
fn is_whole(answer: &[u8]) -> bool {
    let Some(end) = answer.windows(4).position(|four| four == b"\r\n\r\n") else { return false };
    let head = String::from_utf8_lossy(&answer[..end]).to_ascii_lowercase();
    let length =
        head.lines().find_map(|line| line.strip_prefix("content-length:")?.trim().parse::<usize>().ok());
    length.is_some_and(|length| answer.len() >= end + 4 + length)
}

impl Answered {
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut lines = self.head.lines().filter_map(|line| line.split_once(": "));
        lines.find(|(header, _)| header.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }

    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body)
            .unwrap_or_else(|error| panic!("no JSON document ({error}):\n{}\n{}", self.head, self.body))
    }
}

/// As a form or a query has it.
pub fn encoded(text: &str) -> String {
    text.bytes()
        .map(|byte| match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' => char::from(byte).to_string(),
            _ => format!("%{byte:02X}"),
        })
        .collect()
}
