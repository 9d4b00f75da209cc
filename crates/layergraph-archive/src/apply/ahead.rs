//! Reading ahead on another thread: bytes are got there while others are worked on here.

use std::io::{self, Read};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Mutex, PoisonError};
use std::thread;

/// How many bytes are handed over at a time.
const PIECE: usize = 256 << 10;

/// How many pieces are on their way, being filled or being read. Each is used again.
const PIECES: usize = 4;

/// A piece of what was read, or why there is no more.
type Filled = io::Result<Vec<u8>>;

/// Calls `work` with a reader of what `source` gives, which is read ahead on another thread.
/// Returns what the work returned, when the source has been read to the end, or as far as the work
/// wanted it.
///
/// Where there is no other thread to be had, the work reads the source itself.
pub(super) fn reading_ahead<R, T>(source: &mut R, work: impl FnOnce(&mut dyn Read) -> T) -> T
where
    R: Read + Send,
{
    let (to_fill, empty) = sync_channel(PIECES);
    let (filled, to_read) = sync_channel(PIECES);
    for _ in 0..PIECES {
        // There is room for all of them.
        let _ = to_fill.send(Vec::with_capacity(PIECE));
    }
    let source = &Mutex::new(source);
    let locked = move || source.lock().unwrap_or_else(PoisonError::into_inner);
    thread::scope(|scope| {
        let other = move || fill(&mut **locked(), &empty, &filled);
        match thread::Builder::new().spawn_scoped(scope, other) {
            Ok(_) => work(&mut Ahead {
                to_read,
                to_fill,
                piece: Vec::new(),
                at: 0,
                is_over: false,
            }),
            Err(_) => work(&mut **locked()),
        }
    })
}

/// Fills pieces until the source ends or nobody wants more.
fn fill(source: &mut impl Read, empty: &Receiver<Vec<u8>>, filled: &SyncSender<Filled>) {
    while let Ok(mut piece) = empty.recv() {
        piece.clear();
        // Until it is full, so that small reads of the source do not become as many hand-overs.
        let read = source.by_ref().take(PIECE as u64).read_to_end(&mut piece);
        let is_last = piece.len() < PIECE || read.is_err();
        if !piece.is_empty() && filled.send(Ok(piece)).is_err() {
            return;
        }
        if let Err(error) = read {
            // Nobody has to hear of it who wants no more.
            let _ = filled.send(Err(error));
        }
        if is_last {
            return;
        }
    }
}

/// What another thread reads.
struct Ahead {
    to_read: Receiver<Filled>,
    to_fill: SyncSender<Vec<u8>>,
    /// What is being read, and how far.
    piece: Vec<u8>,
    at: usize,
    is_over: bool,
}

impl Read for Ahead {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.at == self.piece.len() && !self.is_over {
            let used = std::mem::take(&mut self.piece);
            self.at = 0;
            if used.capacity() > 0 {
                // The other thread may have come to the end, and then needs none.
                let _ = self.to_fill.send(used);
            }
            match self.to_read.recv() {
                Ok(piece) => self.piece = piece?,
                Err(_) => self.is_over = true,
            }
        }
        let left = &self.piece[self.at..];
        let count = left.len().min(buffer.len());
        buffer[..count].copy_from_slice(&left[..count]);
        self.at += count;
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Gives bytes in reads of a few, and then fails or ends.
    struct Source {
        left: usize,
        fails: bool,
    }

    impl Read for Source {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            if self.left == 0 && self.fails {
                return Err(io::ErrorKind::TimedOut.into());
            }
            let count = buffer.len().min(self.left).min(7000);
            buffer[..count].fill(b'x');
            self.left -= count;
            Ok(count)
        }
    }

    #[test]
    fn all_bytes_come_in_order_and_the_end_or_the_error_after_them() {
        for left in [0, 1, PIECE - 1, PIECE, PIECE + 1, 10 * PIECE + 77] {
            for fails in [false, true] {
                let mut source = Source { left, fails };
                let (count, result) = reading_ahead(&mut source, |reader| {
                    let mut bytes = Vec::new();
                    let result = reader.read_to_end(&mut bytes);
                    (bytes.len(), result.map_err(|error| error.kind()))
                });
                assert_eq!(count, left);
                let expected = if fails {
                    Err(io::ErrorKind::TimedOut)
                } else {
                    Ok(left)
                };
                assert_eq!(result, expected, "{left}");
            }
        }
    }

    #[test]
    fn who_wants_no_more_ends_it() {
        let mut endless = io::repeat(0);
        let read = reading_ahead(&mut endless, |reader| reader.read(&mut [0; 10]));
        assert!(read.is_ok_and(|count| count == 10));
    }

    #[test]
    fn an_interrupted_read_is_made_again() {
        struct Interrupted(bool);
        impl Read for Interrupted {
            fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
                self.0 = !self.0;
                if self.0 {
                    return Err(io::ErrorKind::Interrupted.into());
                }
                buffer[0] = 1;
                Ok(1)
            }
        }
        let mut source = Interrupted(false).take(3);
        let read = reading_ahead(&mut source, |reader| reader.read_to_end(&mut Vec::new()));
        assert!(read.is_ok_and(|count| count == 3));
    }
}
