//! `restore --preview`: what would come back, what is in the way, and that nothing is written.

use serde_json::{Value, json};

use super::{linked, restore_list};
use crate::support::every_category::every_category;
use crate::support::{Database, Reaper, on_both};

/// What the database has given out as ids so far.
async fn ids_given_out(db: &Database) -> Vec<Vec<String>> {
    let postgres = "SELECT CAST(sequencename AS text), CAST(last_value AS text) FROM pg_sequences ORDER BY 1";
    let sqlite = "SELECT name, CAST(seq AS text) FROM sqlite_sequence ORDER BY 1";
    db.rows(db.in_its_words(postgres, sqlite)).await
}

async fn preview(reaper: &Reaper, contacts: &[&str]) -> Value {
    let what = ["restore", "--account", "1", "--as", "1", "--preview", "--contact"];
    reaper.json(&[&what[..], contacts].concat()).await
}

on_both!(a_preview_shows_what_a_restore_then_brings_and_writes_nothing, async |db: Database| {
    let reaper = Reaper::new(&db);
    reaper.import(&[every_category(1), vec![linked(("contact", 1), ("company", 404))]].concat()).await;
    let mut visible = reaper.contact(1, 1).await["visible"].clone();
    reaper.delete(1, 1).await;
    reaper.delete(1, 3).await;
    let (before, ids) = (db.dump(&[]).await, ids_given_out(&db).await);

    let alone = preview(&reaper, &["1"]).await;
    let both = preview(&reaper, &["3", "1"]).await;
    db.assert_unchanged_since(&before).await;
    assert_eq!(ids_given_out(&db).await, ids);

    // Rows 16 and 19 of the matrix.
    visible["segments"] = json!([]); // Both are static.
    visible["workflows"] = json!([]);
    assert_eq!(both["notRestored"], json!(["staticSegments", "workflows"]));
    let gone = json!({"type": "company", "id": "404", "state": "gone"});
    assert_eq!(
        (&both["contacts"][0]["contactId"], &both["contacts"][1]["contactId"]),
        (&json!("3"), &json!("1"))
    );
    assert_eq!(both["contacts"][1]["visible"], visible);
    assert_eq!(both["contacts"][1]["missing"], json!([gone]));
    assert_eq!(both["contacts"][0]["missing"], json!([]));
    // Alone it comes without its colleague, who is in the trash.
    visible["associations"].as_array_mut().unwrap().retain(|member| member != "contact:3:colleague");
    assert_eq!(alone["contacts"][0]["visible"], visible);
    let colleague = json!({"type": "contact", "id": "3", "state": "in_trash"});
    assert_eq!(alone["contacts"][0]["missing"], json!([gone, colleague]));

    assert_eq!(restore_list(&reaper, &[1]).await.code, 0);
    assert_eq!(reaper.contact(1, 1).await["visible"], visible);
});

on_both!(people_read_a_preview_as_tables, async |db: Database| {
    let reaper = Reaper::new(&db);
    reaper.import(&every_category(1)).await;
    reaper.delete(1, 1).await;
    reaper.delete(1, 3).await;
    let what = ["restore", "--account", "1", "--as", "1", "--preview", "--contact", "1", "2", "99"];
    let output = reaper.run(&what).await;
    assert_eq!((output.code, output.stderr.as_str()), (0, ""));
    for words in [
        "2 contacts would come back, 1 would not; nothing was changed",
        "2 calls",
        "contact 3 (in trash)",
        "no contact 99",
        "Memberships of static segments and enrollments in workflows do not come back",
    ] {
        assert!(output.stdout.contains(words), "{words}:\n{}", output.stdout);
    }
});
