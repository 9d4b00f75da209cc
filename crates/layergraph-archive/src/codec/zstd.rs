//! zstd frames and skippable frames (RFC 8878), by libzstd.
//!
//! A frame states the size of its window, up to 2 GiB and beyond, and libzstd allocates it when
//! the frame begins. So the header is read here first, and compared with the limit.

use zstd::zstd_safe::{DCtx, DParameter, ErrorCode, InBuffer, OutBuffer, get_error_name};

use super::member::{Fault, MemberDecoder, Step};

/// What libzstd takes beside the window: its tables, a block of input, two blocks of output
/// (`ZSTD_estimateDStreamSize`).
const BESIDE_THE_WINDOW: u64 = 640 << 10;

/// The largest window that libzstd takes, as a power of two.
const LARGEST_WINDOW_LOG: u32 = if cfg!(target_pointer_width = "64") {
    31
} else {
    30
};

pub(super) struct Zstd {
    /// Kept from frame to frame, with its window: data of thousands of small frames is common.
    context: DCtx<'static>,
    memory: u64,
    /// What the frame at hand takes; nothing is known of a skippable one.
    needed: Option<u64>,
}

impl Zstd {
    pub(super) fn new(memory: u64) -> Self {
        Self {
            context: DCtx::create(),
            memory,
            needed: None,
        }
    }
}

impl MemberDecoder for Zstd {
    fn begin(&mut self, head: &[u8]) -> Result<(), Fault> {
        // Nor is anything known of the data by a frame that says that it is empty.
        self.needed = window_size(head)
            .filter(|&window| window > 0)
            .map(|window| window.saturating_add(BESIDE_THE_WINDOW));
        if let Some(needed) = self.needed
            && needed > self.memory
        {
            return Err(Fault::Memory { needed });
        }
        // libzstd has a limit of its own, 128 MiB by default. Ours decides: this one is the next
        // power of two above it, within what libzstd takes.
        let log = self.memory.max(1).ilog2() + 1;
        self.context
            .set_parameter(DParameter::WindowLogMax(log.clamp(10, LARGEST_WINDOW_LOG)))
            .map(|_| ())
            .map_err(fault)
    }

    fn step(&mut self, input: &[u8], output: &mut [u8]) -> Result<Step, Fault> {
        let mut input = InBuffer::around(input);
        let mut output = OutBuffer::around(output);
        let hint = self
            .context
            .decompress_stream(&mut output, &mut input)
            .map_err(fault)?;
        // The hint is how much input it would like next; 0 says that the frame is complete and
        // all of its output is out.
        Ok(Step {
            consumed: input.pos(),
            produced: output.pos(),
            ended: hint == 0,
        })
    }

    fn memory(&mut self) -> Option<u64> {
        self.needed
    }

    fn limit_memory(&mut self, limit: u64) {
        self.memory = limit;
    }
}

fn fault(code: ErrorCode) -> Fault {
    Fault::Damaged(get_error_name(code).to_owned())
}

/// Reads the window size, in bytes, from a frame's header (RFC 8878, section 3.1.1.1).
///
/// `None` for a skippable frame, and for a header that is cut off, which fails soon enough.
fn window_size(head: &[u8]) -> Option<u64> {
    let (magic, header) = head.split_first_chunk::<4>()?;
    if *magic != [0x28, 0xb5, 0x2f, 0xfd] {
        return None;
    }
    let (&descriptor, fields) = header.split_first()?;
    let single_segment = descriptor & 0x20 != 0;
    if !single_segment {
        let window = *fields.first()?;
        let base = 1 << (10 + (window >> 3));
        return Some(base + base / 8 * u64::from(window & 7));
    }
    // The whole content is the window, and its size stands behind the dictionary's id.
    let content = &fields[[0, 1, 2, 4][usize::from(descriptor & 3)].min(fields.len())..];
    match descriptor >> 6 {
        0 => content.first().map(|&size| size.into()),
        1 => content
            .first_chunk()
            .map(|size| u64::from(u16::from_le_bytes(*size)) + 256),
        2 => content
            .first_chunk()
            .map(|size| u32::from_le_bytes(*size).into()),
        _ => content.first_chunk().map(|size| u64::from_le_bytes(*size)),
    }
}

#[cfg(test)]
mod tests {
    use super::window_size;

    #[test]
    fn a_frame_header_states_its_window() {
        let cases: &[(&[u8], Option<u64>)] = &[
            // Window descriptors: exponent and eighths.
            (&[0x00, 0x00], Some(1 << 10)),
            (&[0x00, 0x58], Some(2 << 20)),
            (&[0x00, 0x07], Some((1 << 10) + 7 * 128)),
            (&[0x00, 0xf8], Some(1 << 41)),
            (&[0xc0, 0x58, 0, 0, 0, 0, 0, 0, 0, 0], Some(2 << 20)),
            // A single segment: the size of the content, in 1, 2, 4 or 8 bytes.
            (&[0x20, 0x07], Some(7)),
            (&[0x60, 0x01, 0x01], Some(257 + 256)),
            (&[0xa0, 0, 0, 0, 1], Some(1 << 24)),
            (&[0xe0, 0, 0, 0, 0, 0, 0, 0, 1], Some(1 << 56)),
            // Behind a dictionary's id of 1, 2 or 4 bytes.
            (&[0x21, 9, 0x07], Some(7)),
            (&[0x22, 9, 9, 0x07], Some(7)),
            (&[0x23, 9, 9, 9, 9, 0x07], Some(7)),
            // Cut off.
            (&[], None),
            (&[0x00], None),
            (&[0x23, 9, 9], None),
            (&[0xe0, 0, 0, 0, 0, 0, 0, 0], None),
        ];
        for (header, window) in cases {
            let head = [&[0x28, 0xb5, 0x2f, 0xfd], *header].concat();
            assert_eq!(window_size(&head), *window, "{header:02x?}");
        }
    }

    #[test]
    fn a_skippable_frame_has_no_window() {
        assert_eq!(
            window_size(&[0x50, 0x2a, 0x4d, 0x18, 0xff, 0xff, 0xff, 0xff]),
            None
        );
    }
}
