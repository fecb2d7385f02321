//! Progress of a long command: a bar with the time left or a count on a terminal, a line every ten seconds elsewhere.

use std::io::IsTerminal;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use indicatif::{HumanDuration, ProgressBar, ProgressStyle};
use tokio::task::JoinHandle;

use super::output;

/// The time between two lines where there is no terminal.
const LINE_INTERVAL: Duration = Duration::from_secs(10);
/// The time between two pictures of a spinner.
const TICK: Duration = Duration::from_millis(100);

/// Shows the progress of one command.
pub struct LongWork {
    bar: ProgressBar,
    reached: Arc<Mutex<Reached>>,
    lines: Option<JoinHandle<()>>,
}

/// The step and how much of it is done.
struct Reached {
    what: &'static str,
    done: u64,
    /// Where that is known.
    all: Option<u64>,
    /// When the step began.
    since: Instant,
}

impl LongWork {
    /// Starts the display with this step; how much there is of it is not known yet.
    pub fn start(what: &'static str) -> Self {
        let reached = Arc::new(Mutex::new(Reached { what, done: 0, all: None, since: Instant::now() }));
        let bar = ProgressBar::new_spinner().with_message(what);
        set_style(&bar, None);
        bar.enable_steady_tick(TICK);
        let lines =
            (!std::io::stderr().is_terminal()).then(|| tokio::spawn(print_lines(Arc::clone(&reached))));
        Self { bar, reached, lines }
    }

    /// Records that `done` are done in the step `what`, of `all` where that is known.
    pub fn reached(&self, what: &'static str, done: u64, all: Option<u64>) {
        let mut reached = self.reached.lock().unwrap_or_else(PoisonError::into_inner);
        if reached.what != what {
            *reached = Reached { what, done, all: None, since: Instant::now() };
            self.bar.reset();
            self.bar.set_message(what);
        }
        if reached.all != all {
            set_style(&self.bar, all);
        }
        (reached.done, reached.all) = (done, all);
        if let Some(all) = all {
            self.bar.set_length(all);
        }
        self.bar.set_position(done);
    }

    /// Records so many more.
    pub fn add(&self, more: u64) {
        let mut reached = self.reached.lock().unwrap_or_else(PoisonError::into_inner);
        reached.done += more;
        self.bar.set_position(reached.done);
    }

    /// Ends the display.
    pub fn end(self) {
        self.bar.finish_and_clear();
        if let Some(lines) = self.lines {
            lines.abort();
        }
    }
}

/// A bar with the time left, or a count where the end is not known.
fn set_style(bar: &ProgressBar, all: Option<u64>) {
    let template = match all {
        Some(_) => "{wide_bar} {percent} % {msg}, {eta} left",
        None => "{spinner} {human_pos} {msg}",
    };
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style);
    }
}

async fn print_lines(reached: Arc<Mutex<Reached>>) {
    loop {
        tokio::time::sleep(LINE_INTERVAL).await;
        let line = reached.lock().unwrap_or_else(PoisonError::into_inner).line();
        output::say(&line);
    }
}

impl Reached {
    fn line(&self) -> String {
        let Self { what, done, all, since } = self;
        let Some(all) = all.filter(|all| *all > 0) else { return format!("{done} {what}") };
        let share = 100 * u128::from(*done) / u128::from(all);
        match left(*done, all, since.elapsed()) {
            Some(left) => format!("{share} % {what}, about {} left", HumanDuration(left)),
            None => format!("{share} % {what}"),
        }
    }
}

/// The time that is left, if the rest takes as long as what was done.
fn left(done: u64, all: u64, took: Duration) -> Option<Duration> {
    let rest = all.saturating_sub(done) as f64 / done as f64;
    Duration::try_from_secs_f64(took.as_secs_f64() * rest).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_left_is_estimated_from_what_was_done() {
        let minute = Duration::from_mins(1);
        assert_eq!(left(25, 100, minute), Some(3 * minute));
        assert_eq!(left(100, 100, minute), Some(Duration::ZERO));
        assert_eq!(left(0, 100, minute), None);
    }

    #[test]
    fn line_names_the_share() {
        let since = Instant::now();
        let line = |done| Reached { what: "imported", done, all: Some(2_000_000), since }.line();
        assert!(line(900_000).starts_with("45 % imported, about "), "{}", line(900_000));
        assert_eq!(line(0), "0 % imported");
        let seen = Reached { what: "contacts looked at", done: 70, all: None, since };
        assert_eq!(seen.line(), "70 contacts looked at");
    }
}
