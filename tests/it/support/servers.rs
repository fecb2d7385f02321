//! Servers of a test's own, for faults that would hurt the other tests: a run of `tests/run.sh` inside the run.

use std::collections::HashMap;
use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};

/// A private PostgreSQL and a private RabbitMQ; gone when dropped, or with the test's process.
pub struct Servers {
    /// Ends when its standard input does.
    run: Child,
    exported: HashMap<String, String>,
}

impl Servers {
    /// Starts them, which takes several seconds.
    pub async fn start() -> Self {
        tokio::task::spawn_blocking(Self::start_now).await.expect("the servers start")
    }

    fn start_now() -> Self {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/run.sh");
        let mut command = Command::new(script);
        command.args(["--with", "cat"]).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut run = command.spawn().expect("tests/run.sh starts");
        let mut lines = BufReader::new(run.stderr.take().expect("piped")).lines().map_while(Result::ok);
        let mut exported = HashMap::new();
        let mut said = Vec::new();
        while !exported.contains_key("TEST_RABBITMQCTL") {
            let Some(line) = lines.next() else { panic!("the servers do not start: {}", said.join("\n")) };
            match line.strip_prefix("export ").and_then(|export| export.split_once('=')) {
                Some((name, value)) => drop(exported.insert(name.to_owned(), value.to_owned())),
                None => said.push(line),
            }
        }
        // Somebody has to listen as long as it may say something.
        std::thread::spawn(move || lines.for_each(drop));
        Self { run, exported }
    }

    /// A superuser on the PostgreSQL.
    pub fn postgres_url(&self) -> &str {
        &self.exported["TEST_POSTGRES_URL"]
    }

    /// The RabbitMQ.
    pub fn amqp_url(&self) -> &str {
        &self.exported["TEST_AMQP_URL"]
    }

    /// Sends a signal, by its name without `SIG`, to everything that PostgreSQL consists of.
    pub fn signal_postgres(&self, name: &str) {
        // Each of its processes leads a group of its own.
        let postmaster = &self.exported["TEST_POSTGRES_PID"];
        let children = Command::new("pgrep").args(["-P", postmaster]).output().expect("pgrep runs");
        let children = String::from_utf8(children.stdout).expect("numbers");
        signal(name, children.split_whitespace().chain([postmaster.as_str()]));
    }

    /// As [`Servers::signal_postgres`], for RabbitMQ.
    pub fn signal_rabbitmq(&self, name: &str) {
        signal(name, [format!("-{}", self.exported["TEST_AMQP_PID"]).as_str()]);
    }

    /// Runs `rabbitmqctl`, which must succeed.
    pub async fn rabbitmqctl(&self, args: &[&str]) {
        let mut command = Command::new(&self.exported["TEST_RABBITMQCTL"]);
        command.args(args);
        let output = tokio::task::spawn_blocking(move || command.output()).await.expect("it runs");
        let output = output.expect("rabbitmqctl runs");
        assert!(output.status.success(), "{args:?}: {output:?}");
    }
}

impl Drop for Servers {
    fn drop(&mut self) {
        for name in ["TEST_POSTGRES_PID", "TEST_AMQP_PID"] {
            // What a failed test left stopped would not end.
            let group = format!("-{}", self.exported[name]);
            drop(Command::new("kill").args(["-s", "CONT", "--", &group]).stderr(Stdio::null()).status());
        }
        drop(self.run.stdin.take());
        drop(self.run.wait());
    }
}

fn signal<'a>(name: &str, whom: impl IntoIterator<Item = &'a str>) {
    // A process of the server's that is gone by now is no failure.
    let status = Command::new("kill").args(["-s", name, "--"]).args(whom).stderr(Stdio::null()).status();
    status.expect("kill runs");
}
