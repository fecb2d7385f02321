//! The real binary, configured by environment alone, as a script would use it.

use std::process::Command;

use serde_json::Value;

use super::process::run_to_end;
use super::{Broker, Database, Worker, records};

/// How a finished command ended and what it said.
#[derive(Debug)]
pub struct Output {
    /// The exit code; -1 where a signal ended it.
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

/// The binary with its settings; each call starts a process.
#[derive(Clone)]
pub struct Reaper {
    environment: Vec<(String, String)>,
    /// The program that starts it, with its arguments.
    started_by: Vec<String>,
}

impl Reaper {
    /// On this store, and otherwise as it comes, but that no contact is waited for: nothing of the environment of whoever
    /// runs the tests.
    pub fn new(database: &Database) -> Self {
        let reaper = Self::without_a_store().setting("store.url", database.url());
        reaper.setting("feed.wait_for_contact", "0s")
    }

    /// Told of no store.
    pub fn without_a_store() -> Self {
        Self { environment: Vec::new(), started_by: Vec::new() }
    }

    /// With this broker as its feed.
    pub fn fed_by(self, broker: &Broker) -> Self {
        broker.settings().into_iter().fold(self, |reaper, (key, value)| reaper.setting(key, &value))
    }

    /// With a volume guard that is in nobody's way, for tests that delete most of what there is.
    pub fn unguarded(self) -> Self {
        let reaper = self.setting("guard.workflow.max_deletions", "1000000");
        reaper.setting("guard.account.max_deletions", "1000000").setting("guard.account.max_share", "1")
    }

    /// With a setting, by its dotted key; a later one wins.
    pub fn setting(mut self, key: &str, value: &str) -> Self {
        let variable = format!("CONTACT_REAPER_{}", key.to_uppercase().replace('.', "__"));
        self.environment.push((variable, value.to_owned()));
        self
    }

    /// With a clock that stands at this time, in UTC, or that is wrong by this much, such as `+1d`.
    pub fn in_time(mut self, time: &str) -> Self {
        let faketime = ["env", "TZ=UTC", "faketime", "--exclude-monotonic", "-f", time];
        self.started_by = faketime.map(str::to_owned).to_vec();
        self
    }

    /// With a clock that is wrong by this much, such as `+100d`; the program itself is the process, and gets the signals.
    pub fn with_clock_off_by(mut self, offset: &str) -> Self {
        let faketime = format!("FAKETIME={offset}");
        let library = "LD_PRELOAD=/usr/$LIB/faketime/libfaketime.so.1";
        self.started_by =
            ["env", library, &faketime, "FAKETIME_DONT_FAKE_MONOTONIC=1"].map(str::to_owned).to_vec();
        self
    }

    /// As nohup starts it, or as a terminal does, however these tests were started themselves.
    pub fn ignoring_hangups(mut self, ignores: bool) -> Self {
        let signal = if ignores { "--ignore-signal=HUP" } else { "--default-signal=HUP" };
        self.started_by = ["env", signal].map(str::to_owned).to_vec();
        self
    }

    /// With files that anybody may read unless it says otherwise.
    pub fn umask(mut self, umask: &str) -> Self {
        let script = format!("umask {umask}; exec \"$0\" \"$@\"");
        self.started_by = ["sh", "-c", &script].map(str::to_owned).to_vec();
        self
    }

    /// With a standard error that cannot be written.
    pub fn without_standard_error(mut self) -> Self {
        self.started_by = ["sh", "-c", "exec \"$0\" \"$@\" 2>/dev/full"].map(str::to_owned).to_vec();
        self
    }

    /// As systemd starts it that listens at this socket, and wants a sign of life every so many microseconds.
    pub fn watched_by(mut self, socket: &std::path::Path, every: u32) -> Self {
        let (socket, every) =
            (format!("NOTIFY_SOCKET={}", socket.display()), format!("WATCHDOG_USEC={every}"));
        self.started_by = vec!["env".to_owned(), socket, every];
        self
    }

    /// Unable to write a file beyond so many bytes, which is an error of the write, as on a full disk, and not the end.
    pub fn with_files_up_to(mut self, bytes: u64) -> Self {
        let limit = format!("--fsize={bytes}:unlimited");
        self.started_by = ["env", "--ignore-signal=XFSZ", "prlimit", &limit].map(str::to_owned).to_vec();
        self
    }

    /// Runs a command to its end, with nothing on standard input.
    pub async fn run(&self, args: &[&str]) -> Output {
        self.run_with_input(args, "").await
    }

    /// Runs a command to its end, with a text on standard input.
    pub async fn run_with_input(&self, args: &[&str], input: &str) -> Output {
        let (mut command, input) = (self.command(args), input.to_owned());
        let run = tokio::task::spawn_blocking(move || run_to_end(&mut command, input));
        run.await.unwrap_or_else(|panic| std::panic::resume_unwind(panic.into_panic()))
    }

    /// Runs a command that must succeed, with `--json`, and reads the one document it prints.
    pub async fn json(&self, args: &[&str]) -> Value {
        let output = self.run(&[&["--json"], args].concat()).await;
        assert_eq!(output.code, 0, "{args:?} failed:\n{}", output.stderr);
        serde_json::from_str(&output.stdout)
            .unwrap_or_else(|error| panic!("{args:?} printed no JSON document ({error}):\n{}", output.stdout))
    }

    /// Imports records, which must succeed; the schema is made first.
    pub async fn import(&self, imported: &[Value]) {
        for (args, input) in
            [(["migrate"].as_slice(), String::new()), (&["import", "-"], records::lines(imported))]
        {
            let output = self.run_with_input(args, &input).await;
            assert_eq!(output.code, 0, "{args:?} failed:\n{}", output.stderr);
        }
    }

    /// Starts a command that runs until it is told to stop, on any free port, with logs for machines.
    pub fn spawn(&self, args: &[&str]) -> Worker {
        let reaper = self.clone().setting("http.listen", "127.0.0.1:0").setting("log.format", "json");
        Worker::start(&mut reaper.command(args))
    }

    fn command(&self, args: &[&str]) -> Command {
        let binary = env!("CARGO_BIN_EXE_contact-reaper");
        let mut command = match self.started_by.split_first() {
            Some((program, args)) => {
                let mut command = Command::new(program);
                command.args(args).arg(binary);
                command
            }
            None => Command::new(binary),
        };
        let ours = |name: &String| name.starts_with("CONTACT_REAPER_");
        for name in std::env::vars_os().filter_map(|(name, _)| name.into_string().ok()).filter(ours) {
            command.env_remove(name);
        }
        command.args(args).envs(self.environment.iter().cloned()).current_dir(std::env::temp_dir());
        command
    }
}
