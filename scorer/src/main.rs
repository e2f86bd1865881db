//! The `hybrid-llm` binary: everything is in the library, so that tests and benches can call it.

use std::process::ExitCode;

fn main() -> ExitCode {
    hybrid_llm::cli::main()
}
