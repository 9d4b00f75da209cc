//! How far a long work has come.
//!
//! [`Progress`] hears of it, a [`Meter`] or a [`ProgressReader`] counts, and a [`StreamFormatter`]
//! puts it into the lines that the original sent to its clients. What is counted is told when
//! another hundredth of the whole is done, or 512 KiB; and twice at the end, as the original did:
//! how far it came, and that it is over.
//!
//! ```
//! use layergraph_core::progress::{ProgressReader, StreamFormatter, StreamProgress, Task};
//! use std::io::{self, Read};
//!
//! let mut lines = Vec::new();
//! let mut progress = StreamProgress::new(StreamFormatter::plain(), &mut lines);
//! let task = Task {
//!     action: "Reading",
//!     id: "c0ffee123456".to_owned(),
//!     total: Some(1000),
//! };
//! let mut reader = ProgressReader::new(io::repeat(b'x').take(1000), task, &mut progress);
//! io::copy(&mut reader, &mut io::sink())?;
//! assert!(lines.ends_with(b">]     1 kB/1 kB\r"));
//! # Ok::<(), io::Error>(())
//! ```

mod stream;

use std::fmt;
use std::io::{self, Read};

pub use self::stream::{StreamFormatter, StreamProgress, human_size};

/// What is being done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Task {
    /// In a word or three.
    pub action: &'static str,
    /// On what: a short id, or nothing.
    pub id: String,
    /// How many bytes there are to do, where that is known.
    pub total: Option<u64>,
}

/// Hears how far a work has come.
pub trait Progress {
    /// So much is done, in bytes. It may be more than the task has.
    fn advanced(&mut self, task: &Task, current: u64);

    /// The work is over, well or not; so much was done.
    fn finished(&mut self, _task: &Task, _current: u64) {}
}

/// Hears and says nothing.
impl Progress for () {
    fn advanced(&mut self, _task: &Task, _current: u64) {}
}

/// The most bytes between two reports.
const STEP: u64 = 512 << 10;

/// Counts bytes, and reports them now and then.
///
/// Dropped without [`finish`](Meter::finish), it says nothing more.
pub struct Meter<'a> {
    task: Task,
    progress: &'a mut (dyn Progress + Send),
    current: u64,
    reported: u64,
    step: u64,
    is_over: bool,
}

impl<'a> Meter<'a> {
    /// Begins to count.
    pub fn new(task: Task, progress: &'a mut (dyn Progress + Send)) -> Meter<'a> {
        // Nobody says beforehand that there is nothing: it stands for a size that is not known.
        let total = task.total.filter(|total| *total > 0);
        let step = total.map_or(STEP, |total| STEP.min(total / 100));
        Meter {
            task,
            progress,
            current: 0,
            reported: 0,
            step,
            is_over: false,
        }
    }

    /// Counts some bytes more.
    pub fn advance(&mut self, bytes: u64) {
        self.current = self.current.saturating_add(bytes);
        if self.current - self.reported > self.step {
            self.report();
        }
    }

    /// Says that the work is over.
    pub fn finish(mut self) {
        self.end();
    }

    /// Says, once, that the work is over.
    fn end(&mut self) {
        if !self.is_over {
            self.is_over = true;
            self.report();
            self.progress.finished(&self.task, self.current);
        }
    }

    /// Counts what is missing to the whole as done: nobody wants it.
    fn complete(mut self) {
        if let Some(total) = self.task.total
            && self.current < total
        {
            self.current = total;
            self.report();
        }
    }

    fn report(&mut self) {
        self.progress.advanced(&self.task, self.current);
        self.reported = self.current;
    }
}

impl fmt::Debug for Meter<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Meter")
            .field("task", &self.task)
            .field("current", &self.current)
            .finish_non_exhaustive()
    }
}

/// Reports how much is read through it: the end, and an error, as the end of the work.
#[derive(Debug)]
pub struct ProgressReader<'a, R> {
    inner: R,
    meter: Meter<'a>,
}

impl<'a, R> ProgressReader<'a, R> {
    /// Begins to read.
    pub fn new(
        inner: R,
        task: Task,
        progress: &'a mut (dyn Progress + Send),
    ) -> ProgressReader<'a, R> {
        ProgressReader {
            inner,
            meter: Meter::new(task, progress),
        }
    }

    /// Ends the reading, and says that all is done if less than that was read: whoever read has
    /// all that was wanted. Dropped without it, the reader says nothing more.
    pub fn close(self) -> R {
        self.meter.complete();
        self.inner
    }
}

impl<R: Read> Read for ProgressReader<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let result = self.inner.read(buffer);
        match &result {
            Ok(0) if !buffer.is_empty() => self.meter.end(),
            Ok(count) => self.meter.advance(*count as u64),
            // It is tried again.
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => self.meter.end(),
        }
        result
    }
}
