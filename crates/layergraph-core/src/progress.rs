//! How far a long work has come, and the lines that the original told it by.

/// What is being done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Task {
    /// In a word or three.
    pub action: &'static str,
    /// On what: a short id.
    pub id: String,
    /// How many bytes there are to do, where that is known.
    pub total: Option<u64>,
}

/// Hears how far a work has come.
pub trait Progress {
    /// Some bytes more are done: `current` of those that the task has.
    fn advanced(&mut self, task: &Task, current: u64);

    /// The task is done.
    fn finished(&mut self, _task: &Task, _current: u64) {}
}

/// Hears and says nothing.
impl Progress for () {
    fn advanced(&mut self, _task: &Task, _current: u64) {}
}

/// The most bytes between two reports.
const STEP: u64 = 512 << 10;

/// Counts bytes, and reports them now and then: after a hundredth of the whole, or 512 KiB.
pub struct Meter<'a> {
    task: Task,
    progress: &'a mut dyn Progress,
    current: u64,
    reported: u64,
    step: u64,
}

impl<'a> Meter<'a> {
    /// Begins to count.
    pub fn new(task: Task, progress: &'a mut dyn Progress) -> Meter<'a> {
        let step = task.total.map_or(STEP, |total| STEP.min(total / 100));
        Meter {
            task,
            progress,
            current: 0,
            reported: 0,
            step,
        }
    }

    /// Counts some bytes more.
    pub fn advance(&mut self, bytes: u64) {
        self.current += bytes;
        if self.current - self.reported > self.step {
            self.progress.advanced(&self.task, self.current);
            self.reported = self.current;
        }
    }

    /// Says that all is done.
    pub fn finish(self) {
        self.progress.advanced(&self.task, self.current);
        self.progress.finished(&self.task, self.current);
    }
}

impl std::fmt::Debug for Meter<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Meter")
            .field("task", &self.task)
            .field("current", &self.current)
            .finish_non_exhaustive()
    }
}
