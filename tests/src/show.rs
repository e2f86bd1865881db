//! What the examples show. Whoever reads it may have seen enough at any time, as `head` has: that ends nothing.

use std::fmt::Display;
use std::io::{self, ErrorKind, Write};

/// A line on standard output: what was asked for.
///
/// # Errors
/// It can't be written, and not for want of a reader.
pub fn out(line: impl Display) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    match writeln!(stdout, "{line}").and_then(|()| stdout.flush()) {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        written => written,
    }
}

/// A line on standard error: the progress. Where nobody can read it, the program continues.
pub fn aside(line: impl Display) {
    let _ = writeln!(io::stderr(), "{line}");
}
