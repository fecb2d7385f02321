//! Servers of a test's own, for faults that would hurt the other tests: a run of `tests/run.sh` inside the run.

use std::collections::HashMap;
use std::io::{BufRead as _, BufReader, Lines, Write as _};
use std::process::{Child, ChildStderr, Command, Output, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// A private PostgreSQL and a private RabbitMQ, and more of them on demand; gone when dropped, or with the test's process.
pub struct Servers {
    /// Ends when its standard input does.
    run: Child,
    said: Arc<Mutex<Said>>,
}

/// What the script says, and has said.
struct Said {
    lines: Lines<BufReader<ChildStderr>>,
    exported: HashMap<String, String>,
}

impl Said {
    /// Listens until it has said this name, again where it is known already.
    fn wait_for(&mut self, name: &str) -> String {
        self.exported.remove(name);
        let mut others = Vec::new();
        while !self.exported.contains_key(name) {
            let Some(Ok(line)) = self.lines.next() else {
                panic!("the servers do not start: {}", others.join("\n"))
            };
            match line.strip_prefix("export ").and_then(|export| export.split_once('=')) {
                Some((name, value)) => drop(self.exported.insert(name.to_owned(), value.to_owned())),
                None => others.push(line),
            }
        }
        self.exported[name].clone()
    }
}

impl Servers {
    /// Starts one of each, which takes several seconds.
    pub async fn start() -> Self {
        tokio::task::spawn_blocking(Self::start_now).await.expect("the servers start")
    }

    fn start_now() -> Self {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/run.sh");
        let mut command = Command::new(script);
        command.arg("--serve").stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut run = command.spawn().expect("tests/run.sh starts");
        let lines = BufReader::new(run.stderr.take().expect("piped")).lines();
        let mut said = Said { lines, exported: HashMap::new() };
        said.wait_for("TEST_RABBITMQCTL");
        Self { run, said: Arc::new(Mutex::new(said)) }
    }

    fn exported(&self, name: &str) -> String {
        listened(&self.said).exported[name].clone()
    }

    /// Has the script start something; what it says last of that.
    async fn order(&self, order: &str, last: String) -> String {
        writeln!(self.run.stdin.as_ref().expect("piped"), "{order}").expect("the script reads");
        let said = Arc::clone(&self.said);
        let answer = move || listened(&said).wait_for(&last);
        tokio::task::spawn_blocking(answer).await.expect("it starts")
    }

    /// A superuser on the PostgreSQL.
    pub fn postgres_url(&self) -> String {
        self.exported("TEST_POSTGRES_URL")
    }

    /// Makes a standby of the PostgreSQL, or of the last standby: a superuser on it, and its postmaster.
    pub async fn start_standby(&self) -> (String, String) {
        let postmaster = self.order("standby", "TEST_STANDBY_PID".to_owned()).await;
        (self.exported("TEST_STANDBY_URL"), postmaster)
    }

    /// The postmaster of the first PostgreSQL.
    pub fn postmaster(&self) -> String {
        self.exported("TEST_POSTGRES_PID")
    }

    /// The RabbitMQ.
    pub fn amqp_url(&self) -> String {
        self.exported("TEST_AMQP_URL")
    }

    /// Starts a node of RabbitMQ that is new, or was killed; from 2 on they join the first one. Its URL.
    pub async fn start_node(&self, node: usize) -> String {
        self.order(&format!("node {node}"), format!("TEST_AMQP_PID_{node}")).await;
        self.exported(&format!("TEST_AMQP_URL_{node}"))
    }

    /// Kills a node, from 2 on or started again, where it stands.
    pub fn kill_node(&self, node: usize) {
        let said = listened(&self.said);
        let started_again = said.exported.get(&format!("TEST_AMQP_PID_{node}"));
        let first = || &said.exported["TEST_AMQP_PID"];
        signal("KILL", [format!("-{}", started_again.unwrap_or_else(first)).as_str()]);
    }

    /// As [`signal_postgres`], for RabbitMQ.
    pub fn signal_rabbitmq(&self, name: &str) {
        signal(name, [format!("-{}", self.exported("TEST_AMQP_PID")).as_str()]);
    }

    /// Runs `rabbitmqctl`, which must succeed; what it prints.
    pub async fn rabbitmqctl(&self, args: &[&str]) -> String {
        let answer = self.try_rabbitmqctl(args).await;
        answer.unwrap_or_else(|output| panic!("{args:?}: {output:?}"))
    }

    /// As [`Self::rabbitmqctl`], of a node that may not answer.
    pub async fn try_rabbitmqctl(&self, args: &[&str]) -> Result<String, Output> {
        let mut command = Command::new(self.exported("TEST_RABBITMQCTL"));
        command.args(args);
        let output = tokio::task::spawn_blocking(move || command.output()).await.expect("it runs");
        let output = output.expect("rabbitmqctl runs");
        if !output.status.success() {
            return Err(output);
        }
        Ok(String::from_utf8(output.stdout).expect("text"))
    }
}

impl Drop for Servers {
    fn drop(&mut self) {
        for name in ["TEST_POSTGRES_PID", "TEST_AMQP_PID"] {
            // What a failed test left stopped would not end.
            let group = format!("-{}", self.exported(name));
            drop(Command::new("kill").args(["-s", "CONT", "--", &group]).stderr(Stdio::null()).status());
        }
        drop(self.run.stdin.take());
        drop(self.run.wait());
    }
}

/// Sends a signal, by its name without `SIG`, to everything that the PostgreSQL of a postmaster consists of.
pub fn signal_postgres(name: &str, postmaster: &str) {
    // Each of its processes leads a group of its own.
    let children = Command::new("pgrep").args(["-P", postmaster]).output().expect("pgrep runs");
    let children = String::from_utf8(children.stdout).expect("numbers");
    signal(name, children.split_whitespace().chain([postmaster]));
}

/// What was said is true, also where a test failed while it waited for more.
fn listened(said: &Mutex<Said>) -> MutexGuard<'_, Said> {
    said.lock().unwrap_or_else(PoisonError::into_inner)
}

fn signal<'a>(name: &str, whom: impl IntoIterator<Item = &'a str>) {
    // A process of the server's that is gone by now is no failure.
    let status = Command::new("kill").args(["-s", name, "--"]).args(whom).stderr(Stdio::null()).status();
    status.expect("kill runs");
}
