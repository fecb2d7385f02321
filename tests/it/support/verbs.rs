//! What most tests ask of the binary, in one word each.

use serde_json::Value;

use super::{Reaper, records};

impl Reaper {
    /// Runs a command that must fail or be refused: exit code 1, nothing on standard output. What it said.
    pub async fn refused(&self, args: &[&str]) -> String {
        self.refused_with_input(args, "").await
    }

    /// As [`Reaper::refused`], with a text on standard input.
    pub async fn refused_with_input(&self, args: &[&str], input: &str) -> String {
        let output = self.run_with_input(args, input).await;
        assert_eq!((output.code, output.stdout.as_str()), (1, ""), "{args:?}:\n{}", output.stderr);
        output.stderr
    }

    /// Has the service decide these events, given on standard input, and end by itself.
    pub async fn decide(&self, events: &[Value]) {
        self.decide_lines(&records::lines(events)).await;
    }

    /// As [`Reaper::decide`], with lines that may be no events.
    pub async fn decide_lines(&self, lines: &str) {
        let output = self.fed_by_lines("-").run_with_input(&["run"], lines).await;
        assert_eq!(output.code, 0, "the service failed:\n{}", output.stderr);
    }

    /// With a file of events, or `-`, as its feed.
    pub fn fed_by_lines(&self, path: &str) -> Self {
        let reaper = self.clone().setting("feed.kind", "jsonl").setting("feed.jsonl.path", path);
        reaper.setting("http.listen", "127.0.0.1:0")
    }

    /// `enrollments show`, without the time of the decision, which no test can know.
    pub async fn decision(&self, account: i64, enrollment: i64) -> Value {
        let (account, enrollment) = (account.to_string(), enrollment.to_string());
        let show = ["enrollments", "show", "--account", &account, "--enrollment", &enrollment];
        let mut row = self.json(&show).await;
        let decided_at = row.as_object_mut().expect("an object").remove("decidedAt").expect("decidedAt");
        assert!(decided_at.as_str().is_some_and(|at| at.ends_with('Z')), "decidedAt: {decided_at}");
        row
    }

    /// `inspect contact`.
    pub async fn contact(&self, account: i64, contact: i64) -> Value {
        self.json(&["inspect", "contact", &contact.to_string(), "--account", &account.to_string()]).await
    }

    /// The state that `inspect contact` shows.
    pub async fn state(&self, account: i64, contact: i64) -> String {
        self.contact(account, contact).await["state"].as_str().expect("state is a string").to_owned()
    }

    /// Puts a contact into the trash as the account's administrator, which must succeed.
    pub async fn delete(&self, account: i64, contact: i64) {
        let (account, contact, user) = (account.to_string(), contact.to_string(), records::ADMIN.to_string());
        let args = ["delete", "--account", &account, "--as", &user, "--contact", &contact, "--confirm", "1"];
        self.json(&args).await;
    }

    /// Brings a contact back as the account's administrator, which must succeed.
    pub async fn restore(&self, account: i64, contact: i64) {
        let (account, contact, user) = (account.to_string(), contact.to_string(), records::ADMIN.to_string());
        self.json(&["restore", "--account", &account, "--as", &user, "--contact", &contact]).await;
    }
}
