//! `deploy/prometheus` and `deploy/grafana`: every alert against made-up series, and a real Prometheus that scrapes a
//! real worker under load, to which things happen.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};

use crate::support::records::{all_of, contact, entitled_account, event, property, workflow};
use crate::support::{
    Asking, Broker, DEADLINE, Database, Process, Proxy, Reaper, TempDir, Worker, encoded, run_to_end,
    wait_until,
};

fn deploy(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy").join(file)
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Runs promtool, which must be content.
fn promtool(args: &[&str], file: &Path) {
    let output = run_to_end(Command::new("promtool").args(args).arg(file), String::new());
    assert_eq!(output.code, 0, "{args:?}: {}{}", output.stdout, output.stderr);
}

fn alerts() -> Vec<String> {
    let rules = read(&deploy("prometheus/rules.yaml"));
    let names: Vec<String> =
        rules.lines().filter_map(|line| line.trim().strip_prefix("- alert: ")).map(str::to_owned).collect();
    assert!(names.len() > 10, "{names:?}");
    names
}

#[test]
fn every_alert_fires_in_its_case_and_is_silent_in_another() {
    promtool(&["check", "rules"], &deploy("prometheus/rules.yaml"));
    let mut cases = String::new();
    for file in ["prometheus/rules.test.yaml", "prometheus/rules.days.test.yaml"] {
        promtool(&["test", "rules"], &deploy(file));
        cases += &read(&deploy(file));
    }
    for alert in alerts() {
        let named = format!("alertname: {alert}\n");
        let outcomes: Vec<bool> =
            cases.split(&named).skip(1).map(|rest| rest.trim_start().starts_with("exp_alerts: []")).collect();
        assert!(outcomes.contains(&true) && outcomes.contains(&false), "{alert}: {outcomes:?}");
    }
}

#[test]
fn every_alert_says_what_to_do() {
    let (rules, runbook) =
        (read(&deploy("prometheus/rules.yaml")), read(&deploy("../docs/OPERATIONS.md")).to_lowercase());
    let urls: Vec<&str> =
        rules.lines().filter_map(|line| line.trim().strip_prefix("runbook_url: ")).collect();
    assert_eq!(urls.len(), alerts().len());
    for url in urls {
        let name = url.strip_prefix("docs/OPERATIONS.md#").expect("a place in the runbook");
        assert!(runbook.lines().any(|line| line == format!("### {name}")), "{name} is not in the runbook");
    }
}

/// The queries of the dashboard, for all installations.
fn queries() -> Vec<String> {
    let dashboard: Value = serde_json::from_str(&read(&deploy("grafana/contact-reaper.json"))).unwrap();
    let panels = dashboard["panels"].as_array().unwrap();
    let targets = panels.iter().filter_map(|panel| panel["targets"].as_array()).flatten();
    let expression = |target: &Value| target["expr"].as_str().unwrap().to_owned();
    let queries: Vec<String> = targets
        .map(expression)
        .map(|query| query.replace("$__rate_interval", "1m").replace("$job", ".*"))
        .collect();
    assert!(queries.len() > 30, "{queries:?}");
    queries
}

/// A Prometheus that scrapes one worker every second, with the rules of `deploy/` that wait for nothing.
struct Prometheus {
    address: String,
    _process: Process,
    _directory: TempDir,
}

impl Prometheus {
    fn watching(worker: &Worker) -> Self {
        let directory = TempDir::new();
        let rules: Vec<String> = read(&deploy("prometheus/rules.yaml"))
            .lines()
            .map(|line| if line.trim().starts_with("for: ") { "        for: 0s" } else { line }.to_owned())
            .collect();
        std::fs::write(directory.path().join("rules.yaml"), rules.join("\n")).unwrap();
        let config = read(&deploy("prometheus/prometheus.yaml"))
            .replace("15s", "1s")
            .replace("contact-reaper:9464", &worker.address().expect("it listens"));
        let file = directory.path().join("prometheus.yml");
        std::fs::write(&file, config).unwrap();
        promtool(&["check", "config"], &file);
        let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let mut command = Command::new("prometheus");
        command
            .arg(format!("--config.file={}", file.display()))
            .arg(format!("--storage.tsdb.path={}", directory.path().join("data").display()))
            .arg(format!("--web.listen-address={free}"));
        let process = Process::spawn(&mut command, String::new());
        Self { address: free.to_string(), _process: process, _directory: directory }
    }

    /// What a query returns now; nothing while Prometheus is starting.
    async fn query(&self, query: &str) -> Vec<Value> {
        let asking = Asking::get(&format!("/api/v1/query?query={}", encoded(query)));
        let Ok(answered) = asking.of(&self.address).await else { return Vec::new() };
        if answered.status == 503 {
            return Vec::new();
        }
        let answer = answered.json();
        assert_eq!(answer["status"], "success", "{query}: {answer}");
        answer["data"]["result"].as_array().unwrap().clone()
    }

    async fn fires(&self, alert: &str) -> bool {
        !self.query(&format!("ALERTS{{alertname=\"{alert}\",alertstate=\"firing\"}}")).await.is_empty()
    }

    /// Waits for an alert that was silent before `fault`.
    async fn expect(&self, alert: &str, fault: impl Future<Output = ()>) {
        assert!(!self.fires(alert).await, "{alert} fires before its cause");
        fault.await;
        wait_until(alert, DEADLINE, async || self.fires(alert).await).await;
    }
}

/// Is there a number in it? A quantile of nothing is none.
fn has_a_number(result: &[Value]) -> bool {
    result.iter().any(|series| series["value"][1].as_str().is_some_and(|value| value != "NaN"))
}

/// Workflow 6 deletes everybody, and may delete 200; 100 contacts more than that.
async fn scene(database: &Database, broker: &Broker, proxy: &Proxy) -> Reaper {
    let url = format!("amqp://guest:guest@{}/%2f", proxy.address());
    let settings = broker.settings_by(&url);
    let reaper = settings.into_iter().fold(Reaper::new(database), |it, (key, value)| it.setting(key, &value));
    let reaper = reaper
        .unguarded()
        .setting("guard.workflow.max_deletions", "200")
        .setting("pipeline.batch_size", "50")
        // Nobody listens there: the metrics of e-mails are those of a worker that sends some.
        .setting("mail.smtp_url", "smtp://127.0.0.1:1");
    let mut records = entitled_account(1);
    records.push(workflow(1, 6, &all_of(&[property("email", "ALL_PROPERTY", "IS_KNOWN", json!(null))])));
    records.extend((1..=300).map(|id| contact(1, id, json!({}))));
    reaper.import(&records).await;
    reaper.json(&["retention", "run"]).await;
    reaper
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_real_prometheus_draws_every_panel_and_fires_where_something_is_wrong() {
    let (database, broker) = (Database::postgres().await, Broker::new().await);
    let mut proxy = Proxy::new(&broker.host());
    proxy.open();
    let reaper = scene(&database, &broker, &proxy).await;
    let mut worker = reaper.spawn(&["run"]);
    worker.wait_ready().await;
    let prometheus = Prometheus::watching(&worker);
    wait_until("it scrapes", DEADLINE, async || {
        has_a_number(&prometheus.query("contact_reaper_enrollments_total").await)
    })
    .await;

    let enroll = |ids: std::ops::RangeInclusive<i64>| {
        let bodies: Vec<String> = ids.map(|id| event(1, 6, id, id).to_string()).collect();
        let broker = &broker;
        async move { broker.publish(&bodies).await }
    };
    enroll(1..=150).await;
    for query in queries() {
        wait_until(&format!("data for {query}"), DEADLINE, async || {
            has_a_number(&prometheus.query(&query).await)
        })
        .await;
    }
    prometheus.expect("ContactReaperGuardTripped", enroll(151..=300)).await;
    let nonsense = broker.publish(&["{"; 30]);
    prometheus.expect("ContactReaperDeadLettersGrowing", nonsense).await;
    wait_until("so many of so few", DEADLINE, async || prometheus.fires("ContactReaperDeadLetterRate").await)
        .await;
    let late: Vec<String> = (1..=200)
        .map(|id| {
            let mut event = event(1, 6, 1000 + id, 1000 + id);
            event["data"]["enrolledAt"] = json!(crate::support::records::seconds_ago(90));
            event.to_string()
        })
        .collect();
    prometheus.expect("ContactReaperEnrollmentsLate", broker.publish(&late)).await;
    prometheus.expect("ContactReaperFeedDown", proxy.close()).await;
    proxy.open();
    wait_until("it is over", DEADLINE, async || !prometheus.fires("ContactReaperFeedDown").await).await;
    // Another process leads from now on, which nobody scrapes.
    let until = database.in_its_words(
        "now() + interval '60 seconds'",
        "strftime('%Y-%m-%dT%H:%M:%f000Z', 'now', '60 seconds')",
    );
    let held = format!("expires_at = {until} WHERE name = 'scheduler'");
    database.execute(&format!("UPDATE leases SET holder = 'another', token = token + 1, {held}")).await;
    let holds_on = async {
        loop {
            tokio::time::sleep(Duration::from_secs(5)).await;
            database.execute(&format!("UPDATE leases SET {held} AND holder = 'another'")).await;
        }
    };
    tokio::select! {
        () = prometheus.expect("ContactReaperNoLeader", async {}) => {}
        () = holds_on => {}
    }
    for alert in ["ContactReaperAbsent", "ContactReaperStalled", "ContactReaperOutboxStuck"] {
        assert!(!prometheus.fires(alert).await, "{alert} fires without cause");
    }
}
