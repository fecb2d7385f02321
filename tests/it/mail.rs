//! The confirmation of an erasure: it reaches the user who asked, says nothing of the person, and its failure undoes
//! nothing.

use std::time::Duration;

use serde_json::{Value, json};

use crate::support::records::{contact, entitled_account, lines, user};
use crate::support::{
    Broker, DEADLINE, Database, MailServer, Output, Proxy, Reaper, Worker, on_both, wait_until,
};

/// Values of contacts 11 to 19 that nobody else has.
const TRACES: [&str; 4] = ["zebulon.quirke", "Zebulon", "Quirke", "+48 601 602 603"];

/// Nine contacts of one name, and users by the name that their address starts with.
fn records(users: &[(i64, &str)]) -> Vec<Value> {
    let mut records = entitled_account(1);
    for id in 11..20 {
        let person = json!({"email": format!("zebulon.quirke{id}@person.example"), "firstname": "Zebulon",
            "lastname": "Quirke", "phone": TRACES[3]});
        records.push(contact(1, id, person));
    }
    for (id, email) in users {
        let mut record = user(1, *id, &["delete", "permanently_delete"]);
        record["email"] = json!(email);
        records.push(record);
    }
    records
}

/// A service that sends by this server and has nothing else to do.
fn sending(db: &Database, broker: &Broker, host: &str) -> Reaper {
    let reaper = Reaper::new(db).fed_by(broker).setting("mail.max_retry_delay", "100ms");
    reaper.setting("mail.smtp_url", &format!("smtp://{host}")).setting("mail.from", "reaper@crm.example")
}

async fn erase(reaper: &Reaper, user: i64, contact: i64) -> Output {
    let (user, contact) = (user.to_string(), contact.to_string());
    let args = ["erase", "--account", "1", "--as", &user, "--contact", &contact, "--confirm", "1", "--json"];
    let output = reaper.run(&args).await;
    assert_eq!(output.code, 0, "{}", output.stderr);
    output
}

async fn waiting(db: &Database) -> i64 {
    db.count("outbox", "type = 'mail.erasure'").await
}

async fn started(reaper: &Reaper) -> Worker {
    let mut worker = reaper.spawn(&["run"]);
    worker.wait_ready().await;
    worker
}

async fn wait_taken(server: &MailServer, count: usize) {
    wait_until("the mail server has taken them", DEADLINE, async || server.mails().len() >= count).await;
}

on_both!(it_reaches_the_user_and_holds_nothing_of_the_person, async |db: Database| {
    let (broker, server) = (Broker::new().await, MailServer::new().await);
    let events = broker.listen(&[]).await;
    let reaper = sending(&db, &broker, &server.host());
    reaper.import(&records(&[(7, "officer@account1.example")])).await;
    let answer: Value = serde_json::from_str(&erase(&reaper, 7, 11).await.stdout).unwrap();
    assert_eq!(answer["confirmation"], json!({"userId": "7", "waitsFor": "run"}));
    let receipt = answer["receipts"][0]["erasureId"].as_str().unwrap();
    let worker = started(&reaper).await;
    wait_taken(&server, 1).await;
    wait_until("the outbox is empty", DEADLINE, async || db.count("outbox", "TRUE").await == 0).await;

    let mail = &server.mails()[0];
    assert_eq!(mail.to, ["officer@account1.example"]);
    assert_eq!(mail.header("From"), "contact-reaper <reaper@crm.example>");
    assert_eq!(mail.header("To"), "officer@account1.example");
    assert_eq!(mail.header("Subject"), "Erased in account 1: contact 11");
    assert_eq!(mail.header("Auto-Submitted"), "auto-generated");
    assert!(mail.header("Message-ID").ends_with("@crm.example>"), "{}", mail.raw);
    assert!(
        mail.raw.contains(&format!("contact-reaper erasures show {receipt} --account 1")),
        "{}",
        mail.raw
    );
    let time = answer["receipts"][0]["erasedAt"].as_str().unwrap();
    assert!(mail.raw.contains(time), "{}", mail.raw);
    let said = (mail.raw.clone() + &worker.stderr()).to_lowercase();
    for trace in TRACES {
        assert!(!said.contains(&trace.to_lowercase()), "{trace} in {said}");
    }
    assert!(!worker.stderr().contains("officer@"), "a log names ids");
    // Those who listen for events hear nothing of it.
    let heard: Vec<String> =
        broker.drain(&events).await.into_iter().map(|message| message.routing_key).collect();
    assert_eq!(heard, ["contact.deletion", "contact.privacyDeletion"]);
    assert!(worker.metrics().await.contains("contact_reaper_mails_total{result=\"sent\"} 1"));
});

on_both!(it_is_sent_with_json_lines_as_well_and_counts_as_pending, async |db: Database| {
    let server = MailServer::new().await;
    let reaper = Reaper::new(&db);
    reaper.import(&records(&[])).await;
    let stranger =
        ["erase", "--account", "1", "--as", "1", "--email", "stranger@x.example", "--confirm", "0"];
    let output = reaper.run(&stranger).await;
    assert!(
        output.stdout.ends_with("no confirmation e-mail is sent to user 1: mail.smtp_url is not set\n"),
        "{}",
        output.stdout
    );
    let answer: Value = serde_json::from_str(&erase(&reaper, 1, 11).await.stdout).unwrap();
    assert_eq!(answer["confirmation"], json!({"userId": "1", "waitsFor": "mail.smtp_url"}));
    reaper.decide(&[]).await;
    assert_eq!(waiting(&db).await, 2, "without a mail server it waits");

    reaper.setting("mail.smtp_url", &format!("smtp://{}", server.host())).decide(&[]).await;
    assert_eq!((waiting(&db).await, db.count("outbox", "TRUE").await), (0, 2), "events wait for a broker");
    let mails = server.mails();
    assert_eq!(mails.len(), 2);
    assert_eq!(mails[0].header("Subject"), "Erased in account 1: an address that nobody had");
    assert!(!mails[0].raw.contains("stranger"), "{}", mails[0].raw);
    assert_eq!(mails[1].header("Subject"), "Erased in account 1: contact 11");
});

on_both!(a_server_that_is_away_is_waited_for, async |db: Database| {
    let (broker, server) = (Broker::new().await, MailServer::new().await);
    let mut proxy = Proxy::new(&server.host());
    let reaper = sending(&db, &broker, &proxy.address());
    reaper.import(&records(&[])).await;
    let worker = started(&reaper).await;
    erase(&reaper, 1, 11).await;
    wait_until("it has tried", DEADLINE, async || worker.stderr().contains("confirmations not sent")).await;
    assert_eq!(waiting(&db).await, 1);
    // Events do not wait for it.
    wait_until("the events are out", DEADLINE, async || db.count("outbox", "TRUE").await == 1).await;
    proxy.open();
    wait_taken(&server, 1).await;
    wait_until("it is done", DEADLINE, async || waiting(&db).await == 0).await;
    assert_eq!(server.mails().len(), 1);
});

on_both!(one_that_is_not_taken_holds_up_no_other, async |db: Database| {
    const REFUSED: i64 = 60;
    let (broker, server) = (Broker::new().await, MailServer::new().await);
    let injected = "officer@x.example\r\nBcc: other@x.example";
    let users = [
        (2, "nobody@x.example"),
        (3, "later@x.example"),
        (4, "injected@x.example"),
        (5, "two@x.example"),
        (6, "gone@x.example"),
        (7, "officer@x.example"),
    ];
    let reaper = sending(&db, &broker, &server.host());
    reaper.import(&records(&users)).await;
    // An import takes no such address; an older one may have.
    for (user, address) in [(4, injected), (5, "a@x.example, b@x.example")] {
        db.execute(&format!("UPDATE users SET email = '{address}' WHERE user_id = {user}")).await;
    }
    for (user, _) in users {
        erase(&reaper, user, 10 + user).await;
    }
    db.execute("DELETE FROM users WHERE user_id = 6").await;
    // So many older ones are refused that the first are due again before the last were tried.
    let refused = "SELECT account_id, type, data, created_at FROM outbox \
                   WHERE type = 'mail.erasure' AND data LIKE '%\"userId\":\"2\"%' LIMIT 1";
    for _ in 0..REFUSED - 3 {
        db.execute(&format!("INSERT INTO outbox (account_id, type, data, created_at) {refused}")).await;
    }
    let worker = started(&reaper).await;
    wait_taken(&server, 2).await;
    let mut taken: Vec<Vec<String>> = server.mails().into_iter().map(|mail| mail.to).collect();
    assert_eq!(taken[0], ["officer@x.example"], "whoever is asked to come back holds up nobody");
    taken.sort();
    assert_eq!(taken, [["later@x.example"], ["officer@x.example"]]);
    wait_until("the refused are left", DEADLINE, async || waiting(&db).await == REFUSED).await;
    let refused = async || db.count("outbox", "type = 'mail.erasure' AND tries >= 2").await;
    wait_until("they are tried again", DEADLINE, async || refused().await == REFUSED).await;
    assert_eq!(dropped(&reaper).await, 1, "whose user is gone");
    worker.terminate();

    let reaper = reaper.setting("mail.give_up_after", "1s");
    let worker = started(&reaper).await;
    wait_until("they are given up", DEADLINE, async || waiting(&db).await == 0).await;
    assert_eq!(i64::try_from(dropped(&reaper).await), Ok(REFUSED + 1));
    assert!(worker.metrics().await.contains("contact_reaper_mails_total{result=\"given_up\"} 60"));
    assert_eq!(server.mails().len(), 2, "nothing went to anybody else");
    assert!(
        !worker.stderr().contains("x.example"),
        "the server's words quote the recipient:\n{}",
        worker.stderr()
    );
    assert_eq!(reaper.json(&["erasures", "list", "--account", "1"]).await.as_array().unwrap().len(), 6);
});

/// How many confirmations the audit says went to nobody.
async fn dropped(reaper: &Reaper) -> usize {
    let audit = reaper.json(&["audit", "list"]).await;
    let rows = audit.as_array().unwrap().iter();
    rows.filter(|row| row["action"] == "drop_confirmation" && row["actor"] == "job:mail").count()
}

on_both!(killed_between_the_servers_answer_and_the_removal_it_sends_the_same_again, async |db: Database| {
    let (broker, server) = (Broker::new().await, MailServer::new().await);
    let reaper = sending(&db, &broker, &server.host());
    reaper.import(&records(&[(7, "slow@x.example")])).await;
    erase(&reaper, 7, 11).await;
    let mut worker = started(&reaper).await;
    wait_taken(&server, 1).await;
    worker.kill9();
    assert_eq!(waiting(&db).await, 1);
    let _worker = started(&reaper).await;
    wait_taken(&server, 2).await;
    let mails = server.mails();
    assert_eq!(mails[0].header("Message-ID"), mails[1].header("Message-ID"));
    assert_eq!(mails[0].raw, mails[1].raw);
});

on_both!(a_password_is_used_and_never_shown, async |db: Database| {
    let (broker, server) = (Broker::new().await, MailServer::with_password("reaper", "hunter2 ü").await);
    let reaper = sending(&db, &broker, &server.host());
    let with = |user: &str, parameters: &str| {
        reaper.clone().setting("mail.smtp_url", &format!("smtp://{user}@{}{parameters}", server.host()))
    };
    reaper.import(&records(&[])).await;
    erase(&reaper, 1, 11).await;
    // A wrong password refuses every mail, and is no mail's fault: none is dropped over it.
    let reaper = with("reaper:hunter2-wrong", "").setting("mail.give_up_after", "1s");
    let worker = started(&reaper).await;
    let tried = async || worker.stderr().matches("confirmations not sent").count() >= 3;
    wait_until("it has tried for longer than it tries refused mails", DEADLINE, tried).await;
    tokio::time::sleep(Duration::from_millis(1200)).await;
    assert_eq!(waiting(&db).await, 1);
    assert!(worker.stderr().contains("it answered 535"), "{}", worker.stderr());
    let mut said = worker.stderr();
    worker.terminate();

    let reaper = with("reaper:hunter2%20%C3%BC", "?tls=required");
    let worker = started(&reaper).await;
    wait_until("it has tried", DEADLINE, async || worker.stderr().contains("confirmations not sent")).await;
    assert_eq!(server.mails().len(), 0, "nothing without TLS where TLS is required");
    said += &worker.stderr();
    worker.terminate();

    let reaper = with("reaper:hunter2%20%C3%BC", "").setting("log.level", "trace");
    let worker = started(&reaper).await;
    wait_taken(&server, 1).await;
    said += &worker.stderr();
    let config = reaper.run(&["check-config"]).await;
    assert!(config.stdout.contains("smtp://reaper:***@"), "{}", config.stdout);
    said += &(config.stdout + &config.stderr);
    assert!(!said.contains("hunter2"), "{said}");
});

on_both!(address_of_a_user_is_one_address_and_its_domain_is_sent_in_ascii, async |db: Database| {
    let (broker, server) = (Broker::new().await, MailServer::new().await);
    let reaper = sending(&db, &broker, &server.host());
    reaper.import(&records(&[(7, "  officer@bücher.example\n")])).await;
    for address in
        ["officer", "a@x.example, b@x.example", "Ada <ada@x.example>", "a@x.example\r\nBcc: b@x.example"]
    {
        let mut other = user(1, 8, &[]);
        other["email"] = json!(address);
        let said = reaper.refused_with_input(&["import", "-"], &lines(&[other])).await;
        assert!(said.contains("email: must be one e-mail address"), "{said}");
    }
    let users = reaper.json(&["users", "list", "--account", "1"]).await;
    assert_eq!(users[1]["email"], "officer@bücher.example");
    erase(&reaper, 7, 11).await;
    let _worker = started(&reaper).await;
    wait_taken(&server, 1).await;
    assert_eq!(server.mails()[0].to, ["officer@xn--bcher-kva.example"]);
});

on_both!(confirmations_are_counted_apart_from_events, async |db: Database| {
    let reaper = Reaper::new(&db).fed_by(&Broker::new().await);
    reaper.import(&records(&[])).await;
    erase(&reaper, 1, 11).await;
    db.execute("UPDATE outbox SET created_at = '2020-01-01T00:00:00.000000Z'").await;
    let counts = async |worker: &Worker| {
        let metrics = worker.metrics().await;
        let names = [
            "outbox_pending",
            "outbox_oldest_seconds",
            "confirmations_pending",
            "confirmations_oldest_seconds",
        ];
        names.map(|name| {
            let line = metrics.lines().find_map(|it| it.strip_prefix(&format!("contact_reaper_{name} ")));
            line.unwrap_or_default().to_owned()
        })
    };
    // Nothing sends it, so nothing is late.
    let worker = started(&reaper).await;
    wait_until("its events left", DEADLINE, async || counts(&worker).await == ["0", "0", "1", "0"]).await;
    worker.terminate();
    let worker = started(&reaper.setting("mail.smtp_url", "smtp://127.0.0.1:1")).await;
    wait_until("it is late", DEADLINE, async || {
        let [events, oldest, confirmations, late] = counts(&worker).await;
        [events, oldest, confirmations] == ["0", "0", "1"]
            && late.parse::<f64>().is_ok_and(|age| age > 86_400.0)
    })
    .await;
});

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_services_one_sends() {
    let db = Database::sqlite();
    let (broker, server) = (Broker::new().await, MailServer::new().await);
    let reaper = sending(&db, &broker, &server.host());
    reaper.import(&records(&[])).await;
    let _workers = [started(&reaper).await, started(&reaper).await];
    for contact in 11..20 {
        erase(&reaper, 1, contact).await;
    }
    wait_until("all are sent", DEADLINE, async || waiting(&db).await == 0).await;
    let mails = server.mails();
    let subjects: Vec<&str> = mails.iter().map(|mail| mail.header("Subject")).collect();
    let expected: Vec<String> = (11..20).map(|id| format!("Erased in account 1: contact {id}")).collect();
    assert_eq!(subjects, expected, "in the order of the deeds, each once");
}
