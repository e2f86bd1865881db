//! The quickstart: routes about forty prompts through a real Envoy and shows where they went.

mod arguments;
mod prompts;
mod report;
mod run;

use clap::Parser;
use hybrid_llm_tests::show;
use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments = arguments::Arguments::parse();
    match run::run(&arguments) {
        Ok(run::End::Done) => ExitCode::SUCCESS,
        Ok(run::End::Interrupted) => ExitCode::from(130),
        Err(error) => {
            show::aside(format_args!("quickstart: {error}"));
            ExitCode::FAILURE
        }
    }
}
