//! Trees known to be equal at some moment: what changes from then on is seen.

use std::fs::{self, File};
use std::path::Path;
use std::time::{Duration, SystemTime};

use layergraph_archive::{CompareOptions, changes};

use crate::support::{moment, tree, view};

/// Gives a file other content of the same length, and takes back the time.
fn rewrite(path: &Path, text: &str) {
    fs::write(path, text).expect("it is ours");
    let file = File::options().write(true).open(path);
    let set = file.and_then(|file| file.set_modified(moment()));
    set.expect("it is ours");
}

fn compare(upper: &Path, lower: &Path, equal_at: SystemTime) -> Vec<String> {
    let mut options = CompareOptions::default();
    options.equal_at = Some(equal_at);
    let changes = changes(&view(upper), Some(&view(lower)), &options);
    let changes = changes.expect("trees that can be read");
    changes.iter().map(ToString::to_string).collect()
}

/// The times of changes lag behind the clock that tells the moment.
#[test]
fn a_change_right_after_the_moment_is_seen() {
    let (upper, lower) = (tree(&["f = 0000"]), tree(&["f = 0000"]));
    for number in 1..50 {
        let equal_at = SystemTime::now();
        rewrite(&upper.path().join("f"), &format!("{number:04}"));
        let changes = compare(upper.path(), lower.path(), equal_at);
        assert_eq!(changes, ["C /f"]);
    }
}

#[test]
fn what_was_touched_long_before_the_moment_is_not_read() {
    let (upper, lower) = (tree(&["f = 0000"]), tree(&["f = 0000"]));
    rewrite(&upper.path().join("f"), "1111");
    let later = SystemTime::now() + Duration::from_secs(10);
    assert!(compare(upper.path(), lower.path(), later).is_empty());
}
