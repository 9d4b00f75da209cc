//! Trees that are deeper than any path, any stack, or the number of files that may be open.

use std::ffi::OsStr;
use std::io::{self, Write};
use std::path::Path;

use layergraph_archive::listing::ListingError;
use layergraph_archive::{CompareOptions, changes, listing, pack};
use layergraph_tests::{is_prepared, require, this_test};
use tempfile::TempDir;

use crate::support::{moment, open, view};

/// More levels than fit on the stack of a test's thread, 2 MiB, if each takes a part of it.
const DEPTH: usize = 6_000;

/// Two chains of directories, `a` and `b`; removed by other means than the standard library's,
/// which hold a handle for each level.
struct Chains(TempDir);

impl Chains {
    fn new() -> Chains {
        let home = TempDir::new().expect("a temporary directory");
        let name = OsStr::new("d");
        for chain in ["a", "b"] {
            let top = open(home.path());
            top.make_dir(OsStr::new(chain), 0o755).expect("a new name");
            let mut dir = top.open_dir(OsStr::new(chain)).expect("it was made");
            for _ in 0..DEPTH {
                dir.make_dir(name, 0o755).expect("a new name");
                dir = dir.open_dir(name).expect("it was made");
            }
            let file = OsStr::new("f");
            dir.create_file(file, 0o644).expect("a new name");
            dir.set_times(file, None, Some(moment()))
                .expect("it is ours");
        }
        Chains(home)
    }

    fn view(&self, chain: &str) -> layergraph_archive::View {
        view(&self.0.path().join(chain))
    }
}

impl Drop for Chains {
    fn drop(&mut self) {
        let top = open(self.0.path());
        for chain in ["a", "b"] {
            layergraph_fs::remove_tree(&top, OsStr::new(chain)).expect("it is ours");
        }
    }
}

/// Returns whether this is a process that may open as many files as said; if not, the test runs
/// once more in one.
fn is_within_files(files: usize, test: &str) -> bool {
    is_prepared(&format!("ulimit -n {files}"), test).expect("it holds there")
}

/// Counts lines and keeps none.
struct Lines(usize);

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0 += bytes.split(|&byte| byte == b'\n').count() - 1;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_tree_is_as_deep_as_files_may_be_open() {
    require!(program "sh");
    require!(root);
    if !is_within_files(3 * DEPTH, &this_test!()) {
        return;
    }
    let chains = Chains::new();
    let (a, b) = (chains.view("a"), chains.view("b"));
    let mut lines = Lines(0);
    listing(&a, &mut lines).expect("handles enough");
    assert_eq!(lines.0, DEPTH + 2);

    let options = CompareOptions::default();
    let none = changes(&a, Some(&b), &options).expect("handles enough");
    assert!(none.is_empty(), "{none:?}");
    let all = changes(&a, None, &options).expect("handles enough");
    assert_eq!(all.len(), DEPTH + 1);
    let packed = pack(&a, &all[..], &mut io::sink()).expect("handles enough");
    assert_eq!(packed.entries, DEPTH as u64 + 1);
}

#[test]
fn a_deeper_tree_is_refused_by_an_error_that_says_why() {
    require!(program "sh");
    if !is_within_files(256, &this_test!()) {
        return;
    }
    let chains = Chains::new();
    let (a, b) = (chains.view("a"), chains.view("b"));
    let too_many = |error: &layergraph_fs::FsError| {
        // EMFILE
        assert_eq!((error.call(), error.errno()), ("openat", Some(24)));
        assert!(
            error
                .path()
                .starts_with(chains.0.path().join(Path::new("a/d/d")))
        );
    };
    match listing(&a, &mut io::sink()) {
        Err(ListingError::Fs(error)) => too_many(&error),
        other => panic!("{other:?}"),
    }
    let error = changes(&a, None, &CompareOptions::default()).expect_err("too deep");
    too_many(&error);
    let error = changes(&a, Some(&b), &CompareOptions::default()).expect_err("too deep");
    assert_eq!(error.errno(), Some(24));
}
