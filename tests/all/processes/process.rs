//! A process of the program: started by a rig, signalled by the test, killed at the latest with its
//! test.

use super::rig::{LONG, Rig};
use std::fs;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus};
use std::thread;
use std::time::Duration;
use tokio::time::Instant;

/// The output of a command, and its exit code; `None` if a signal ended it.
#[derive(Debug)]
pub struct Said {
    pub code: Option<i32>,
    pub out: String,
    pub err: String,
}

/// The resources that a process uses.
#[cfg(target_os = "linux")]
#[derive(Clone, Copy, Debug)]
pub struct Usage {
    /// Its resident memory, in bytes.
    pub memory: u64,
    /// Open files and sockets.
    pub files: u64,
    /// Threads.
    pub threads: u64,
}

/// A process. It is killed when this goes out of scope, also by a failed assertion.
pub struct Process<'r> {
    rig: &'r Rig,
    child: Child,
    counts: bool,
    out: PathBuf,
    err: PathBuf,
}

impl<'r> Process<'r> {
    /// Wraps a process that was started, with its output in these files.
    pub fn new(rig: &'r Rig, child: Child, out: PathBuf, err: PathBuf) -> Process<'r> {
        Process { rig, child, counts: false, out, err }
    }

    /// Counts it as a controller that is up.
    pub fn counted(mut self) -> Process<'r> {
        self.counts = true;
        self.rig.count_up(|up| up + 1);
        self
    }

    /// Returns true if this holder of the lease is that process.
    pub fn is_holder(&self, holder: &str) -> bool {
        holder.split('/').nth(1) == Some(&self.id().to_string())
    }

    /// Returns its process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Sends SIGKILL, which leaves it no time to act, and waits until it is gone.
    pub fn kill(self) {
        drop(self);
    }

    /// Sends SIGKILL and starts another process in its place.
    pub fn replace(&mut self) {
        self.replace_with_log("debug");
    }

    /// Sends SIGKILL and starts another process, with a log of this level.
    pub fn replace_with_log(&mut self, level: &str) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        *self = self.rig.start_with_log(level);
    }

    /// Returns the resources that it uses.
    #[cfg(target_os = "linux")]
    pub fn usage(&self) -> Usage {
        let of = format!("/proc/{}", self.id());
        let status = fs::read_to_string(format!("{of}/status")).unwrap();
        let number = |name: &str| -> u64 {
            let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
            line.split_whitespace().next().unwrap().parse().unwrap()
        };
        Usage {
            memory: number("VmRSS:") * 1024,
            files: fs::read_dir(format!("{of}/fd")).unwrap().count() as u64,
            threads: number("Threads:"),
        }
    }

    /// Sends SIGTERM: it is asked to end.
    pub fn terminate(&self) {
        self.signal("TERM");
    }

    /// Sends SIGSTOP: it freezes without notice.
    pub fn stand_still(&self) {
        self.signal("STOP");
    }

    /// Sends SIGCONT: it continues where it was frozen.
    pub fn go_on(&self) {
        self.signal("CONT");
    }

    fn signal(&self, name: &str) {
        let kill = format!("kill -s {name} {}", self.id());
        assert!(Command::new("sh").args(["-c", &kill]).status().unwrap().success());
    }

    /// Returns true if it still runs.
    pub fn runs(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// Waits until it ends by itself.
    #[track_caller]
    pub fn ended(&mut self) -> ExitStatus {
        let began = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(began.elapsed() < LONG, "it does not end:\n{}", self.log());
            thread::sleep(Duration::from_millis(20));
        }
    }

    /// Returns its standard output so far.
    pub fn out(&self) -> String {
        fs::read_to_string(&self.out).unwrap()
    }

    /// Returns its standard error so far.
    pub fn log(&self) -> String {
        fs::read_to_string(&self.err).unwrap()
    }
}

impl Drop for Process<'_> {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if self.counts {
            self.rig.count_up(|up| up - 1);
        }
    }
}
