//! Recorded answers of the original's vfs driver. Where ours differ, the test names the rule of
//! docs/compatibility.md.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::time::{Duration, SystemTime};

use layergraph_driver::{Driver, DriverErrorKind};
use layergraph_driver_tests::original::{agrees, answer};
use layergraph_tar::{Kind, NewMember, Writer};
use layergraph_tests::require;
use serde_json::{Value, json};

use crate::support::{Result, Store, apply, id, layer, listing_of, mode};

/// Every call gives the original's answer, but for those under a rule.
#[test]
fn the_sequence_of_calls_is_answered_as_by_the_original() -> Result {
    const V1: &str = "V1: a missing parent leaves nothing";
    const V2: &str = "V2: an id is one plain name";
    let rules = [
        (&["dexists", "c"][..], V1),
        (&["dcreate", "x/y", "a"], V2),
        (&["dget", "y"], V2),
        (&["dexists", "../y"], V2),
        (&["dremove", "y"], V2),
    ];
    let text = include_str!("../data/vfs_sequence.json");
    let sequence: Vec<(Vec<String>, Value)> = serde_json::from_str(text)?;
    let store = Store::new()?;
    let mut deviations = Vec::new();
    for (asked, expected) in &sequence {
        let asked: Vec<&str> = asked.iter().map(String::as_str).collect();
        let answer = answer(&store.driver, store.root(), &asked);
        if !agrees(&answer, expected) {
            let rule = rules.iter().find(|(call, _)| **call == *asked);
            let rule = rule.unwrap_or_else(|| panic!("{asked:?}: {answer:?} is not {expected}"));
            deviations.push(*rule);
            match answer {
                Ok(value) => assert_eq!(value, json!(false), "{asked:?}"),
                Err(error) if asked.iter().any(|word| word.contains('/')) => {
                    assert_eq!(error.kind(), DriverErrorKind::InvalidId, "{asked:?}");
                }
                Err(error) => assert_eq!(error.kind(), DriverErrorKind::NotFound, "{asked:?}"),
            }
        }
    }
    assert_eq!(sequence.len(), 20);
    assert_eq!(deviations, rules, "each rule has its case");
    assert_eq!(store.driver.list()?, [id("b")]);
    Ok(())
}

/// The original made the root directory of a child anew.
#[test]
fn v4_the_root_directory_is_as_that_of_the_parent() -> Result {
    let store = Store::new()?;
    store.commit("a", None, &layer(&[(0o1750, "./"), (0o644, "f = 1")])?)?;
    store.commit("b", Some("a"), &layer(&[])?)?;
    assert_eq!(mode(&store.tree("b"))?, 0o1750);
    assert_eq!(listing_of(&store.tree("b"))?, listing_of(&store.tree("a"))?);
    let [a, b] = ["a", "b"].map(|name| fs::metadata(store.tree(name)));
    let (a, b) = (a?, b?);
    assert_eq!((a.uid(), a.gid()), (b.uid(), b.gid()));
    assert_eq!((a.mtime(), a.mtime_nsec()), (b.mtime(), b.mtime_nsec()));
    Ok(())
}

/// The original copied a parent through an archive without them.
#[test]
fn v3_attributes_and_fractions_of_seconds_are_those_of_the_parent() -> Result {
    let store = Store::new()?;
    let staged = store.driver.stage(None)?;
    apply(&layer(&[(0o755, "d/"), (0o644, "f = 1")])?, &*staged)?;
    let time = SystemTime::UNIX_EPOCH + Duration::new(1_433_116_800, 123_456_789);
    for name in ["d", "f"].map(OsStr::new) {
        staged
            .dir()
            .set_xattr(name, OsStr::new("user.key"), b"value")?;
        staged.dir().set_times(name, Some(time), Some(time))?;
    }
    staged.commit(&id("a"), None)?;
    store.commit("b", Some("a"), &layer(&[])?)?;
    store.commit("c", Some("b"), &layer(&[])?)?;
    for name in ["d", "f"] {
        assert_eq!(fs::metadata(store.tree("c").join(name))?.modified()?, time);
    }
    let listed = listing_of(&store.tree("c"))?;
    assert_eq!(listed, listing_of(&store.tree("a"))?);
    assert!(listed[2].ends_with("\tuser.key=76616c7565"), "{listed:?}");
    Ok(())
}

/// A layer whose hard link names a file of the parent and states other metadata.
#[test]
fn u8_a_hard_link_with_other_metadata_is_as_with_the_originals_vfs() -> Result {
    require!(root);
    let text = include_str!("../data/hardlink_metadata.json");
    let expected: Value = serde_json::from_str(text)?;
    let at = |seconds| SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
    let store = Store::new()?;
    let mut parent = Writer::new(Vec::new());
    let file = NewMember {
        mode: 0o644,
        mtime: at(1_433_116_800),
        size: 4,
        ..NewMember::new(b"f", Kind::File)
    };
    parent.append(&file, &b"file"[..])?;
    store.commit("parent", None, &parent.finish()?)?;
    let mut child = Writer::new(Vec::new());
    let link = NewMember {
        link: b"f",
        mode: 0o4711,
        uid: 77,
        gid: 78,
        mtime: at(1_433_117_799),
        ..NewMember::new(b"h", Kind::HardLink)
    };
    child.append(&link, &b""[..])?;
    store.commit("child", Some("parent"), &child.finish()?)?;
    for name in ["parent", "child"] {
        assert_eq!(
            json!(listing_of(&store.tree(name))?),
            expected["vfs"][name],
            "{name}"
        );
    }
    let changes = store.driver.changes(&id("child"), Some(&id("parent")))?;
    let mut changes: Vec<String> = changes.iter().map(ToString::to_string).collect();
    changes.sort();
    assert_eq!(json!({ "ok": changes }), expected["vfs"]["child_changes"]);
    Ok(())
}
