//! A child process that does not outlive the value that started it, with its output in a file.

use crate::wait::{PATIENCE, in_time};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// A running program.
#[derive(Debug)]
pub struct Process {
    child: Child,
    log: PathBuf,
}

impl Process {
    /// Starts the command with both output streams going to `log`.
    ///
    /// # Errors
    /// The program or the file can't be opened.
    pub fn start(command: &mut Command, log: &Path) -> std::io::Result<Self> {
        let file = File::create(log)?;
        let child = command.stdin(Stdio::null()).stdout(file.try_clone()?).stderr(file).spawn()?;
        Ok(Self { child, log: log.to_owned() })
    }

    /// Starts the command with output streams that break where it writes, since nobody reads them.
    ///
    /// # Errors
    /// The program can't be started.
    pub fn start_unread(command: &mut Command) -> std::io::Result<Self> {
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
        drop((child.stdout.take(), child.stderr.take()));
        Ok(Self { child, log: PathBuf::new() })
    }

    /// Waits until `ready` gives a value.
    ///
    /// # Errors
    /// The program ended, or was not ready within [`PATIENCE`]; the message ends with what it printed last.
    pub async fn wait_for<T>(&mut self, ready: impl AsyncFn() -> Option<T>) -> Result<T, String> {
        let child = &mut self.child;
        let found = in_time(async || match ready().await {
            Some(value) => Some(Ok(value)),
            None => child.try_wait().ok().flatten().map(Err),
        });
        match found.await {
            Some(Ok(value)) => Ok(value),
            Some(Err(status)) => Err(format!("ended with {status}:\n{}", self.log_tail())),
            None => Err(format!("was not ready after {PATIENCE:?}:\n{}", self.log_tail())),
        }
    }

    /// Waits for the program to end by itself; `None` when it is still running after [`PATIENCE`].
    pub async fn wait_for_end(&mut self) -> Option<std::process::ExitStatus> {
        in_time(async || self.child.try_wait().ok().flatten()).await
    }

    /// Its process id.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Asks it to end (SIGTERM).
    pub fn terminate(&self) {
        let _ = Command::new("kill").arg(self.id().to_string()).status();
    }

    /// Ends it at once.
    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// All that it has printed.
    #[must_use]
    pub fn log(&self) -> String {
        std::fs::read(&self.log).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default()
    }

    fn log_tail(&self) -> String {
        let log = self.log();
        let lines: Vec<_> = log.lines().collect();
        lines[lines.len().saturating_sub(15)..].join("\n")
    }

    /// Processor time it has used, in seconds, to a hundredth; `None` where the system does not tell.
    #[must_use]
    pub fn cpu_seconds(&self) -> Option<f64> {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.id())).ok()?;
        // The fields after the name in brackets: user and system time are the 12th and 13th, in ticks of 10 ms.
        let mut fields = stat.rsplit_once(')')?.1.split_whitespace().skip(11);
        let (user, system): (f64, f64) = (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
        Some((user + system) / 100.0)
    }

    /// Its resident memory in KiB; `None` where the system does not tell.
    #[must_use]
    pub fn resident_kib(&self) -> Option<u64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.id())).ok()?;
        status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?.split_whitespace().next()?.parse().ok()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}
