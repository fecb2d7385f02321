//! A running service: asked over HTTP, told to stop by signals, or killed.

use std::process::{Command, ExitStatus};
use std::time::Duration;

use serde_json::Value;

use super::http::{Answered, Asking};
use super::process::Process;
use super::wait_until;

/// A process that runs until it is stopped; killed when dropped.
pub struct Worker {
    process: Process,
}

impl Worker {
    /// Starts a command that serves, and logs in JSON.
    pub fn start(command: &mut Command) -> Self {
        Self { process: Process::spawn(command, String::new()) }
    }

    /// Waits until `/readyz` says yes; fails the test if the process ends first.
    pub async fn wait_ready(&mut self) {
        wait_until("the service is ready", super::DEADLINE, async || {
            if let Some(status) = self.process.ended() {
                panic!("the service ended before it was ready ({status}):\n{}", self.stderr());
            }
            self.is_ready().await
        })
        .await;
    }

    /// What `/readyz` says now.
    pub async fn is_ready(&self) -> bool {
        match self.address() {
            Some(address) => {
                Asking::get("/readyz").of(&address).await.is_ok_and(|answered| answered.status == 200)
            }
            None => false,
        }
    }

    /// Waits until the service says where it listens: it can be asked from then on, ready or not.
    pub async fn wait_listening(&mut self) {
        wait_until("the service listens", super::DEADLINE, async || {
            if let Some(status) = self.process.ended() {
                panic!("the service ended before it listened ({status}):\n{}", self.stderr());
            }
            self.address().is_some()
        })
        .await;
    }

    /// The process.
    pub fn id(&self) -> u32 {
        self.process.id()
    }

    /// The memory of it that is in the machine's, in KiB, now.
    pub fn resident_kib(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.id())).expect("it runs");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("it is a process");
        line.trim().trim_end_matches(" kB").parse().expect("a number")
    }

    /// The status and the body of a page.
    pub async fn get(&self, path: &str) -> (u16, String) {
        let Answered { status, body, .. } = self.ask(&Asking::get(path)).await;
        (status, body)
    }

    /// The status of an answer, or none where the service hung up before it was heard.
    pub async fn status_unless_hung_up(&self, asking: &Asking) -> Option<u16> {
        let address = self.address().expect("the service has logged http.address: wait until it is ready");
        asking.of(&address).await.ok().map(|answered| answered.status)
    }

    /// The answer to a request.
    pub async fn ask(&self, asking: &Asking) -> Answered {
        let address = self.address().expect("the service has logged http.address: wait until it is ready");
        asking.of(&address).await.unwrap_or_else(|error| panic!("{asking:?}: {error}"))
    }

    /// The metrics as Prometheus would read them.
    pub async fn metrics(&self) -> String {
        let (status, body) = self.get("/metrics").await;
        assert_eq!(status, 200, "{body}");
        body
    }

    /// Everything the service has logged so far; complete once it has ended.
    pub fn stderr(&self) -> String {
        self.process.stderr.text()
    }

    /// Everything on standard output so far; complete once it has ended.
    pub fn stdout(&self) -> String {
        self.process.stdout.text()
    }

    /// Asks the service to stop: SIGTERM.
    pub fn terminate(&self) {
        self.signal("TERM");
    }

    /// Sends a signal by its name, without `SIG`.
    pub fn signal(&self, name: &str) {
        let id = self.process.id().to_string();
        let sent = Command::new("kill").args(["-s", name, &id]).status().expect("kill runs");
        assert!(sent.success(), "process {id} is gone already:\n{}", self.stderr());
    }

    /// Kills the service where it stands: SIGKILL. It is gone when this returns.
    pub fn kill9(&mut self) {
        self.process.kill();
    }

    /// How the process ended, if it has.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.process.ended()
    }

    /// Waits until the service has ended; a service that does not fails the test.
    pub async fn exit(&mut self, deadline: Duration) -> ExitStatus {
        let mut status = None;
        wait_until("the service has ended", deadline, async || {
            status = self.ended();
            status.is_some()
        })
        .await;
        status.expect("ended")
    }

    /// The address that the service says it listens on, once it has said so.
    pub fn address(&self) -> Option<String> {
        let logs = self.stderr();
        let mut lines = logs.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        lines.find_map(|line| Some(line.get("http.address")?.as_str()?.to_owned()))
    }
}
