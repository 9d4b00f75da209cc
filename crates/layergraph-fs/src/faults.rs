//! The fault log: what changes the disk, recorded, failed or stopped at (feature `faults`).
//!
//! Every call of this crate that changes the disk or syncs it asks the log of its thread first. A
//! test runs an operation once to count the calls, and then again with a fault at each of them.
//!
//! ```
//! use std::ffi::OsStr;
//! use layergraph_fs::faults::{Fault, FaultLog};
//! use layergraph_fs::{Dir, Durability, write_atomic};
//!
//! # let directory = tempfile::tempdir()?;
//! let dir = Dir::open(directory.path())?;
//! let write = || write_atomic(&dir, OsStr::new("f"), 0o600, b"new", Durability::Full);
//!
//! let log = FaultLog::new();
//! log.during(write)?;
//! for call in 0..log.calls().len() {
//!     std::fs::write(directory.path().join("f"), "old")?;
//!     let log = FaultLog::new();
//!     log.inject(call, Fault::Crash);
//!     let _ = log.during(write);
//!     let content = std::fs::read_to_string(directory.path().join("f"))?;
//!     assert!(content == "old" || content == "new");
//!     layergraph_fs::sweep(&dir)?;
//! }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use std::cell::RefCell;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustix::io::Errno;

use crate::sys::{At, Verdict};

/// A record of calls, with faults to come. Clones are the same log.
#[derive(Debug, Clone, Default)]
pub struct FaultLog(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    calls: Vec<Call>,
    faults: Vec<(usize, Fault)>,
    lacking: Vec<&'static str>,
    dead: bool,
}

/// A call that changes the disk or syncs it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Call {
    /// The name of the system call.
    pub name: &'static str,
    /// The path it is for.
    pub path: PathBuf,
}

/// What is to happen at a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// It fails with this error number (`errno(3)`), and nothing is changed.
    Fail(i32),
    /// The program counts as dead: this call and all later ones fail and change nothing, so that no
    /// tidying up takes place.
    Crash,
    /// As `Crash`, but a write writes half of its bytes first.
    Tear,
}

thread_local! {
    static CURRENT: RefCell<Option<FaultLog>> = const { RefCell::new(None) };
}

impl FaultLog {
    /// Makes an empty log without faults.
    pub fn new() -> FaultLog {
        FaultLog::default()
    }

    /// Says what is to happen at the call number `at`, counted from 0.
    pub fn inject(&self, at: usize, fault: Fault) {
        self.state().faults.push((at, fault));
    }

    /// Lets the system call `name` fail with `ENOSYS`, as on a kernel that lacks it.
    pub fn lack(&self, name: &'static str) {
        self.state().lacking.push(name);
    }

    /// Runs `work` with this log for the calls of this thread, and of threads that are given
    /// [`current`](FaultLog::current).
    pub fn during<T>(&self, work: impl FnOnce() -> T) -> T {
        struct Restore(Option<FaultLog>);
        impl Drop for Restore {
            fn drop(&mut self) {
                let before = self.0.take();
                CURRENT.with(|current| *current.borrow_mut() = before);
            }
        }
        let before = CURRENT.with(|current| current.borrow_mut().replace(self.clone()));
        let _restore = Restore(before);
        work()
    }

    /// Returns the log of this thread, to be used in another.
    pub fn current() -> Option<FaultLog> {
        CURRENT.with(|current| current.borrow().clone())
    }

    /// Returns the calls so far, those that were made to fail included.
    pub fn calls(&self) -> Vec<Call> {
        self.state().calls.clone()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Takes note of a call and says what is to become of it.
pub(crate) fn verdict(call: &'static str, at: At<'_>) -> Verdict {
    let Some(log) = FaultLog::current() else {
        return Verdict::Go;
    };
    let mut state = log.state();
    if state.dead {
        return Verdict::Crash;
    }
    let number = state.calls.len();
    state.calls.push(Call {
        name: call,
        path: at.path(),
    });
    let fault = state
        .faults
        .iter()
        .find(|(at, _)| *at == number)
        .map(|(_, fault)| *fault);
    match fault {
        None => Verdict::Go,
        Some(Fault::Fail(errno)) => Verdict::Fail(Errno::from_raw_os_error(errno)),
        Some(Fault::Crash) => {
            state.dead = true;
            Verdict::Crash
        }
        Some(Fault::Tear) => {
            state.dead = true;
            Verdict::Tear
        }
    }
}

/// Returns whether the kernel is to lack a call.
pub(crate) fn is_lacking(call: &'static str) -> bool {
    FaultLog::current().is_some_and(|log| log.state().lacking.contains(&call))
}
