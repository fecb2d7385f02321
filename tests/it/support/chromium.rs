//! A real browser, driven over the `WebDriver` protocol by Debian's `chromedriver`.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::process::Command;

use serde_json::{Value, json};
use tokio::time::timeout;

use super::process::Process;
use super::{Asking, DEADLINE, TempDir, wait_until};

/// Without a display, and without the calls home of a browser that somebody uses.
const SWITCHES: [&str; 8] = [
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
];

/// Keys that are no letters, as the protocol writes them.
pub const TAB: &str = "\u{E004}";
pub const ENTER: &str = "\u{E007}";
pub const SPACE: &str = " ";

/// One window; gone when dropped.
pub struct Chromium {
    _driver: Process,
    address: String,
    session: String,
    /// What it keeps on disk.
    _profile: TempDir,
}

impl Chromium {
    pub async fn start() -> Self {
        let profile = TempDir::new();
        let mut command = Command::new("chromedriver");
        let driver = Process::spawn(command.arg("--port=0"), String::new());
        let mut address = None;
        wait_until("chromedriver listens", DEADLINE, async || {
            let said = driver.stdout.text();
            let port = said.split_once("successfully on port ").and_then(|(_, rest)| rest.split_once('.'));
            address = port.map(|(port, _)| format!("127.0.0.1:{port}"));
            address.is_some()
        })
        .await;
        let kept = format!("--user-data-dir={}", profile.path().display());
        let switches: Vec<&str> = SWITCHES.into_iter().chain([kept.as_str()]).collect();
        let mut chromium = Self {
            _driver: driver,
            address: address.expect("waited for"),
            session: String::new(),
            _profile: profile,
        };
        let wanted = json!({"capabilities": {"alwaysMatch": {"goog:chromeOptions": {"args": switches}}}});
        let made = chromium.post("", &wanted).await;
        chromium.session = format!("/{}", made["sessionId"].as_str().expect("a session"));
        chromium
    }

    async fn post(&self, command: &str, parameters: &Value) -> Value {
        let asking = Asking::post(&format!("/session{}{command}", self.session), parameters).by_newer_http();
        let answered =
            timeout(DEADLINE, asking.of(&self.address)).await.expect("chromedriver answers in time");
        let answered = answered.expect("chromedriver answers");
        let mut answer: Value = serde_json::from_str(&answered.body).expect("JSON");
        assert_eq!(answered.status, 200, "{command} {parameters}: {answer}");
        answer["value"].take()
    }

    /// Opens a page, and waits until it is there.
    pub async fn open(&self, url: &str) {
        self.post("/url", &json!({"url": url})).await;
    }

    /// What a function's body returns that is run within the page.
    pub async fn run(&self, script: &str) -> Value {
        self.post("/execute/sync", &json!({"script": script, "args": []})).await
    }

    /// The text that somebody sees.
    pub async fn text(&self) -> String {
        self.run("return document.body.innerText").await.as_str().expect("text").to_owned()
    }

    /// Presses keys one after the other, wherever the focus is.
    pub async fn press(&self, keys: &str) {
        let strokes: Vec<Value> = keys
            .chars()
            .flat_map(|key| ["keyDown", "keyUp"].map(|kind| json!({"type": kind, "value": key})))
            .collect();
        self.post("/actions", &json!({"actions": [{"type": "key", "id": "keyboard", "actions": strokes}]}))
            .await;
    }

    /// As a device shows it: its width, and whether its people like it dark.
    pub async fn show_on(&self, width: u32, is_dark: bool) {
        let scheme = if is_dark { "dark" } else { "light" };
        let of_width = json!({"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 600});
        let of_scheme = json!({"features": [{"name": "prefers-color-scheme", "value": scheme}]});
        for (cmd, params) in
            [("Emulation.setDeviceMetricsOverride", of_width), ("Emulation.setEmulatedMedia", of_scheme)]
        {
            self.post("/goog/cdp/execute", &json!({"cmd": cmd, "params": params})).await;
        }
    }
}

impl Drop for Chromium {
    /// The driver, asked, takes the browser along; killed, it would leave it behind.
    fn drop(&mut self) {
        let Ok(mut stream) = TcpStream::connect(&self.address) else { return };
        let (session, address) = (&self.session, &self.address);
        let goodbye =
            format!("DELETE /session{session} HTTP/1.1\r\nHost: {address}\r\nContent-Length: 0\r\n\r\n");
        let _ = stream.set_read_timeout(Some(DEADLINE));
        if stream.write_all(goodbye.as_bytes()).is_ok() {
            let _ = stream.read(&mut [0; 1]);
        }
    }
}
