//! The command line: arguments in, exit code out.

mod args;
mod asking;
mod calibrate;
mod collect;
mod evaluate;
mod graded;
mod judge;
mod label;
mod pick;
mod score;
mod serve;
mod train;

use std::{
    error::Error,
    fmt::{Display, Write as _},
    io::{self, IsTerminal as _, Write as _},
    panic,
    path::Path,
    process::ExitCode,
};

use clap::{CommandFactory as _, Parser, Subcommand, error::ErrorKind};
use indicatif::{ProgressBar, ProgressStyle};
use tracing_subscriber::EnvFilter;

/// Score queries with an ONNX router, so that easy ones can go to a small model
#[derive(Debug, Parser)]
#[command(
    name = "hybrid-llm",
    version,
    arg_required_else_help = true,
    after_help = "Exit codes: 0 done, 1 failed, 2 wrong usage. Options can also be set by the environment variables that \
                  a command's help names."
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Serve(serve::Args),
    Score(score::Args),
    Pick(pick::Args),
    Collect(Box<collect::Args>),
    Judge(Box<judge::Args>),
    Label(label::Args),
    Train(train::Args),
    Calibrate(calibrate::Args),
    Evaluate(evaluate::Args),
}

/// A command that did not end well.
#[derive(Debug)]
enum Failure {
    /// The arguments parse, but make no sense together: exit code 2.
    Usage(String),
    /// It could not be done: exit code 1.
    Failed(Box<dyn Error + Send + Sync>),
}

impl<E: Into<Box<dyn Error + Send + Sync>>> From<E> for Failure {
    fn from(error: E) -> Self {
        Self::Failed(error.into())
    }
}

/// Runs the program with the process's arguments.
pub fn main() -> ExitCode {
    silence_panics();
    let result = match Cli::parse().command {
        Command::Serve(args) => serve::run(args),
        Command::Score(args) => score::run(&args),
        Command::Collect(args) => collect::run(&args),
        Command::Judge(args) => judge::run(&args),
        Command::Label(args) => label::run(&args),
        Command::Pick(args) => pick::run(&args),
        Command::Train(args) => train::run(&args),
        Command::Calibrate(args) => calibrate::run(&args),
        Command::Evaluate(args) => evaluate::run(&args),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        // Whoever reads the output has seen enough, as `head` does.
        Err(Failure::Failed(error)) if is_broken_pipe(error.as_ref()) => ExitCode::SUCCESS,
        Err(Failure::Usage(message)) => Cli::command().error(ErrorKind::ValueValidation, message).exit(),
        Err(Failure::Failed(error)) => {
            aside(format_args!("error: {}", chain(error.as_ref())));
            ExitCode::FAILURE
        }
    }
}

/// Refuses to write over a file that is read.
fn keep_apart(output: Option<&Path>, inputs: &[&Path]) -> Result<(), Failure> {
    let Some(output) = output else { return Ok(()) };
    let real = |path: &Path| path.canonicalize().unwrap_or_else(|_| path.to_owned());
    if inputs.iter().any(|input| real(input) == real(output)) {
        let path = output.display();
        return Err(Failure::Usage(format!(
            "{path} is read and would be written over: choose another place for the output"
        )));
    }
    Ok(())
}

fn is_broken_pipe(error: &(dyn Error + Send + Sync + 'static)) -> bool {
    let kind = error.downcast_ref::<io::Error>().map(io::Error::kind);
    let json = error.downcast_ref::<serde_json::Error>().and_then(serde_json::Error::io_error_kind);
    kind.or(json) == Some(io::ErrorKind::BrokenPipe)
}

/// An error and its causes, in one line (more only where an error has more).
fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        // Writing to a String cannot fail.
        let _ = write!(text, ": {error}");
        cause = error.source();
    }
    text
}

/// Prints what a command came to, in one piece. Whoever reads it may have seen enough before its end; how the command ends is
/// then still for the command to say.
fn print(text: &str) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        written => written,
    }
}

/// A line on stderr, beside what was asked for. Where it can't be told, the work continues.
fn aside(line: impl Display) {
    let _ = writeln!(io::stderr(), "{line}");
}

/// A bar on a terminal; else one that shows nothing.
fn bar(steps: u64, template: &str) -> ProgressBar {
    if !io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
    ProgressBar::new(steps).with_style(style)
}

/// A panic's message can quote what the code was working on, which may be a prompt: only its place is told.
fn silence_panics() {
    panic::set_hook(Box::new(|info| {
        let place = info.location().map(ToString::to_string);
        aside(format_args!("error: panicked at {}", place.unwrap_or_default()));
    }));
}

/// Sends the log to stderr.
fn log(format: args::LogFormat, level: args::LogLevel) {
    // Warnings of the libraries are kept, their chatter is not.
    let filter = EnvFilter::new(format!("warn,hybrid_llm={0},onnxruntime={0}", level.name()));
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(io::stderr().is_terminal())
        .with_writer(io::stderr)
        // Telling them means writing to stderr in a way that panics, and a log that nobody reads must stop nothing.
        .log_internal_errors(false);
    match format {
        args::LogFormat::Text => log.init(),
        args::LogFormat::Json => log.json().init(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_well_formed() {
        Cli::command().debug_assert();
    }
}
