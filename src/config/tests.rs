//! Layers, types, ranges, secrets, and the mistakes in all of them.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU32, Ordering};

use super::*;

/// A file that is gone after the test.
struct Scratch(PathBuf);

impl Scratch {
    fn new(text: &str) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name =
            format!("contact-reaper-config-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let path = std::env::temp_dir().join(name);
        std::fs::write(&path, text).unwrap();
        Self(path)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

fn load(file: &str, environment: &[(&str, &str)]) -> Result<Settings, ConfigErrors> {
    let file = Scratch::new(file);
    let variables = environment.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    Settings::load(Some(&file.0), variables)
}

fn errors(file: &str, environment: &[(&str, &str)]) -> Vec<String> {
    load(file, environment).unwrap_err().iter().map(ToString::to_string).collect()
}

fn one_error(file: &str, environment: &[(&str, &str)]) -> String {
    let all = errors(file, environment);
    assert_eq!(all.len(), 1, "{all:#?}");
    all[0].clone()
}

fn origin_of(settings: &Settings, key: &str) -> String {
    settings.describe().iter().find(|setting| setting.key == key).unwrap().origin.to_string()
}

#[test]
fn the_defaults_are_right_and_every_key_is_read() {
    let settings = Settings::load(None, std::iter::empty()).unwrap();
    let read: BTreeSet<&str> = settings.describe().iter().map(|setting| setting.key.as_str()).collect();
    let values = layers::merge_layers(None, std::iter::empty(), &mut ConfigErrors::default());
    assert_eq!(read, values.keys().map(String::as_str).collect());
    assert_eq!(read.len(), settings.describe().len(), "a key is read twice");
    assert_eq!(settings.store.database(), Database::Sqlite);
    assert_eq!(settings.feed.rabbitmq.retry_delays.len(), 5);
    assert_eq!(settings.ledger.retention, Duration::from_hours(120 * 24));
    assert_eq!(settings.pipeline.lanes, 1, "SQLite has one writer");
    assert_eq!(settings.privacy.hash_key_file, None);
}

#[test]
fn settings_are_described_in_the_order_of_the_manual() {
    let settings = Settings::load(None, std::iter::empty()).unwrap();
    let mut table = String::new();
    let mut keys = Vec::new();
    for line in DEFAULTS.lines() {
        if let Some(name) = line.strip_prefix('[') {
            name.trim_end_matches(']').clone_into(&mut table);
        } else if let Some((name, _)) = line.split_once(" = ").filter(|_| !line.starts_with('#')) {
            keys.push(format!("{table}.{name}"));
        }
    }
    let described: Vec<_> = settings.describe().iter().map(|setting| setting.key.clone()).collect();
    assert_eq!(described, keys);
}

#[test]
fn every_key_of_the_manual_has_a_comment() {
    let lines: Vec<&str> = DEFAULTS.lines().collect();
    for pair in lines.windows(2).filter(|pair| pair[1].contains(" = ") && !pair[1].starts_with('#')) {
        assert!(pair[0].starts_with("# "), "{} has no comment", pair[1]);
    }
}

#[test]
fn the_environment_wins_over_the_file_and_the_file_over_the_default() {
    let file = "[pipeline]\nbatch_size = 10\nprefetch = 40\n[store]\nurl = \"postgres://crm@db/crm\"\n";
    let settings = load(
        file,
        &[
            ("CONTACT_REAPER_PIPELINE__PREFETCH", "50"),
            ("CONTACT_REAPER_FEED__RABBITMQ__RETRY_DELAYS", "2s, 1m"),
            ("CONTACT_REAPER_GUARD__ACCOUNT__MAX_SHARE", "1"),
            ("CONTACT_REAPER_LOG__FORMAT", "json"),
            ("PATH", "/bin"),
        ],
    )
    .unwrap();
    assert_eq!(settings.pipeline.batch_size, 10);
    assert_eq!(settings.pipeline.prefetch, 50);
    assert_eq!(settings.pipeline.lanes, 2);
    assert_eq!(settings.feed.rabbitmq.retry_delays, [Duration::from_secs(2), Duration::from_mins(1)]);
    assert!((settings.guard.account.max_share - 1.0).abs() < f64::EPSILON);
    assert_eq!(settings.log.format, LogFormat::Json);
    assert!(origin_of(&settings, "pipeline.batch_size").ends_with(" line 2"));
    assert_eq!(
        origin_of(&settings, "pipeline.prefetch"),
        "environment variable CONTACT_REAPER_PIPELINE__PREFETCH"
    );
    assert_eq!(origin_of(&settings, "pipeline.lanes"), "default");
}

#[test]
fn all_errors_at_once() {
    let file = r#"
[store]
url = "mysql://root:hunter2@db/crm"
max_conections = 4
[pipeline]
batch_size = "many"
lanes = 33
[retention]
time_zone = "Berlin"
purge_trash.after = "30"
[retention.expire_notifications]
after = 40
[feed.rabbitmq]
retry_delays = ["1s", "1s"]
heartbeat = "soon"
[log]
format = true
"#;
    let found = errors(
        file,
        &[
            ("CONTACT_REAPER_HTTP__LISTEN", "localhost:9464"),
            ("CONTACT_REAPER_STORE__MAX_CONECTIONS", "4"),
            ("CONTACT_REAPER_GUARD__ACCOUNT__MAX_SHARE", "1.5"),
            ("CONTACT_REAPER_GUARD__WORKFLOW__MAX_DELETIONS", "0"),
        ],
    );
    let expected = [
        "store.max_conections (",
        "CONTACT_REAPER_STORE__MAX_CONECTIONS (",
        "store.url (",
        "feed.rabbitmq.retry_delays (",
        "feed.rabbitmq.heartbeat (",
        "pipeline.batch_size (",
        "pipeline.lanes (",
        "guard.workflow.max_deletions (",
        "guard.account.max_share (",
        "retention.time_zone (",
        "retention.purge_trash.after (",
        "retention.expire_notifications.after (",
        "http.listen (",
        "log.format (",
    ];
    assert_eq!(found.len(), expected.len(), "{found:#?}");
    for (sentence, start) in found.iter().zip(expected) {
        assert!(sentence.starts_with(start), "{sentence} should start with {start}");
        assert!(!sentence.contains("hunter2") && !sentence.contains('\n'), "{sentence}");
    }
    assert!(found[0].contains(" line 4) is unknown; did you mean store.max_connections?"), "{}", found[0]);
    assert!(found[1].ends_with("did you mean CONTACT_REAPER_STORE__MAX_CONNECTIONS?"), "{}", found[1]);
    assert!(
        found[2].contains(r#"has the scheme "mysql"; it must be sqlite://… or postgres://…"#),
        "{}",
        found[2]
    );
    assert!(found[6].contains("line 7) is 33; it must be a whole number from 1 to 32"), "{}", found[6]);
    assert_eq!(
        found[12],
        "http.listen (environment variable CONTACT_REAPER_HTTP__LISTEN) is \"localhost:9464\"; it must be an IP \
         address and a port such as \"127.0.0.1:9464\""
    );
}

#[test]
fn values_that_are_nearly_right() {
    for (key, value, problem) in [
        ("store.url", r#""crm:hunter2@db/x?a=http://y""#, "is not a URL; it must be sqlite://…"),
        ("store.url", r#""sqlite://""#, "names nothing after `://`"),
        ("store.url", r#""sqlite://?mode=rwc""#, "names nothing after `://`"),
        ("store.url", r#""postgres://a:hunter2\n@db/crm""#, "has a line break or another control character"),
        ("store.url", "[\"postgres://a:hunter2@db/crm\"]", "is not a text"),
        ("mail.smtp_url", r#""mail""#, "is not a URL; it must be empty, or smtp://… or smtps://…"),
        ("mail.smtp_url", r#""smtp://a:hunter2@mx?tls=yes""#, "has a parameter tls with a value that is not"),
        (
            "store.url",
            r#""postgres://a:hunter2@db/crm?sslmod=verify-full""#,
            "has the parameter sslmod that is not",
        ),
        (
            "store.url",
            r#""postgres://db/crm?user=a&pasword=hunter2""#,
            "it takes application_name, dbname, host",
        ),
        ("store.url", r#""Hunter2://db""#, "has another scheme; it must be sqlite://…"),
        ("feed.rabbitmq.url", r#""amqp://a:hun?ter2@mq/%2f?x=hunter2""#, "write %2F for /"),
        ("feed.rabbitmq.url", r#""amqp://a:hunter2""#, "has something else than a port after its host"),
        ("feed.rabbitmq.url", r#""amqp://a,b:70000""#, "has something else than a port after its host"),
        ("mail.smtp_url", r#""smtp://a:hunter2""#, "has something else than a port after its host"),
        (
            "traces.endpoint",
            r#""http://a:hunter2@127.0.0.1:4318/v1/traces""#,
            "is something else, not repeated",
        ),
        (
            "traces.endpoint",
            r#""http://127.0.0.1:4318/v1/traces?key=hunter2""#,
            "is something else, not repeated",
        ),
        ("http.listen", r#""amqp://a:hunter2@mq""#, "is something else, not repeated"),
        ("log.level", r#""smtp://a:hunter2@mx""#, "is something else, not repeated"),
        ("feed.rabbitmq.retry_delays", r#"["amqp://a:hunter2@mq"]"#, "is something else, not repeated"),
        ("feed.rabbitmq.ca_file", r#""amqps://a:hunter2@mq""#, "it must be empty, or the path of a file"),
        ("privacy.hash_key_file", r#""postgres://a:hunter2@db""#, "it must be empty, or the path of a file"),
        ("mail.from", r#""reaper""#, "it must be an e-mail address"),
        ("log.level", r#""infoo""#, "it must be a level"),
        ("log.format", r#""xml""#, r#"is "xml"; it must be "text" or "json""#),
        ("feed.rabbitmq.queue", r#""""#, "is empty; it must be a text of 1 to 255 bytes"),
        ("guard.account.max_share", "nan", "is NaN; it must be a number from 0 to 1"),
        ("pipeline.prefetch", "70000", "is 70000; it must be a whole number from 1 to 65535"),
        ("retention.purge_trash.after", r#""1m""#, r#"it must be a duration from "1h" to "3650d""#),
        (
            "retention.purge_trash.after",
            r#""89d 23h""#,
            "every run destroys for good what users could still restore",
        ),
        ("retention.purge_trash.time_zone", r#""Berlin""#, "it must be empty, or an IANA time zone"),
        ("retention.purge_trash.allow_purge_within_restore_window", r#""yes""#, "it must be true or false"),
        ("store.max_connections", "1979-05-27", "is a date or time"),
    ] {
        let sentence = one_error(&format!("{key} = {value}"), &[]);
        assert!(sentence.starts_with(key) && sentence.contains(problem), "{sentence}");
        assert!(!sentence.contains("hunter2"), "{sentence}");
    }
    let flag = [("CONTACT_REAPER_RETENTION__PURGE_TRASH__ALLOW_PURGE_WITHIN_RESTORE_WINDOW", "true")];
    assert!(load("retention.purge_trash.after = \"1h\"", &flag).is_ok());
    assert!(load("log.level = \"warn,contact_reaper=info,sqlx=off\"", &[]).is_ok());
}

#[test]
fn tables_and_keys_are_not_mixed_up() {
    assert!(one_error("feed.jsonl = \"x\"", &[]).contains("is a table, not a setting"));
    assert!(one_error("[http.listen]", &[]).contains("is a table; it must be an IP address"));
    assert!(one_error("[retentoin]", &[]).contains("retentoin ("));
    assert!(one_error("[[store]]\nurl = 1", &[]).contains("is a table, not a setting"));
    assert!(load("[store]\n[feed.jsonl]\n", &[]).is_ok());
}

#[test]
fn what_is_not_toml_names_its_line_and_quotes_nothing() {
    let sentence = one_error("[store]\nurl = \"postgres://a:hunter2@db/crm\n", &[]);
    assert!(sentence.contains(" line 2) is not TOML: "), "{sentence}");
    assert!(!sentence.contains("hunter2"), "{sentence}");
}

#[test]
fn an_unreadable_file_does_not_hide_the_other_errors() {
    let variables = [("CONTACT_REAPER_LOG__LEVEL".to_owned(), String::new())];
    let found = Settings::load(Some(Path::new("/no/such/file.toml")), variables.into_iter()).unwrap_err();
    let lines: Vec<String> = found.to_string().lines().map(ToOwned::to_owned).collect();
    assert_eq!(lines.len(), 2, "{lines:#?}");
    assert!(lines[0].contains("/no/such/file.toml") && lines[0].contains("cannot be read"), "{}", lines[0]);
    assert!(lines[1].starts_with("log.level (") && lines[1].contains("is empty"), "{}", lines[1]);
}

#[test]
fn what_one_key_demands_of_another() {
    // Only `run` minds.
    let without_a_file = load("feed.kind = \"jsonl\"", &[]).unwrap().demand_a_feed().unwrap_err();
    assert!(without_a_file.to_string().starts_with("feed.jsonl.path (default) is empty; name a file"));
    assert!(load("feed.kind = \"jsonl\"\nfeed.jsonl.path = \"-\"", &[]).unwrap().demand_a_feed().is_ok());
    let sentence = one_error("pipeline.batch_size = 2000", &[]);
    assert!(sentence.starts_with("pipeline.prefetch (default) is 1500, less than"), "{sentence}");
    let sentence = one_error("pipeline.lanes = 9\nstore.url = \"postgres://db/crm\"", &[]);
    assert!(sentence.contains("line 1) is 9, more than store.max_connections, 8"), "{sentence}");
    let sentence = one_error(
        "ledger.retention = \"91d\"\n[feed.rabbitmq]\ndead_letter_retention = \"90d\"\n\
         retry_delays = [\"12h\", \"1d\"]",
        &[],
    );
    assert!(sentence.starts_with("ledger.retention ("), "{sentence}");
    let sentence = one_error("feed.rabbitmq.heartbeat = \"1500ms\"", &[]);
    assert!(sentence.contains("is not a whole number of seconds"), "{sentence}");
    let sentence = one_error("feed.rabbitmq.dead_letter_queue = \"contact-reaper.enrollments\"", &[]);
    assert!(sentence.contains("is the same queue as feed.rabbitmq.queue"), "{sentence}");
    let sentence = one_error("feed.rabbitmq.queue = \"contact-reaper.retry.1s\"", &[]);
    assert!(
        sentence.contains("feed.rabbitmq.queue (") && sentence.contains("as the retry queues do"),
        "{sentence}"
    );
    let sentence = one_error("feed.rabbitmq.ca_file = \"/ca.pem\"", &[]);
    assert!(sentence.contains("asks for no TLS"), "{sentence}");
    let sentence =
        one_error("[feed.rabbitmq]\nurl = \"amqps://mq\"\nclient_certificate_file = \"/client.pem\"", &[]);
    assert!(sentence.contains("client_certificate_file (") && sentence.contains("other half"), "{sentence}");
}

#[test]
fn secrets_are_read_from_files_and_never_shown() {
    let secret = Scratch::new("postgres://crm:hunter2@db/crm\n");
    let path = secret.0.to_str().unwrap();
    let settings = load(
        "feed.rabbitmq.url = \"amqp://a:hunter2@mq/%2f\"",
        &[
            ("CONTACT_REAPER_STORE__URL_FILE", path),
            ("CONTACT_REAPER_PRIVACY__HASH_KEY_FILE", "/run/secrets/key"),
            ("CONTACT_REAPER_MAIL__SMTP_URL", "smtp://a:hunter2@mail"),
        ],
    )
    .unwrap();
    assert_eq!(settings.store.url.expose(), "postgres://crm:hunter2@db/crm");
    assert_eq!(origin_of(&settings, "store.url"), format!("{path} named by CONTACT_REAPER_STORE__URL_FILE"));
    assert_eq!(settings.privacy.hash_key_file.as_deref(), Some(Path::new("/run/secrets/key")));
    let shown = format!("{settings:?} {}", serde_json::to_string(settings.describe()).unwrap());
    assert!(!shown.contains("hunter2"), "{shown}");
    assert!(shown.contains("postgres://crm:***@db/crm"), "{shown}");
}

/// A URL where the name of a file belongs, or before the sign that makes it a value.
#[test]
fn a_url_in_the_wrong_place_is_not_repeated() {
    let url = "postgres://a:hunter2@db/crm";
    for sentence in [
        one_error("", &[("CONTACT_REAPER_STORE__URL_FILE", url)]),
        one_error(&format!("[store]\n\"{url}\" = 1"), &[]),
        Settings::load(Some(Path::new(url)), std::iter::empty()).unwrap_err().to_string(),
    ] {
        assert!(!sentence.contains("hunter2") && sentence.contains("***"), "{sentence}");
    }
}

#[test]
fn a_secret_comes_from_one_place() {
    let sentence = one_error(
        "",
        &[
            ("CONTACT_REAPER_STORE__URL", "sqlite://a"),
            ("CONTACT_REAPER_STORE__URL_FILE", "/run/secrets/url"),
        ],
    );
    assert!(sentence.contains("is set by CONTACT_REAPER_STORE__URL_FILE too; keep one"), "{sentence}");
    let sentence = one_error("", &[("CONTACT_REAPER_MAIL__SMTP_URL_FILE", "/no/such/file")]);
    assert!(sentence.starts_with("mail.smtp_url (/no/such/file named by "), "{sentence}");
    let sentence = one_error("", &[("CONTACT_REAPER_LOG__LEVEL_FILE", "/no/such/file")]);
    assert!(sentence.starts_with("CONTACT_REAPER_LOG__LEVEL_FILE ("), "{sentence}");
}

#[test]
fn settings_are_json_as_they_are_text() {
    let settings = load("pipeline.batch_size = 7", &[]).unwrap();
    let find = |key| settings.describe().iter().find(|setting| setting.key == key).unwrap();
    let json = serde_json::to_value(find("pipeline.batch_size")).unwrap();
    assert_eq!(json["value"], 7);
    assert!(json["origin"].as_str().unwrap().ends_with(" line 1"));
    assert_eq!(find("feed.rabbitmq.retry_delays").value.to_string(), r#"["1s", "5s", "30s", "2m", "10m"]"#);
    assert_eq!(find("store.url").value.to_string(), r#""sqlite://contact-reaper.db""#);
}

#[test]
fn window_of_the_guard_is_no_longer_than_its_counts_are_kept() {
    let longest = crate::domain::guard::LONGEST_WINDOW.as_secs();
    for table in ["guard.workflow", "guard.account"] {
        let window = |seconds| format!("[{table}]\nwindow = \"{seconds}s\"");
        assert!(load(&window(longest), &[]).is_ok());
        assert!(load(&window(longest + 1), &[]).is_err());
    }
}

#[test]
fn endpoint_of_traces_without_a_path_gets_the_usual_one() {
    let endpoint = |text: &str| {
        load(&format!("[traces]\nendpoint = \"{text}\""), &[]).ok().map(|settings| settings.traces.endpoint)
    };
    for (text, expected) in [
        ("", Some("")),
        ("http://otel:4318", Some("http://otel:4318/v1/traces")),
        ("http://otel:4318/", Some("http://otel:4318/v1/traces")),
        ("http://otel:4318/spans", Some("http://otel:4318/spans")),
        ("http://otel?x=1", None),
        ("http://:4318", None),
        ("http://u:p@otel", None),
        ("https://otel", None),
    ] {
        assert_eq!(endpoint(text).as_deref(), expected, "{text}");
    }
}
