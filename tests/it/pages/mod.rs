//! The pages of the CRM through a contact's life, trash, restore and purge. What each page shows is written down
//! here by hand, from the specification of the matrix.

mod commands;
mod graph;

use serde_json::Value;

use crate::support::records::ADMIN;
use crate::support::{Database, Reaper, on_both};

/// One page, by the arguments that ask for it and the members to look at; a row is written as their values, null
/// as a dash.
struct Case {
    page: &'static [&'static str],
    members: &'static [&'static str],
    live: &'static [&'static str],
    trash: &'static [&'static str],
    purged: &'static [&'static str],
}

/// The page shows the same whatever becomes of the contact.
const fn unmoved(
    page: &'static [&'static str],
    members: &'static [&'static str],
    shown: &'static [&'static str],
) -> Case {
    Case { page, members, live: shown, trash: shown, purged: shown }
}

/// What a purge leaves looks like what the trash left.
const fn left_alike(
    page: &'static [&'static str],
    members: &'static [&'static str],
    live: &'static [&'static str],
    gone: &'static [&'static str],
) -> Case {
    Case { page, members, live, trash: gone, purged: gone }
}

const CONTACT: &[&str] = &["id", "contact"];
const ACTIVITY: &[&str] = &["id", "type", "contact"];
const COUNT: &[&str] = &["id", "count"];

/// Contact 11 goes, contact 12 stays; the graph tells who is on what.
const CASES: &[Case] = &[
    Case {
        page: &["calls"],
        members: CONTACT,
        live: &["101 11", "102 11", "103 11", "104 -"],
        trash: &["101 -", "102 -", "103 12", "104 -"],
        purged: &["102 -", "103 12", "104 -"],
    },
    left_alike(&["tasks"], CONTACT, &["121 11", "122 11", "123 -"], &["121 -", "122 12", "123 -"]),
    left_alike(
        &["inbox"],
        CONTACT,
        &["151 11", "152 11", "153 11", "154 12", "155 12"],
        &["151 -", "152 -", "154 12", "155 12"],
    ),
    Case {
        page: &["feedback"],
        members: CONTACT,
        live: &["171 11", "172 12"],
        trash: &["171 Unknown contact", "172 12"],
        purged: &["172 12"],
    },
    Case {
        page: &["form-submissions"],
        members: CONTACT,
        live: &["181 11", "182 12", "183 11"],
        trash: &["181 No contact", "182 12", "183 No contact"],
        purged: &["182 12"],
    },
    Case {
        page: &["files"],
        members: CONTACT,
        live: &["191 11", "192 11", "193 11", "194 -", "195 11"],
        trash: &["191 -", "192 -", "193 12", "194 -", "195 12"],
        // 192 and 193 came with form submissions of the contact.
        purged: &["191 -", "194 -", "195 12"],
    },
    left_alike(
        &["notifications"],
        &["id", "contact", "contactName", "contactEmail", "title"],
        &[
            "201 11 A Contact contact11@account1.example Something happened",
            "202 12 A Contact contact12@account1.example Something happened",
        ],
        &[
            "201 - A Contact contact11@account1.example Something happened",
            "202 12 A Contact contact12@account1.example Something happened",
        ],
    ),
    left_alike(&["quotes"], CONTACT, &["211 11", "212 11", "213 12"], &["211 -", "212 12", "213 12"]),
    left_alike(
        &["tickets"],
        &["id", "contact", "subject"],
        &["5 - -", "6 11 It stalls", "7 11 It halts"],
        &["5 - -", "6 12 It stalls", "7 - It halts"],
    ),
    left_alike(&["contact-report"], &["id"], &["11", "12"], &["12"]),
    left_alike(
        &["engagement-report"],
        ACTIVITY,
        &[
            "101 call 11",
            "102 call 11",
            "103 call 11",
            "104 call -",
            "111 email 11",
            "112 email 11",
            "121 task 11",
            "122 task 11",
            "123 task -",
            "131 email_open 11",
            "131 note 11",
            "132 note 11",
            "133 note 11",
            "141 meeting 11",
            "161 session 11",
            "162 session 12",
            "163 email_open 11",
            "164 email_click 12",
            "165 form_submission 11",
        ],
        &[
            "101 call -",
            "102 call -",
            "103 call 12",
            "104 call -",
            "111 email -",
            "112 email -",
            "121 task -",
            "122 task 12",
            "123 task -",
            "131 email_open -",
            "131 note -",
            "132 note -",
            "133 note 12",
            "141 meeting -",
            "161 session -",
            "162 session 12",
            "163 email_open -",
            "164 email_click 12",
            "165 form_submission -",
        ],
    ),
    unmoved(&["email-report"], COUNT, &["alerts 1", "news 2"]),
    unmoved(&["sources-report"], COUNT, &["ads 2"]),
    unmoved(&["form-report"], COUNT, &["Signup 1", "contact-us 1", "signup 1"]),
    left_alike(
        &["timeline", "--object", "company:9"],
        ACTIVITY,
        &["102 call 11", "112 email 11", "123 task -", "132 note 11"],
        &["102 call -", "112 email -", "123 task -", "132 note -"],
    ),
    left_alike(&["timeline", "--object", "deal:8"], ACTIVITY, &["141 meeting 11"], &["141 meeting -"]),
    left_alike(&["timeline", "--object", "ticket:7"], ACTIVITY, &["141 meeting 11"], &["141 meeting -"]),
    left_alike(
        &["timeline", "--object", "contact:11"],
        ACTIVITY,
        &[
            "101 call 11",
            "102 call 11",
            "103 call 11",
            "111 email 11",
            "112 email 11",
            "121 task 11",
            "122 task 11",
            "131 note 11",
            "132 note 11",
            "133 note 11",
            "141 meeting 11",
        ],
        &[],
    ),
    left_alike(
        &["timeline", "--object", "contact:12"],
        ACTIVITY,
        &["103 call 11", "122 task 11", "133 note 11"],
        &["103 call 12", "122 task 12", "133 note 12"],
    ),
    left_alike(
        &["company", "--id", "9"],
        &["id", "name", "lifecycleStage"],
        &["9 Analytical customer"],
        &["9 Analytical lead"],
    ),
    left_alike(&["segment", "--id", "4"], &["id"], &["11", "12"], &["12"]),
];

/// The rows of a page, sorted, each as the values of these members.
async fn shown(reaper: &Reaper, account: i64, page: &[&str], members: &[&str]) -> Vec<String> {
    let account = account.to_string();
    let view = reaper.json(&[&["inspect", "page", "--account", &account], page].concat()).await;
    let text = |row: &Value, member: &&str| match &row[*member] {
        Value::Null => "-".to_owned(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    let row = |row: &Value| members.iter().map(|member| text(row, member)).collect::<Vec<_>>().join(" ");
    let mut rows: Vec<String> = view["rows"].as_array().expect("rows").iter().map(row).collect();
    rows.sort();
    rows
}

/// A deed of the administrator on contacts of account 1.
async fn deed(reaper: &Reaper, deed: &str, contact: i64) {
    let (user, contact) = (ADMIN.to_string(), contact.to_string());
    let mut args = vec![deed, "--account", "1", "--as", &user, "--contact", &contact];
    if deed != "restore" {
        args.extend(["--confirm", "1"]);
    }
    let output = reaper.run(&args).await;
    assert_eq!(output.code, 0, "{}", output.stderr);
}

/// Makes what is in the trash of account 1 older than its time, and purges it.
async fn purge(reaper: &Reaper, db: &Database) {
    let old = "2020-01-01T00:00:00.000000Z";
    db.execute(&format!(
        "UPDATE contacts SET deleted_at = '{old}' WHERE account_id = 1 AND deleted_at IS NOT NULL; \
         UPDATE trash_entries SET deleted_at = '{old}' WHERE account_id = 1 AND closed_at IS NULL"
    ))
    .await;
    let output = reaper.run(&["retention", "run", "--job", "purge_trash"]).await;
    assert_eq!(output.code, 0, "{}", output.stderr);
}

async fn expect(reaper: &Reaper, when: &str, account: i64, expected: impl Fn(&Case) -> &[&str]) {
    for case in CASES {
        let rows = shown(reaper, account, case.page, case.members).await;
        assert_eq!(rows, expected(case), "{when}: {:?} of account {account}", case.page);
    }
}

on_both!(every_page_follows_a_contact_to_its_end, async |db: Database| {
    let reaper = Reaper::new(&db);
    reaper.import(&[graph::records(1), graph::records(2)].concat()).await;
    expect(&reaper, "live", 1, |case| case.live).await;

    deed(&reaper, "delete", 11).await;
    expect(&reaper, "in the trash", 1, |case| case.trash).await;

    deed(&reaper, "restore", 11).await;
    // Row 16 of the matrix: memberships are not restored.
    let is_segment = |case: &Case| case.page[0] == "segment";
    expect(&reaper, "restored", 1, |case| if is_segment(case) { &["12"] } else { case.live }).await;

    deed(&reaper, "delete", 11).await;
    purge(&reaper, &db).await;
    expect(&reaper, "purged", 1, |case| case.purged).await;

    // The other account, with the same ids, has seen nothing of it.
    let notifications = |case: &Case| case.page[0] == "notifications";
    for case in CASES.iter().filter(|case| !notifications(case)) {
        assert_eq!(shown(&reaper, 2, case.page, case.members).await, case.live, "{:?}", case.page);
    }
});

on_both!(
    every_page_after_an_erasure_is_as_after_a_purge_but_for_conversations_and_notifications,
    async |db: Database| {
        let reaper = Reaper::new(&db);
        reaper.import(&[graph::records(1), graph::records(2)].concat()).await;
        deed(&reaper, "erase", 11).await;
        expect(&reaper, "erased", 1, |case| match case.page {
            ["inbox"] => &["154 12", "155 12"],
            ["notifications"] => &["202 12 A Contact contact12@account1.example Something happened"],
            _ => case.purged,
        })
        .await;
        for case in CASES.iter().filter(|case| case.page != ["notifications"]) {
            assert_eq!(shown(&reaper, 2, case.page, case.members).await, case.live, "{:?}", case.page);
        }
    }
);

on_both!(what_both_contacts_share_goes_with_the_second, async |db: Database| {
    let reaper = Reaper::new(&db);
    reaper.import(&graph::records(1)).await;
    deed(&reaper, "delete", 12).await;
    let calls = async || shown(&reaper, 1, &["calls"], CONTACT).await;
    assert_eq!(calls().await, ["101 11", "102 11", "103 11", "104 -"]);
    deed(&reaper, "delete", 11).await;
    assert_eq!(calls().await, ["101 -", "102 -", "103 -", "104 -"]);
    purge(&reaper, &db).await;
    assert_eq!(calls().await, ["102 -", "104 -"]);
    assert_eq!(shown(&reaper, 1, &["tasks"], CONTACT).await, ["121 -", "122 -", "123 -"]);
    assert_eq!(shown(&reaper, 1, &["contact-report"], &["id"]).await, [""; 0]);
    let engagement = shown(&reaper, 1, &["engagement-report"], CONTACT).await;
    assert_eq!(engagement.len(), 19, "{engagement:?}");
    assert!(engagement.iter().all(|row| row.ends_with(" -")), "{engagement:?}");
});

on_both!(the_form_report_counts_on_through_purge_and_erase, async |db: Database| {
    let reaper = Reaper::new(&db);
    reaper.import(&graph::records(1)).await;
    reaper.import(&[graph::submission(1, 184, "signup", 12), graph::submission(1, 185, "signup", 12)]).await;
    let counted = ["Signup 1", "contact-us 1", "signup 3"];
    let report = async || shown(&reaper, 1, &["form-report"], COUNT).await;
    // Two forms of one contact; then one of them again, of another contact.
    deed(&reaper, "delete", 11).await;
    purge(&reaper, &db).await;
    assert_eq!(report().await, counted, "purged");
    deed(&reaper, "erase", 12).await;
    assert_eq!(report().await, counted, "erased");
    assert_eq!(shown(&reaper, 1, &["form-submissions"], CONTACT).await, [""; 0]);
});
