//! The commands as scripts meet them: exit codes, one JSON document, and sentences that say what to do.

use serde_json::{Value, json};

use crate::support::records::{contact, entitled_account, event};
use crate::support::{Database, Output, Reaper, TempDir, on_both};

/// Every command that asks or changes a store, and not `migrate`, `import` and `run`, which make one.
const ON_A_STORE: [&[&str]; 9] = [
    &["enrollments", "list"],
    &["enrollments", "show", "--account", "1", "--enrollment", "1"],
    &["inspect", "contact", "1", "--account", "1"],
    &["trash", "list", "--account", "1"],
    &["audit", "list"],
    &["delete", "--account", "1", "--as", "1", "--contact", "1", "--confirm", "1"],
    &["restore", "--account", "1", "--as", "1", "--contact", "1"],
    &["retention", "status"],
    &["retention", "run"],
];

/// The one document on standard output.
fn document(output: &Output) -> Value {
    serde_json::from_str(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"))
}

on_both!(migrate_makes_a_store_and_then_has_nothing_to_do, async |db: Database| {
    let reaper = Reaper::new(&db);
    let first = reaper.json(&["migrate"]).await;
    assert!(!first["applied"].as_array().unwrap().is_empty(), "{first}");
    let before = db.dump(&[]).await;
    assert_eq!(reaper.json(&["migrate"]).await, json!({"applied": []}));
    db.assert_unchanged_since(&before).await;
});

on_both!(four_that_migrate_at_once_make_one_schema, async |db: Database| {
    let reaper = Reaper::new(&db);
    let migrate = || reaper.run(&["--json", "migrate"]);
    let (a, b, c, d) = tokio::join!(migrate(), migrate(), migrate(), migrate());
    let mut applied = Vec::new();
    for output in [a, b, c, d] {
        assert_eq!(output.code, 0, "{}", output.stderr);
        applied.extend(document(&output)["applied"].as_array().unwrap().clone());
    }
    let names = db.rows("SELECT name FROM schema_migrations ORDER BY version").await;
    let names: Vec<Value> = names.into_iter().flatten().map(Value::from).collect();
    assert_eq!(applied, names, "each migration ran once");
    reaper.import(&entitled_account(1)).await;
});

on_both!(every_command_prints_exactly_one_json_document, async |db: Database| {
    let reaper = Reaper::new(&db);
    reaper.import(&[&entitled_account(1)[..], &[contact(1, 1, json!({}))]].concat()).await;
    let more: [&[&str]; 4] = [&["migrate"], &["check-config"], &["effects"], &["import", "-"]];
    for args in more.into_iter().chain(ON_A_STORE) {
        let output = reaper.run(&[args, &["--json"]].concat()).await;
        // No decision was made yet.
        if args.contains(&"show") {
            assert_eq!((output.code, output.stdout.as_str()), (1, ""), "{args:?}");
        } else {
            assert_eq!(output.code, 0, "{args:?}: {}", output.stderr);
            assert!(document(&output).is_object() || document(&output).is_array(), "{args:?}");
            assert_eq!(output.stderr, "", "{args:?}");
        }
    }
});

on_both!(without_json_people_read_lines_and_tables, async |db: Database| {
    let reaper = Reaper::new(&db);
    reaper.import(&[&entitled_account(1)[..], &[contact(1, 1, json!({"firstname": "Ada"}))]].concat()).await;
    reaper.delete(1, 1).await;
    for (args, words) in [
        (&["inspect", "contact", "1", "--account", "1"][..], &["in_trash", "user 1", "firstname", "Ada"][..]),
        (&["trash", "list", "--account", "1"], &["entry", "contact", "user 1"]),
        (&["enrollments", "list"], &["no decisions"]),
        (&["audit", "list"], &["trash", "user:1", "import"]),
        (&["retention", "status"], &["purge_trash", "expire_notifications", "next run"]),
    ] {
        let output = reaper.run(args).await;
        assert_eq!(output.code, 0, "{}", output.stderr);
        for word in words {
            assert!(output.stdout.contains(word), "{args:?} does not say {word}:\n{}", output.stdout);
        }
    }
});

on_both!(a_contact_nobody_knows_is_unknown_and_shows_nothing, async |db: Database| {
    let reaper = Reaper::new(&db);
    reaper.import(&[&entitled_account(1)[..], &[contact(1, 1, json!({}))]].concat()).await;
    let categories = [
        "activities",
        "analytics",
        "associations",
        "bots",
        "suppressions",
        "calls",
        "conversations",
        "customEvents",
        "emails",
        "feedback",
        "files",
        "formSubmissions",
        "integrations",
        "lifecycleTransitions",
        "segments",
        "notifications",
        "quotes",
        "workflows",
    ];
    let visible: Value = categories.into_iter().map(|category| (category.to_owned(), json!([]))).collect();
    for (account, contact) in [(1, 2), (2, 1), (2, i64::MAX)] {
        let expected = json!({"accountId": account.to_string(), "id": contact.to_string(), "state": "unknown",
            "properties": null, "trash": null, "visible": visible});
        assert_eq!(reaper.contact(account, contact).await, expected);
    }
});

on_both!(on_a_store_without_the_schema_commands_fail_and_say_migrate, async |db: Database| {
    let reaper = Reaper::new(&db).setting("http.listen", "127.0.0.1:0");
    for args in ON_A_STORE {
        let said = reaper.refused(args).await;
        assert!(said.contains("migrate") && said.lines().count() == 1, "{args:?}: {said}");
    }
    // The commands have not made one behind our back.
    let applied = reaper.json(&["migrate"]).await["applied"].as_array().unwrap().clone();
    assert_eq!(applied[1], "0002_views", "{applied:?}");
    db.execute(&format!("DELETE FROM schema_migrations WHERE version = {}", applied.len())).await;
    let said = reaper.refused(&["audit", "list"]).await;
    let last = applied.last().and_then(Value::as_str).unwrap();
    assert!(said.contains(last) && said.contains("migrate"), "{said}");
    db.execute("INSERT INTO schema_migrations (version, name, applied_at) VALUES (99, 'later', 'now')").await;
    for command in ["audit list", "migrate", "import -", "run"] {
        let args: Vec<&str> = command.split(' ').collect();
        let said = reaper.refused(&args).await;
        assert!(said.contains("99") && said.contains("upgrade"), "{command}: {said}");
    }
});

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_that_is_not_there_is_named_with_the_key_to_set() {
    let dir = TempDir::new();
    let missing = format!("sqlite://{}", dir.path().join("none.db").display());
    let postgres = Database::postgres().await;
    let (server, _) = postgres.url().rsplit_once('/').unwrap();
    let nobody_listens = "postgres://somebody:hunter2@127.0.0.1:9/nothing".to_owned();
    for url in [missing, format!("{server}/no_such_database"), nobody_listens] {
        let reaper = Reaper::new(&postgres).setting("store.url", &url);
        let said = reaper.setting("store.acquire_timeout", "2s").refused(&["audit", "list"]).await;
        assert!(said.contains("store.url") && said.lines().count() == 1, "{url}: {said}");
        assert!(!said.contains("hunter2"), "{said}");
    }
    assert!(!dir.path().join("none.db").exists(), "a question makes no store");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn check_config_shows_every_setting_and_no_secret() {
    let reaper = Reaper::new(&Database::sqlite())
        .setting("store.url", "postgres://reaper:hunter2@db.example/crm?sslmode=require&password=hunter2")
        .setting("feed.rabbitmq.url", "amqp://reaper:hunter2@mq.example/%2f")
        .setting("mail.smtp_url", "smtp://reaper:hunter2@mail.example");
    let output = reaper.run(&["--json", "check-config"]).await;
    assert!(!(output.stdout.clone() + &output.stderr).contains("hunter2"), "{output:?}");
    let settings = document(&output);
    let value =
        |key: &str| settings.as_array().unwrap().iter().find(|setting| setting["key"] == key).unwrap();
    assert!(
        value("store.url")["value"].as_str().unwrap().starts_with("postgres://reaper:***@db.example/crm")
    );
    assert_eq!(value("guard.workflow.max_deletions")["value"], json!(1000));
    let text = reaper.run(&["check-config"]).await;
    assert_eq!(text.code, 0);
    assert!(
        !text.stdout.contains("hunter2") && text.stdout.contains("guard.account.max_share"),
        "{}",
        text.stdout
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_mistake_in_the_settings_is_told_at_once_whatever_the_command() {
    let reaper = Reaper::new(&Database::sqlite())
        .setting("store.url", "mysql://root:hunter2@db/crm")
        .setting("guard.account.max_share", "1.5")
        .setting("retention.purge_trash.after", "1m")
        .setting("retention.purge_trash.schedule", "every night")
        .setting("feed.kind", "kafka")
        .setting("feed.rabbitmq.ulr", "amqp://localhost");
    for command in ["check-config", "run", "audit list", "import -", "check-config --json"] {
        let args: Vec<&str> = command.split(' ').collect();
        let output = reaper.run(&args).await;
        assert_eq!(output.code, 2, "{command}: {}", output.stderr);
        for key in [
            "store.url",
            "guard.account.max_share",
            "retention.purge_trash.after",
            "retention.purge_trash.schedule",
            "feed.kind",
            "feed.rabbitmq.ulr",
        ] {
            assert!(
                output.stderr.to_lowercase().replace("__", ".").contains(key),
                "{command} lacks {key}:\n{}",
                output.stderr
            );
        }
        assert!(!(output.stdout + &output.stderr).contains("hunter2"));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn effects_prints_the_matrix_of_the_documentation_and_needs_no_store() {
    let reaper = Reaper::new(&Database::sqlite()).setting("store.url", "no url at all");
    let output = reaper.run(&["effects"]).await;
    assert_eq!((output.code, output.stderr.as_str()), (0, ""));
    let tables: Vec<&str> = output.stdout.split("\n\n").collect();
    assert_eq!(tables.iter().map(|table| table.lines().count()).collect::<Vec<_>>(), [2 + 19, 2 + 9]);
    for table in tables {
        assert!(include_str!("../../docs/MATRIX.md").contains(table), "{table}");
    }
    let cells = reaper.json(&["effects"]).await;
    assert_eq!(cells.as_array().unwrap().len(), 19 * 4 + 9 * 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn wrong_usage_exits_with_two_and_help_with_none() {
    let reaper = Reaper::new(&Database::sqlite());
    for command in [
        "",
        "bury",
        "trash",
        "inspect contact x --account 1",
        "inspect contact 0 --account 1",
        "inspect contact 1",
        "trash list --limit 0",
        "restore --account 1 --as 1",
    ] {
        let output = reaper.run(&command.split_whitespace().collect::<Vec<_>>()).await;
        assert_eq!((output.code, output.stdout.as_str()), (2, ""), "{command}");
        assert!(!output.stderr.is_empty(), "{command}");
    }
    for command in ["--help", "--version", "retention run --help"] {
        let output = reaper.run(&command.split(' ').collect::<Vec<_>>()).await;
        assert!(output.code == 0 && !output.stdout.is_empty(), "{command}: {output:?}");
    }
}

on_both!(what_a_terminal_would_obey_is_escaped_and_what_is_long_is_cut, async |db: Database| {
    let reaper = Reaper::new(&db);
    let properties = json!({
        "firstname": "Ada\u{1b}]0;owned\u{7}\u{1b}[2J",
        "lastname": "Love\nverdict: live\u{202e}ecal",
        "about": "x".repeat(65_536),
        "beyond": "\u{9b}".repeat(70_000),
    });
    reaper.import(&[&entitled_account(1)[..], &[contact(1, 1, properties.clone())]].concat()).await;
    reaper.delete(1, 1).await;
    let args = ["inspect", "contact", "1", "--account", "1"];
    let shown = reaper.run(&args).await;
    assert_eq!((shown.code, shown.stderr.as_str()), (0, ""));
    let obeyed = |sign: char| sign != '\n' && (sign.is_control() || sign == '\u{202e}');
    assert!(!shown.stdout.contains(obeyed), "{}", shown.stdout);
    assert!(shown.stdout.contains(r"Ada\u{1b}]0;owned\u{7}\u{1b}[2J"), "{}", shown.stdout);
    assert!(shown.stdout.contains(r"Love\nverdict: live\u{202e}ecal"), "{}", shown.stdout);
    assert!(shown.stdout.lines().all(|line| line.chars().count() < 400), "{}", shown.stdout);
    // A program has all of it, and a terminal still nothing to obey.
    let shown = reaper.run(&[&["--json"][..], &args].concat()).await;
    assert!(!shown.stdout.contains(obeyed));
    for (name, value) in properties.as_object().unwrap() {
        assert_eq!(&document(&shown)["properties"][name], value);
    }
    // An error that names what it was given.
    let said = reaper.refused(&["import", "no\u{1b}[2Jsuch"]).await;
    assert!(!said.contains('\u{1b}') && said.contains(r"no\u{1b}[2Jsuch"), "{said}");
});

on_both!(what_is_asked_of_nobody_is_told_and_not_answered_with_nothing, async |db: Database| {
    let reaper = Reaper::new(&db);
    reaper.import(&entitled_account(1)).await;
    for command in [
        "enrollments list",
        "trash list",
        "audit list",
        "holds list",
        "dead-letters list",
        "tokens list",
        "users list",
        "erasures list",
        "erasures list --email a@b.example",
        "legal-hold list",
        "resume",
        "pause",
    ] {
        let args: Vec<&str> = command.split(' ').collect();
        let said = reaper.refused(&[&args[..], &["--account", "99"]].concat()).await;
        assert!(said.contains("there is no account 99"), "{command}: {said}");
        if command != "pause" {
            let known = reaper.run(&[&args[..], &["--account", "1"]].concat()).await;
            assert_eq!(known.code, 0, "{command}: {}", known.stderr);
        }
    }
    let said = reaper.refused(&["resume", "--account", "1", "--workflow", "99"]).await;
    assert!(said.contains("there is no workflow 99 of account 1; nothing was resumed"), "{said}");
    // A decision on somebody of an account that is none is still to be found.
    reaper.decide(&[event(99, 6, 5, 5)]).await;
    let refused = reaper.json(&["enrollments", "list", "--account", "99"]).await;
    assert_eq!(refused[0]["reason"], "account_not_found");
});

on_both!(dead_letters_that_are_not_there_are_told, async |db: Database| {
    let reaper = Reaper::new(&db).setting("feed.kind", "jsonl").setting("feed.jsonl.path", "-");
    reaper.import(&entitled_account(1)).await;
    reaper.decide_lines("{\n[]\n").await;
    let id = reaper.json(&["dead-letters", "list"]).await[0]["id"].as_str().unwrap().to_owned();
    for args in [
        &["show", "99"][..],
        &["replay", "--id", "99"],
        &["replay", "--id", &id, "99"],
        &["replay", "--account", "1", "--id", &id],
        &["discard", "--id", "99", "--confirm", "0"],
        &["discard", "--id", "99", "--confirm", "1"],
        &["discard", "--id", &id, "99", "--confirm", "1"],
    ] {
        let said = reaper.refused(&[&["dead-letters"][..], args].concat()).await;
        assert!(said.contains("no dead letter has the id"), "{args:?}: {said}");
    }
    assert_eq!(db.count("dead_letters", "TRUE").await, 2);
});

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_a_run_needs_the_file_of_the_embedded_feed() {
    let database = Database::sqlite();
    let reaper = Reaper::new(&database).setting("feed.kind", "jsonl");
    reaper.import(&entitled_account(1)).await;
    reaper.json(&["audit", "list"]).await;
    let checked = reaper.run(&["check-config"]).await;
    assert!(checked.code == 0 && checked.stderr.contains("feed.jsonl.path"), "{}", checked.stderr);
    let run = reaper.run(&["run"]).await;
    assert!(
        run.code == 2 && run.stderr.contains("feed.jsonl.path (default) is empty; name a file"),
        "{run:?}"
    );
}
