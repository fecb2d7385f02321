//! The embedded feed: a file followed by position, standard input, what is set aside; and the list of decisions.

use std::fmt::Write as _;
use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::Path;

use serde_json::{Value, json};

use crate::support::records::{
    account, contact, entitled_account, event, lines, manual_workflow, seconds_ago,
};
use crate::support::{DEADLINE, Database, Reaper, TempDir, on_both, wait_until};

/// Account 1, entitled, with a workflow 6 that enrolls by hand and contacts 1 to 9.
async fn with_contacts(db: &Database) -> Reaper {
    let reaper = Reaper::new(db);
    let mut records = entitled_account(1);
    records.extend([manual_workflow(1, 6), account(2)]);
    records.extend((1..=9).map(|id| contact(1, id, json!({}))));
    reaper.import(&records).await;
    reaper
}

fn by_hand(contact: i64, enrollment: i64) -> Value {
    let mut event = event(1, 6, contact, enrollment);
    event["data"]["cause"] = json!("MANUAL");
    event
}

fn append(file: &Path, text: &str) {
    let mut file = OpenOptions::new().create(true).append(true).open(file).unwrap();
    file.write_all(text.as_bytes()).unwrap();
}

/// Reason, detail and body of what was set aside, oldest first.
async fn dead_letters(db: &Database) -> Vec<[String; 3]> {
    let sql = db.in_its_words(
        "SELECT reason, detail, encode(body, 'hex') FROM dead_letters ORDER BY dead_letter_id",
        "SELECT reason, detail, lower(hex(body)) FROM dead_letters ORDER BY dead_letter_id",
    );
    db.rows(sql).await.into_iter().map(|row| row.try_into().expect("three columns")).collect()
}

fn hex(bytes: &[u8]) -> String {
    let mut text = String::new();
    for byte in bytes {
        write!(text, "{byte:02x}").unwrap();
    }
    text
}

on_both!(a_file_is_read_on_from_where_the_last_run_ended, async |db: Database| {
    let reaper = with_contacts(&db).await;
    let dir = TempDir::new();
    let file = dir.path().join("events.jsonl");
    let run = async || reaper.fed_by_lines(&file.display().to_string()).run(&["run"]).await;
    append(&file, &(lines(&[by_hand(1, 1)]) + "nonsense\n"));
    assert_eq!(run().await.code, 0);
    assert_eq!((db.count("ledger", "TRUE").await, dead_letters(&db).await.len()), (1, 1));

    append(&file, &(lines(&[by_hand(2, 2)]) + "more nonsense\n" + &by_hand(3, 3).to_string()));
    assert_eq!(run().await.code, 0);
    // Read again, the first nonsense would have been set aside again.
    assert_eq!((db.count("ledger", "outcome = 'deleted'").await, dead_letters(&db).await.len()), (3, 2));
    assert_eq!(run().await.code, 0);
    assert_eq!((db.count("ledger", "TRUE").await, dead_letters(&db).await.len()), (3, 2));

    // A file that was replaced by a shorter one is another file: nothing of it is guessed at.
    std::fs::write(&file, lines(&[by_hand(4, 4)])).unwrap();
    let output = run().await;
    assert_eq!(output.code, 1);
    assert!(
        output.stderr.contains("events.jsonl") && output.stderr.contains("replaced"),
        "{}",
        output.stderr
    );
    std::fs::remove_file(&file).unwrap();
    let output = run().await;
    assert_eq!(output.code, 1);
    assert!(output.stderr.contains("events.jsonl does not exist"), "{}", output.stderr);
    assert_eq!(db.count("ledger", "TRUE").await, 3);
});

on_both!(a_file_that_was_replaced_is_not_read_from_the_middle, async |db: Database| {
    let reaper = with_contacts(&db).await;
    let dir = TempDir::new();
    let line = |contact: i64, enrollment: i64| by_hand(contact, enrollment).to_string() + "\n";
    // All lines are of one length, and of the same second or not: it does not matter here.
    let monday = line(1, 11) + &line(2, 12) + &line(3, 13);
    let longer = line(4, 14) + &line(5, 15) + &line(6, 16) + &line(7, 17);
    let equal = line(4, 14) + &line(5, 15) + &line(6, 16);
    let line_of = |text: &str, number: usize| text.split_inclusive('\n').nth(number).unwrap().to_owned();
    let replaced = [
        ("longer", longer.clone()),
        ("of equal length", equal),
        ("longer, with its first line", line_of(&monday, 0) + &longer),
        (
            "longer, with its last line at its place",
            longer.split_at(line_of(&longer, 0).len() * 2).0.to_owned() + &line_of(&monday, 2) + &line(7, 17),
        ),
        (
            "longer, with its first and second line",
            monday.split_at(line_of(&monday, 0).len() * 2).0.to_owned() + &longer,
        ),
        ("of equal length, with its first and last line", line(1, 11) + &line(9, 12) + &line(3, 13)),
        ("longer, with a byte before it", format!("\n{monday}{longer}")),
        ("blank", "\n".repeat(monday.len() + 1)),
        ("one line that is longer", "x".repeat(monday.len() * 2)),
    ];
    for (number, (how, text)) in replaced.iter().enumerate() {
        let file = dir.path().join(format!("{number}.jsonl"));
        let run = async || reaper.fed_by_lines(&file.display().to_string()).run(&["run"]).await;
        std::fs::write(&file, &monday).unwrap();
        assert_eq!(run().await.code, 0);
        let known = (db.count("ledger", "TRUE").await, dead_letters(&db).await.len());
        assert_eq!(known, (3, 0), "{how}");
        std::fs::write(&file, text).unwrap();
        let output = run().await;
        assert_eq!(output.code, 1, "{how}");
        let sentence = "bytes that were read before: it was cut or replaced; put it back, or give the new events in a \
                        file of another name";
        assert!(output.stderr.contains(sentence), "{how}: {}", output.stderr);
        assert_eq!((db.count("ledger", "TRUE").await, dead_letters(&db).await.len()), known, "{how}");
        // Put back, and written on, it is read on.
        std::fs::write(&file, &monday).unwrap();
        append(&file, "\n\n");
        assert_eq!(run().await.code, 0, "{how}");
    }
    assert_eq!(reaper.state(1, 4).await, "live");
});

on_both!(what_is_read_on_is_still_the_same_file_after_many_readings, async |db: Database| {
    let reaper = with_contacts(&db).await;
    let dir = TempDir::new();
    let file = dir.path().join("events.jsonl");
    let run = async || reaper.fed_by_lines(&file.display().to_string()).run(&["run"]).await;
    for id in 1..=4 {
        append(&file, &format!("\r\n{}\r\n", by_hand(id, id)));
        assert_eq!(run().await.code, 0, "{id}");
        assert_eq!(run().await.code, 0, "nothing is new");
    }
    assert_eq!((db.count("ledger", "outcome = 'deleted'").await, dead_letters(&db).await.len()), (4, 0));
    // Its first line is known from the first reading on.
    let text = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, text.replacen("\"source\":\"/", "\"source\":\"-", 1)).unwrap();
    append(&file, &by_hand(5, 5).to_string());
    let output = run().await;
    assert!(output.code == 1 && output.stderr.contains("replaced"), "{}", output.stderr);
    // An older version knew no more than the position.
    db.execute("UPDATE feed_checkpoints SET fingerprint = NULL").await;
    assert_eq!(run().await.code, 0);
    assert_eq!(db.count("ledger", "outcome = 'deleted'").await, 5);
});

/// Cut and filled again, as by `copytruncate`, while a lock keeps the decisions waiting.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_that_is_replaced_while_it_is_read_is_noticed_at_its_end() {
    let db = Database::postgres().await;
    let reaper = with_contacts(&db).await;
    let reaper = reaper.setting("pipeline.batch_size", "2").setting("pipeline.prefetch", "4");
    let dir = TempDir::new();
    let monday = lines(&(11..200).map(|id| by_hand(9, id)).collect::<Vec<_>>());
    let tuesday = monday.replace("\"objectId\":\"9\"", "\"objectId\":\"8\"");
    assert!(tuesday != monday && tuesday.len() == monday.len());
    for (how, text) in [
        ("filled again", tuesday.as_str()),
        ("cut", ""),
        ("cut behind its first line", monday.split_at(monday.find('\n').unwrap() + 1).0),
    ] {
        let file = dir.path().join(how);
        std::fs::write(&file, &monday).unwrap();
        let mut lock = db.connect_postgres().await;
        sqlx::raw_sql("BEGIN; LOCK TABLE ledger IN SHARE MODE").execute(&mut lock).await.unwrap();
        let mut worker = reaper.fed_by_lines(&file.display().to_string()).spawn(&["run"]);
        let sql = "SELECT count(*)::text FROM pg_locks WHERE NOT granted AND relation = 'ledger'::regclass";
        wait_until("a decision waits", DEADLINE, async || db.rows(sql).await[0][0] != "0").await;
        std::fs::write(&file, text).unwrap();
        sqlx::raw_sql("ROLLBACK").execute(&mut lock).await.unwrap();
        assert_eq!(worker.exit(DEADLINE).await.code(), Some(1), "{how}");
        let said = worker.stderr();
        assert!(said.contains("it was cut or replaced; put it back"), "{how}: {said}");
        db.execute("DELETE FROM ledger").await;
    }
}

on_both!(what_cannot_be_logged_is_done_all_the_same, async |db: Database| {
    let reaper = with_contacts(&db).await;
    let dir = TempDir::new();
    let file = dir.path().join("events.jsonl");
    append(&file, &("nonsense\n".to_owned() + &lines(&[by_hand(1, 1), by_hand(2, 2)])));
    let mute = reaper.fed_by_lines(&file.display().to_string()).without_standard_error();
    assert_eq!(mute.run(&["run"]).await.code, 0);
    assert_eq!((db.count("ledger", "outcome = 'deleted'").await, dead_letters(&db).await.len()), (2, 1));
    let nobody = ["restore", "--account", "1", "--as", "1", "--contact", "999"];
    assert_eq!(mute.run(&nobody).await.code, 1);
});

on_both!(a_file_has_one_reader, async |db: Database| {
    let reaper = with_contacts(&db).await;
    let dir = TempDir::new();
    let file = dir.path().join("events.jsonl");
    append(&file, &lines(&[by_hand(1, 1)]));
    let first = std::fs::File::open(&file).unwrap();
    first.lock().unwrap();
    let second = reaper.fed_by_lines(&file.display().to_string());
    let output = second.run(&["run"]).await;
    assert_eq!(output.code, 1);
    assert!(
        output.stderr.contains("is being read by another process, and a file has one reader"),
        "{}",
        output.stderr
    );
    assert_eq!(db.count("ledger", "TRUE").await, 0);
    drop(first);
    assert_eq!(second.run(&["run"]).await.code, 0);
    assert_eq!(db.count("ledger", "outcome = 'deleted'").await, 1);
});

on_both!(
    what_cannot_be_decided_is_set_aside_unchanged_with_the_place_and_never_a_value,
    async |db: Database| {
        let reaper = with_contacts(&db).await;
        let mut wrong_type = by_hand(1, 1);
        wrong_type["type"] = json!("workflow.enrollment.completed");
        let mut no_account = by_hand(1, 2);
        no_account["data"].as_object_mut().unwrap().remove("accountId");
        let (mut ahead, mut just_ahead) = (by_hand(1, 3), by_hand(2, 4));
        ahead["data"]["enrolledAt"] = json!(seconds_ago(-360));
        just_ahead["data"]["enrolledAt"] = json!(seconds_ago(-240));
        let mut secret = by_hand(1, 5);
        secret["data"]["objectId"] = json!("ada@example.com");
        // One byte over 256 KiB, all of it in a member that is not ours.
        let mut large = by_hand(1, 6);
        large["padding"] = json!("");
        large["padding"] = json!("x".repeat(256 * 1024 + 1 - large.to_string().len()));

        let texts = [wrong_type, no_account, ahead, secret, large].map(|event| event.to_string());
        let mut bodies: Vec<&[u8]> = texts.iter().map(String::as_bytes).collect();
        bodies.extend([&b"\xff\xfe{"[..], b" {\"specversion\": "]);
        let mut file = bodies.join(&b'\n');
        file.extend_from_slice(format!("\r\n\n{just_ahead}\r\n{}", by_hand(3, 7)).as_bytes());
        let dir = TempDir::new();
        let path = dir.path().join("events.jsonl");
        std::fs::write(&path, &file).unwrap();
        let output = reaper.fed_by_lines(&path.display().to_string()).run(&["run"]).await;
        assert_eq!(output.code, 0, "{}", output.stderr);

        let mut found = dead_letters(&db).await;
        // Of two batches under way the second may be the first to set aside.
        found.sort_by_key(|[_, _, body]| bodies.iter().position(|sent| *body == hex(sent)));
        let expected = [
            ("unsupported_type", "$.type: "),
            ("malformed", "$.data.accountId: "),
            ("malformed", "$.data.enrolledAt: "),
            ("malformed", "$.data.objectId: "),
            ("too_large", "body: "),
            ("malformed", "body: "),
            ("malformed", "body: "),
        ];
        assert_eq!(found.len(), expected.len(), "{found:?}");
        for (([reason, detail, body], (expected, place)), sent) in found.iter().zip(expected).zip(bodies) {
            assert!(
                reason == expected && detail.starts_with(place),
                "{reason} {detail}: not {expected} {place}"
            );
            assert!(!detail.contains("ada@example.com"), "{detail}");
            assert!(*body == hex(sent), "the body of {reason} {detail} is not what was sent");
        }
        assert!(!output.stderr.contains("ada@example.com"), "{}", output.stderr);
        // The rest was decided.
        assert_eq!(reaper.decision(1, 4).await["outcome"], "deleted");
        assert_eq!(reaper.decision(1, 7).await["outcome"], "deleted");
        assert_eq!((db.count("ledger", "TRUE").await, reaper.state(1, 1).await), (2, "live".into()));
    }
);

on_both!(the_list_of_decisions_is_newest_first_filtered_and_limited, async |db: Database| {
    let reaper = with_contacts(&db).await;
    let reported = async |args: &[&str]| -> Vec<String> {
        let rows = reaper.json(&[&["enrollments", "list"], args].concat()).await;
        let rows = rows.as_array().expect("an array");
        rows.iter()
            .map(|row| {
                format!("{}:{}", row["accountId"].as_str().unwrap(), row["enrollmentId"].as_str().unwrap())
            })
            .collect()
    };
    assert_eq!(reported(&[]).await, Vec::<String>::new());
    reaper.decide(&[by_hand(1, 1)]).await;
    reaper.decide(&[event(1, 90, 2, 2)]).await;
    reaper.decide(&[event(2, 6, 3, 3)]).await;
    reaper.decide(&[by_hand(1, 4)]).await;
    assert_eq!(reported(&[]).await, ["1:4", "2:3", "1:2", "1:1"]);
    assert_eq!(reported(&["--limit", "2"]).await, ["1:4", "2:3"]);
    assert_eq!(reported(&["--account", "1"]).await, ["1:4", "1:2", "1:1"]);
    assert_eq!(reported(&["--account", "1", "--workflow", "6"]).await, ["1:4", "1:1"]);
    assert_eq!(reported(&["--outcome", "refused"]).await, ["2:3", "1:2"]);
    assert_eq!(reported(&["--outcome", "skipped", "--reason", "already_in_trash"]).await, ["1:4"]);
    assert_eq!(reported(&["--reason", "workflow_not_found", "--account", "2"]).await, ["2:3"]);
    assert_eq!(reported(&["--outcome", "deleted", "--workflow", "90"]).await, Vec::<String>::new());

    // A row of the list is what `show` shows.
    let list = reaper.json(&["enrollments", "list", "--reason", "already_in_trash"]).await;
    let show = reaper.json(&["enrollments", "show", "--account", "1", "--enrollment", "4"]).await;
    assert_eq!(list, json!([show]));
    let said = reaper.refused(&["enrollments", "show", "--account", "2", "--enrollment", "4"]).await;
    assert!(said.contains("account 2") && said.contains("enrollment 4"), "{said}");
});
