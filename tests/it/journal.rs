//! The journal kept outside the store: whoever was erased is erased again when a backup is restored.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::erase::{TRACES, found, graph};
use crate::support::records::{account, contact, days_ago};
use crate::support::{Database, Output, Reaper, TempDir, on_both};

const KEY: &str = "k1:000102030405060708090a0b0c0d0e0f";
/// Somebody who was erased after a backup, and an address that nobody had.
const LATER: &str = "bea.latecomer@x.example";
const STRANGER: &str = "stranger@x.example";

/// A store with its key outside, a backup of it, and the journal of what was erased after the backup: contact 11;
/// contact 13 by the address, unsubscribed meanwhile; contact 14, who came meanwhile; and the stranger.
struct Story {
    dir: TempDir,
    reaper: Reaper,
    backup: Database,
    journal: String,
}

impl Story {
    async fn of(db: &Database) -> Self {
        let dir = TempDir::new();
        let key = dir.path().join("hash.key");
        std::fs::write(&key, KEY).unwrap();
        let reaper = Reaper::new(db).setting("privacy.hash_key_file", key.to_str().unwrap());
        let bounce = json!({"kind": "deliverability", "accountId": "1", "email": STRANGER, "status": "bounced", "at": days_ago(3)});
        reaper.import(&[graph(), vec![thirteen(), bounce]].concat()).await;
        let backup = db.copy().await;
        let unsubscribed = json!({"kind": "deliverability", "accountId": "1", "email": LATER, "status": "unsubscribed", "at": days_ago(1)});
        reaper.import(&[unsubscribed, fourteen()]).await;
        for (what, whom, count) in [
            ("--contact", "11", "1"),
            ("--email", LATER, "1"),
            ("--contact", "14", "1"),
            ("--email", STRANGER, "0"),
        ] {
            reaper.json(&["erase", "--account", "1", "--as", "1", what, whom, "--confirm", count]).await;
        }
        let journal = reaper.run(&["erasures", "export"]).await;
        assert_eq!((journal.code, journal.stderr.as_str()), (0, ""));
        Self { dir, reaper, backup, journal: journal.stdout }
    }

    /// The command on the restored backup.
    fn restored(&self) -> Reaper {
        self.reaper.clone().setting("store.url", self.backup.url())
    }

    async fn apply(&self, journal: &str) -> Output {
        self.restored().run_with_input(&["--json", "erasures", "apply", "-"], journal).await
    }

    /// Applies what must be refused; nothing may have changed.
    async fn refused(&self, reaper: &Reaper, journal: &str, why: &str) {
        let before = self.backup.dump(&[]).await;
        let output = reaper.run_with_input(&["erasures", "apply", "-"], journal).await;
        assert_eq!((output.code, output.stdout.as_str()), (1, ""), "{}", output.stderr);
        assert!(output.stderr.contains(why), "{}", output.stderr);
        assert!(output.stderr.contains("nothing was done"), "{}", output.stderr);
        self.backup.assert_unchanged_since(&before).await;
    }
}

fn thirteen() -> Value {
    contact(1, 13, json!({"email": LATER, "firstname": "Bea"}))
}

fn fourteen() -> Value {
    contact(1, 14, json!({"email": "fourteen@x.example"}))
}

fn report(output: &Output) -> Value {
    serde_json::from_str(&output.stdout).unwrap_or_else(|_| panic!("{}{}", output.stdout, output.stderr))
}

/// The contacts that a journal has, and how many of its lines are of no contact.
fn contacts(journal: &str) -> (BTreeSet<String>, usize) {
    let lines = journal.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let erasures: Vec<Value> = lines.filter(|line| line["kind"] == "erasure").collect();
    let of = erasures.iter().filter_map(|erasure| erasure["contactId"].as_str());
    (
        of.map(str::to_owned).collect(),
        erasures.iter().filter(|erasure| erasure["contactId"].is_null()).count(),
    )
}

on_both!(a_backup_that_was_restored_is_erased_again, async |db: Database| {
    let story = Story::of(&db).await;
    let erased = BTreeSet::from(["11", "13", "14"].map(str::to_owned));
    assert_eq!(contacts(&story.journal), (erased.clone(), 1));
    let said = story.journal.to_lowercase();
    for value in TRACES.iter().chain(&[LATER, STRANGER, "fourteen@x.example"]) {
        assert!(!said.contains(&value.to_lowercase()), "the journal says {value}");
    }
    assert_eq!(found(&story.backup, "").await, TRACES, "everybody is back");
    let restored = story.restored();
    // Somebody else has the stranger's address by now, and stays.
    restored.import(&[contact(1, 15, json!({"email": STRANGER}))]).await;
    let events = story.backup.count("outbox", "TRUE").await;

    let output = story.apply(&story.journal).await;
    assert_eq!(output.code, 0, "{}", output.stderr);
    // Not from erasing 11 and 13 again: Bea's unsubscribe, the mark of 14's address, and the stranger's three. What else
    // went with 11 is known from erasing 11 again.
    let expected = json!({"erased": 2, "recorded": 2, "known": 0, "held": [], "suppressed": 5, "revived": 1,
        "redacted": 0, "erasedRecords": 0, "absentAccounts": []});
    assert_eq!(report(&output), expected);
    assert_eq!(found(&story.backup, &output.stdout).await, Vec::<&str>::new());
    assert!(!story.backup.everything().await.contains(LATER));
    for id in [11, 13, 14] {
        assert_eq!(restored.state(1, id).await, "erased", "{id}");
    }
    let newcomer = restored.contact(1, 15).await;
    assert_eq!(newcomer["state"], "live");
    assert_eq!(
        newcomer["visible"]["suppressions"],
        json!(["bounced:stranger@x.example", "unsubscribed:stranger@x.example"])
    );
    assert_eq!(story.backup.count("outbox", "type = 'mail.erasure'").await, 0, "nobody is told again");
    assert_eq!(story.backup.count("outbox", "type = 'contact.privacyDeletion'").await, 2);
    assert_eq!(story.backup.count("outbox", "TRUE").await, events + 4);

    // Once more changes nothing.
    let before = story.backup.dump(&[]).await;
    let again = report(&story.apply(&story.journal).await);
    let expected = json!({"erased": 0, "recorded": 0, "known": 4, "held": [], "suppressed": 0, "revived": 0,
        "redacted": 0, "erasedRecords": 0, "absentAccounts": []});
    assert_eq!(again, expected);
    story.backup.assert_unchanged_since(&before).await;

    // The same records again bring nobody back, and who comes with an old address is unsubscribed.
    let lines = crate::support::records::lines(&[thirteen(), fourteen()]);
    let imported = restored.run_with_input(&["--json", "import", "-"], &lines).await;
    assert_eq!((&report(&imported)["imported"], &report(&imported)["skipped"]), (&json!(0), &json!(2)));
    restored.import(&[contact(1, 99, json!({"email": LATER}))]).await;
    let newcomer = restored.contact(1, 99).await;
    assert_eq!(newcomer["visible"]["suppressions"], json!([format!("unsubscribed:{LATER}")]));

    // And the journal of the restored store is as complete as the first.
    let journal = restored.run(&["erasures", "export"]).await.stdout;
    assert_eq!(contacts(&journal), (erased, 1));
});

on_both!(a_hold_stops_one_and_not_the_others, async |db: Database| {
    let story = Story::of(&db).await;
    let restored = story.restored();
    let hold = ["legal-hold", "set", "--account", "1", "--contact", "11", "--reason", "case 5"];
    assert_eq!(restored.run(&hold).await.code, 0);
    let output = story.apply(&story.journal).await;
    assert_eq!(output.code, 1);
    assert_eq!(report(&output)["held"], json!([{"accountId": "1", "contactId": "11"}]));
    assert!(output.stderr.contains("under a legal hold"), "{}", output.stderr);
    assert!(
        !story.backup.everything().await.contains(STRANGER),
        "what was told of the stranger is a hash again"
    );
    assert_eq!((restored.state(1, 11).await, restored.state(1, 13).await), ("live".into(), "erased".into()));
    assert_eq!(restored.run(&["legal-hold", "lift", "--account", "1", "--contact", "11"]).await.code, 0);
    let output = story.apply(&story.journal).await;
    assert_eq!((output.code, &report(&output)["erased"]), (0, &json!(1)), "{}", output.stderr);
});

on_both!(what_cannot_be_understood_does_nothing, async |db: Database| {
    let story = Story::of(&db).await;
    let restored = story.restored();
    let lines = story.journal.lines().count() + 1;
    let torn = story.journal.clone() + "{\"kind\":\"erasure\",\"accountId\":\"1\"";
    story.refused(&restored, &torn, &format!("line {lines}: the line: is not JSON")).await;
    let other = story.journal.clone() + "{\"kind\":\"pardon\"}\n";
    story.refused(&restored, &other, &format!("line {lines}: kind: must be")).await;

    // The hashes mean nothing without their key.
    let key = story.dir.path().join("other.key");
    let with_key = |text: &str| {
        std::fs::write(&key, text).unwrap();
        restored.clone().setting("privacy.hash_key_file", key.to_str().unwrap())
    };
    let none = with_key("k2:000102030405060708090a0b0c0d0e0f");
    story.refused(&none, &story.journal, "the key k1, and this store does not have it").await;
    let another = with_key("k1:0f0e0d0c0b0a09080706050403020100");
    story.refused(&another, &story.journal, "the key k1, and this store has another key of that id").await;
    let unset = restored.clone().setting("privacy.hash_key_file", "");
    story.refused(&unset, &story.journal, "the key k1, and this store does not have it").await;
    let both = with_key(&format!("k2:0f0e0d0c0b0a09080706050403020100\n{KEY}"));
    let output = both.run_with_input(&["erasures", "apply", "-"], &story.journal).await;
    assert_eq!(output.code, 0, "a rotated key is still one: {}", output.stderr);
    assert!(output.stdout.starts_with("2 contacts had come back and are erased again; 2 erasures recorded"));
});

on_both!(
    an_address_erased_after_the_backup_is_redacted_again_where_no_contact_had_it,
    async |db: Database| {
        const WANDERER: &str = "wim.wanderer@x.example";
        let dir = TempDir::new();
        let key = dir.path().join("hash.key");
        std::fs::write(&key, KEY).unwrap();
        let reaper = Reaper::new(&db).setting("privacy.hash_key_file", key.to_str().unwrap());
        let note = |id: &str, body: &str| {
            json!({"kind": "activity", "accountId": "1", "id": id, "type": "note", "timestamp": days_ago(3),
            "properties": {"body": body}, "associations": [{"type": "contact", "id": "12"}]})
        };
        let mut records = graph();
        records.push(note("81", "Ask Wim (WIM.WANDERER%40x.example) and Zebulon Quirke, zq@old.example"));
        records.push(note("82", "Wim is not at x.example any more"));
        let submission = json!({"kind": "formSubmission", "accountId": "1", "contactId": "12", "id": "83",
        "formId": WANDERER, "submittedAt": days_ago(1), "values": {"friend": WANDERER}});
        records.push(submission);
        records.push(contact(1, 13, json!({"email": "trish@x.example", "friend": WANDERER})));
        reaper.import(&records).await;
        let backup = db.copy().await;
        reaper.json(&["erase", "--account", "1", "--as", "1", "--email", WANDERER, "--confirm", "0"]).await;
        let journal = reaper.run(&["erasures", "export"]).await.stdout;

        let restored = reaper.clone().setting("store.url", backup.url());
        assert!(backup.everything().await.contains("WIM.WANDERER%40x.example"));
        let applied = || restored.run_with_input(&["--json", "erasures", "apply", "-"], &journal);
        let output = applied().await;
        assert_eq!(output.code, 0, "{}", output.stderr);
        assert_eq!(report(&output)["recorded"], 1);
        assert_eq!(report(&output)["redacted"], 2, "note 81 and submission 83");
        let texts = backup.everything().await;
        assert!(!texts.contains("WIM.WANDERER"), "the note still has it");
        assert!(texts.contains("Ask Wim ([redacted]) and Zebulon Quirke, zq@old.example"));
        assert!(texts.contains("Wim is not at x.example any more"));
        assert_eq!(texts.matches(WANDERER).count(), 1, "the property of contact 13 is another contact's");
        assert_eq!(restored.contact(1, 13).await["properties"]["friend"], WANDERER);
        assert_eq!(backup.count("audit", "action = 'redact_again' AND count = 2").await, 1);
        let before = backup.dump(&[]).await;
        assert_eq!(report(&applied().await)["redacted"], 0);
        backup.assert_unchanged_since(&before).await;
    }
);

on_both!(whoever_was_erased_stays_away_from_a_store_that_never_knew_them, async |db: Database| {
    let story = Story::of(&db).await;
    let fresh = if db.is_sqlite() { Database::sqlite() } else { Database::postgres().await };
    let empty = story.reaper.clone().setting("store.url", fresh.url());
    empty.json(&["migrate"]).await;
    let file = story.dir.path().join("journal.jsonl");
    std::fs::write(&file, &story.journal).unwrap();
    let applied = empty.json(&["erasures", "apply", file.to_str().unwrap()]).await;
    assert_eq!((&applied["recorded"], &applied["absentAccounts"]), (&json!(4), &json!(["1"])));
    assert_eq!(applied["erasedRecords"], 5);
    empty.import(&[account(1), thirteen(), fourteen(), contact(1, 15, json!({"email": STRANGER}))]).await;
    let ticket =
        |id: &str| json!({"kind": "ticket", "accountId": "1", "id": id, "properties": {"subject": "old"}});
    let note = |id: &str| {
        json!({"kind": "activity", "accountId": "1", "id": id, "type": "note", "timestamp": days_ago(3),
            "properties": {"body": "typed"}, "associations": [{"type": "contact", "id": "11"}]})
    };
    empty.import(&[ticket("32"), ticket("33"), note("42")]).await;
    assert_eq!(fresh.count("objects", "object_id = 32").await, 0, "it went with contact 11");
    assert_eq!(fresh.count("objects", "object_id = 33").await, 1);
    assert_eq!(fresh.count("activities", "TRUE").await, 0, "the note was of contact 11 alone");
    assert_eq!((empty.state(1, 13).await, empty.state(1, 15).await), ("erased".into(), "live".into()));
    let receipts = empty.json(&["erasures", "list", "--account", "1"]).await;
    assert_eq!(receipts.as_array().unwrap().len(), 4);
});

on_both!(a_journal_in_a_file_is_whole_or_not_there, async |db: Database| {
    let story = Story::of(&db).await;
    let path = |name: &str| story.dir.path().join(name).to_str().unwrap().to_owned();
    let written = story.reaper.json(&["erasures", "export", &path("journal.jsonl")]).await;
    // Note 42, ticket 32, the conversations 51 and 52, and file 72, which came with a form.
    assert_eq!(written, json!({"keys": 1, "erasures": 4, "suppressions": 11, "erasedRecords": 5}));
    assert_eq!(std::fs::read_to_string(path("journal.jsonl")).unwrap(), story.journal);
    let lost = story.reaper.run(&["erasures", "export", &path("nowhere/journal.jsonl")]).await;
    assert_eq!(lost.code, 1);
    assert!(lost.stderr.contains("nowhere/journal.jsonl cannot be written"), "{}", lost.stderr);
    std::fs::create_dir(path("taken")).unwrap();
    assert_eq!(story.reaper.run(&["erasures", "export", &path("taken")]).await.code, 1);
    let names: BTreeSet<String> = std::fs::read_dir(story.dir.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    assert_eq!(names, BTreeSet::from(["hash.key", "journal.jsonl", "taken"].map(str::to_owned)));
    let both = story.reaper.run(&["--json", "erasures", "export"]).await;
    assert_eq!((both.code, both.stdout.as_str()), (2, ""), "two documents do not fit one output");
});

on_both!(a_journal_that_is_cut_off_or_of_another_store_erases_nobody, async |db: Database| {
    let story = Story::of(&db).await;
    let restored = story.restored();
    let (first, rest) = story.journal.split_once('\n').unwrap();
    let mut lines: Vec<&str> = story.journal.lines().collect();
    lines.pop();
    story.refused(&restored, &(lines.join("\n") + "\n"), "the journal is not whole").await;
    lines.pop();
    story.refused(&restored, &(lines.join("\n") + "\n"), "the journal is not whole").await;
    story.refused(&restored, "", "the journal is not whole").await;
    // Without its key nothing tells which store it is of.
    assert!(first.contains("\"kind\":\"key\""), "{first}");
    story.refused(&restored, rest, "is of no key that a line before it tells").await;
    let no_address: String = rest
        .lines()
        .filter(|line| !line.contains("suppression\""))
        .map(|line| line.to_owned() + "\n")
        .collect();
    let no_address = no_address.replace("\"suppressions\":11", "\"suppressions\":0");
    story.refused(&restored, &no_address, "the journal tells no key").await;
    story.refused(&restored, &"x".repeat(70_000), "line 1: the line: cannot be read (it is too long)").await;

    // Another store, whose contact has no address, has a contact of the same id.
    let other = if db.is_sqlite() { Database::sqlite() } else { Database::postgres().await };
    let other = Reaper::new(&other);
    let mut nameless = contact(1, 12, json!({}));
    nameless["properties"] = json!({});
    other.import(&[crate::support::records::entitled_account(1), vec![nameless]].concat()).await;
    other.json(&["erase", "--account", "1", "--as", "1", "--contact", "12", "--confirm", "1"]).await;
    let foreign = other.run(&["erasures", "export"]).await;
    assert_eq!(foreign.code, 0, "{}", foreign.stderr);
    story.refused(&restored, &foreign.stdout, "the journal is of a store with the key k1").await;
    assert_eq!(restored.state(1, 12).await, "live");
});

on_both!(without_the_key_of_its_hashes_nothing_is_imported_erased_or_denied, async |db: Database| {
    let story = Story::of(&db).await;
    let key = story.dir.path().join("hash.key");
    let before = db.dump(&[]).await;
    let back = serde_json::to_string(&contact(1, 20, json!({"email": LATER}))).unwrap();
    for (text, why) in [
        ("k1:0f0e0d0c0b0a09080706050403020100", "the key k1"),
        ("k2:0f0e0d0c0b0a09080706050403020100", "the key k1"),
    ] {
        std::fs::write(&key, text).unwrap();
        let said = story.reaper.refused_with_input(&["import", "-"], &back).await;
        assert!(said.contains(why) && said.contains("put that key back"), "{said}");
        let said = story
            .reaper
            .refused(&["erase", "--account", "1", "--as", "1", "--contact", "12", "--confirm", "1"])
            .await;
        assert!(said.contains(why), "{said}");
        for command in [
            &["erasures", "export"][..],
            &["erasures", "list", "--account", "1", "--email", LATER],
            &["erase", "--account", "1", "--as", "1", "--contact", "12", "--preview"],
        ] {
            let said = story.reaper.refused(command).await;
            assert!(said.contains(why), "{command:?}: {said}");
        }
    }
    db.assert_unchanged_since(&before).await;
    std::fs::write(&key, KEY).unwrap();
    story.reaper.run_with_input(&["import", "-"], &back).await;
    let visible = story.reaper.contact(1, 20).await["visible"]["suppressions"].clone();
    assert_eq!(visible, json!([format!("unsubscribed:{LATER}")]));
});
