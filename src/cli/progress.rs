//! Progress of a long command: a bar with the time left on a terminal, a line every ten seconds elsewhere.

use std::io::{IsTerminal, Write};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use indicatif::{HumanDuration, ProgressBar, ProgressStyle};
use tokio::task::JoinHandle;

/// The time between two lines where there is no terminal.
const LINE_INTERVAL: Duration = Duration::from_secs(10);

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
    all: u64,
    /// When the step began.
    since: Instant,
}

impl LongWork {
    /// Starts the display.
    pub fn start() -> Self {
        let reached = Arc::new(Mutex::new(Reached { what: "", done: 0, all: 0, since: Instant::now() }));
        let bar = ProgressBar::no_length();
        if let Ok(style) = ProgressStyle::with_template("{wide_bar} {percent} % {msg}, {eta} left") {
            bar.set_style(style);
        }
        let lines =
            (!std::io::stderr().is_terminal()).then(|| tokio::spawn(print_lines(Arc::clone(&reached))));
        Self { bar, reached, lines }
    }

    /// Records that `done` of `all` are done in the step `what`.
    pub fn reached(&self, what: &'static str, done: u64, all: u64) {
        let mut reached = self.reached.lock().unwrap_or_else(PoisonError::into_inner);
        if reached.what != what {
            *reached = Reached { what, done, all, since: Instant::now() };
            self.bar.reset();
            self.bar.set_message(what);
        }
        (reached.done, reached.all) = (done, all);
        self.bar.set_length(all);
        self.bar.set_position(done);
    }

    /// Ends the display.
    pub fn end(self) {
        self.bar.finish_and_clear();
        if let Some(lines) = self.lines {
            lines.abort();
        }
    }
}

async fn print_lines(reached: Arc<Mutex<Reached>>) {
    loop {
        tokio::time::sleep(LINE_INTERVAL).await;
        let line = reached.lock().unwrap_or_else(PoisonError::into_inner).line();
        drop(writeln!(std::io::stderr().lock(), "{line}"));
    }
}

impl Reached {
    fn line(&self) -> String {
        let Self { what, done, all, since } = self;
        if *all == 0 {
            return "reading the file".to_owned();
        }
        let share = 100 * u128::from(*done) / u128::from(*all);
        match left(*done, *all, since.elapsed()) {
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
        let line = |done| Reached { what: "imported", done, all: 2_000_000, since }.line();
        assert!(line(900_000).starts_with("45 % imported, about "), "{}", line(900_000));
        assert_eq!(line(0), "0 % imported");
    }
}
