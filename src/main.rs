//! Parse the command line, run the command, say in one sentence what went wrong.

use std::process::ExitCode;

use clap::Parser;
use contact_reaper::cli::{self, Cli, Failure};

fn main() -> ExitCode {
    let cli = Cli::parse();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            cli::say(&format!("error: the threads to work on could not be started: {error}"));
            return ExitCode::from(1);
        }
    };
    let outcome = runtime.block_on(cli::run(cli));
    // A read of standard input cannot be interrupted and must not hold up the exit.
    runtime.shutdown_background();
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure::Usage(sentence)) => {
            cli::say(&format!("error: {}", cli::plain_lines(&sentence)));
            ExitCode::from(2)
        }
        Err(Failure::Failed(error)) if is_broken_pipe(&error) => ExitCode::from(1),
        Err(Failure::Failed(error)) => {
            cli::say(&format!("error: {}", cli::plain_lines(&format!("{error:#}"))));
            ExitCode::from(1)
        }
    }
}

/// Whoever reads the output has had enough of it (`| head`), and needs no sentence about it. What was not said may
/// have been that something was refused, or the rest of a journal: so it is no success.
fn is_broken_pipe(error: &anyhow::Error) -> bool {
    let io = error.downcast_ref::<std::io::Error>();
    io.is_some_and(|error| error.kind() == std::io::ErrorKind::BrokenPipe)
}
