//! Your own pair: from queries to a router that serves scores, with two stand-ins in the place of the models.

mod page;
mod questions;
mod stand_in;
mod steps;

use std::{path::PathBuf, process::ExitCode};

use clap::Parser;
use hybrid_llm_tests::show;

/// Make a router for a pair of models, step by step: collect, judge, label, train, calibrate, evaluate, serve.
///
/// The two models are stand-ins: the small one answers simple questions and mostly fails the hard ones, the large one is nearly
/// always right. Every command is shown as it is run, so that you can run it with models of your own; README.md says how.
#[derive(Debug, Parser)]
#[command(name = "your-own-pair", version)]
struct Arguments {
    /// Where everything is made; what is there from an earlier run is removed.
    #[arg(long, value_name = "DIR", default_value = "target/your-own-pair")]
    folder: PathBuf,

    /// Makes other questions, and other answers.
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,

    /// Print one JSON object at the end; what the commands say goes to stderr.
    #[arg(long)]
    json: bool,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match steps::run(&arguments.folder, arguments.seed, arguments.json) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            show::aside(format_args!("your-own-pair: {error}"));
            ExitCode::FAILURE
        }
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_command_line_is_sound() {
        <super::Arguments as clap::CommandFactory>::command().debug_assert();
    }
}
