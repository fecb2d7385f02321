//! Child processes that end with the test, and whose output is always read.

use std::io::{Read, Write as _};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::Output;

/// Longer than any command that ends by itself may take.
const RUN_DEADLINE: Duration = Duration::from_mins(5);

/// A running child; killed when dropped.
pub struct Process {
    child: Child,
    pub stdout: Collected,
    pub stderr: Collected,
}

impl Process {
    /// Starts a command and writes `input` to its standard input, then closes it.
    pub fn spawn(command: &mut Command, input: String) -> Self {
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}"));
        let mut stdin = child.stdin.take().expect("piped");
        // A child that ends before it has read everything is its own affair.
        std::thread::spawn(move || stdin.write_all(input.as_bytes()));
        let stdout = Collected::from(child.stdout.take().expect("piped"));
        let stderr = Collected::from(child.stderr.take().expect("piped"));
        Self { child, stdout, stderr }
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// The status of a child that has ended, its output complete.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        let status = self.child.try_wait().expect("the child can be waited for")?;
        self.stdout.finish();
        self.stderr.finish();
        Some(status)
    }

    /// Ends the child with SIGKILL and waits until it is gone.
    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Runs a command to its end, blocking; one that hangs fails the test with what it had printed.
pub fn run_to_end(command: &mut Command, input: String) -> Output {
    let mut process = Process::spawn(command, input);
    let started = Instant::now();
    loop {
        if let Some(status) = process.ended() {
            // No code means a signal, which no caller expects.
            let code = status.code().unwrap_or(-1);
            return Output { code, stdout: process.stdout.text(), stderr: process.stderr.text() };
        }
        let late = started.elapsed() > RUN_DEADLINE;
        assert!(!late, "{command:?} does not end; standard error so far:\n{}", process.stderr.text());
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// What a child has printed so far, collected by a thread so that the child never waits for a reader.
pub struct Collected {
    bytes: Arc<Mutex<Vec<u8>>>,
    reader: Option<JoinHandle<()>>,
}

impl Collected {
    fn from(mut pipe: impl Read + Send + 'static) -> Self {
        let bytes = Arc::new(Mutex::new(Vec::new()));
        let collected = Arc::clone(&bytes);
        let reader = std::thread::spawn(move || {
            let mut chunk = [0; 8192];
            while let Ok(length @ 1..) = pipe.read(&mut chunk) {
                collected.lock().expect("no reader panics").extend_from_slice(&chunk[..length]);
            }
        });
        Self { bytes, reader: Some(reader) }
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.bytes.lock().expect("no reader panics")).into_owned()
    }

    fn finish(&mut self) {
        if let Some(reader) = self.reader.take() {
            reader.join().expect("the reader does not panic");
        }
    }
}
