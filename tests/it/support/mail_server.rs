//! A real mail server on a port of its own, and the mails it has taken.

use std::process::Command;
use std::time::Duration;

use serde_json::Value;

use super::process::Process;
use super::wait_until;

/// Debian's own interpreter: the server's library is one of its packages.
const PYTHON: &str = "/usr/bin/python3";
const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/support/mail_server.py");

/// A mail server; killed when dropped. How it treats a recipient stands at the top of its script.
pub struct MailServer {
    process: Process,
    port: u64,
}

/// A mail as the server took it.
#[derive(Clone, Debug)]
pub struct Mail {
    /// The recipients of the envelope.
    pub to: Vec<String>,
    /// Headers and body, as they came.
    pub raw: String,
}

impl MailServer {
    /// Lets everybody in.
    pub async fn new() -> Self {
        Self::start(&[]).await
    }

    /// Lets in who knows the password.
    pub async fn with_password(user: &str, password: &str) -> Self {
        Self::start(&[user, password]).await
    }

    async fn start(args: &[&str]) -> Self {
        let process = Process::spawn(Command::new(PYTHON).arg(SCRIPT).args(args), String::new());
        let mut server = Self { process, port: 0 };
        wait_until("the mail server listens", Duration::from_secs(30), async || {
            let ended = server.process.ended();
            assert!(ended.is_none(), "tests/run.sh installs its library:\n{}", server.process.stderr.text());
            server.port = server.said().iter().find_map(|line| line["port"].as_u64()).unwrap_or_default();
            server.port != 0
        })
        .await;
        server
    }

    /// Its `host:port`.
    pub fn host(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// The mails it has taken, oldest first.
    pub fn mails(&self) -> Vec<Mail> {
        let text = |value: &Value| value.as_str().expect("a text").to_owned();
        let mail = |line: &Value| {
            let to = line["to"].as_array()?.iter().map(text).collect();
            Some(Mail { to, raw: text(&line["raw"]) })
        };
        self.said().iter().filter_map(mail).collect()
    }

    fn said(&self) -> Vec<Value> {
        let said = self.process.stdout.text();
        let whole = said.rsplit_once('\n').map_or("", |(lines, _)| lines);
        whole.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
    }
}

impl Mail {
    /// The value of a header.
    pub fn header(&self, name: &str) -> &str {
        let start = format!("{name}: ");
        let head = self.raw.split("\r\n\r\n").next().unwrap_or_default();
        let mut values = head.split("\r\n").filter_map(|line| line.strip_prefix(&start));
        let value = values.next().unwrap_or_else(|| panic!("no {name} in {head}"));
        assert_eq!(values.next(), None, "{name} stands there once");
        value
    }
}
