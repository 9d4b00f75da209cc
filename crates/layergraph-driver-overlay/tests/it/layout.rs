//! What is on disk.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};

use layergraph_driver::{Driver, DriverErrorKind};
use layergraph_driver_overlay::OverlayDriver;
use layergraph_driver_tests::check_opening_makes_nothing;
use layergraph_fs::Durability;
use layergraph_tests::{Scratch, names};

use crate::support::{Result, Store, apply, assert_refused, id, layer};

#[test]
fn opening_makes_nothing() -> Result {
    check_opening_makes_nothing(OverlayDriver::open_dyn)
}

/// As the second driver of the original has them, so that other programs find their way.
#[test]
fn a_layer_is_its_changes_a_short_name_and_those_below() -> Result {
    for durability in [Durability::None, Durability::Full] {
        let store = Store::at(Scratch::new()?, durability)?;
        store.layer("a", None)?;
        store.layer("b", Some("a"))?;
        store.layer("c", Some("b"))?;
        let below = |path: &str| names(&store.home(path));
        assert_eq!(below("")?, [".lock", ".staging", "a", "b", "c", "l"]);
        assert_eq!(below("a")?, ["committed", "diff", "link"]);
        assert_eq!(below("b")?, ["committed", "diff", "link", "lower"]);
        assert_eq!(below("c")?, ["diff", "link", "lower"]);
        assert_eq!(below("c/diff")?, ["c"]);
        let read = |path: &str| fs::read_to_string(store.home(path));
        let links = ["a", "b", "c"].map(|name| read(&format!("{name}/link")));
        let [a, b, c] = links;
        let (a, b, c) = (a?, b?, c?);
        assert_eq!(read("b/lower")?, format!("l/{a}"));
        assert_eq!(read("c/lower")?, format!("l/{b}:l/{a}"));
        for (link, target) in [(&a, "../a/diff"), (&b, "../b/diff"), (&c, "../c/diff")] {
            let is_plain = |c: char| c.is_ascii_uppercase() || c.is_ascii_digit();
            assert!(link.len() == 26 && link.chars().all(is_plain), "{link}");
            let led = fs::read_link(store.home("l").join(link))?;
            assert_eq!(led.to_str(), Some(target));
        }
        for path in ["", "a", "l", ".staging"] {
            let mode = fs::metadata(store.home(path))?.permissions().mode();
            assert_eq!(mode & 0o7777, 0o700, "{path}");
        }
        store.driver.remove(&id("c"))?;
        assert_eq!(below("l")?.len(), 2);
        assert!(below(".staging")?.is_empty() && below(".trash")?.is_empty());
    }
    Ok(())
}

/// What is no layer of the driver's is none, and is not replaced.
#[test]
fn what_has_no_files_of_a_layer_is_none_and_stays() -> Result {
    let store = Store::new()?;
    store.layer("a", None)?;
    fs::create_dir(store.home("empty"))?;
    fs::write(store.home("stray"), "text")?;
    std::os::unix::fs::symlink("a", store.home("link"))?;
    assert_eq!(store.driver.list()?, [id("a")]);
    for name in ["empty", "stray", "link"] {
        assert!(!store.driver.exists(&id(name))?, "{name}");
        assert_refused(store.driver.remove(&id(name)), DriverErrorKind::NotFound);
        let committed = store.driver.stage(None)?.commit(&id(name), None);
        assert_refused(committed, DriverErrorKind::Damaged);
    }
    assert_eq!(fs::read_to_string(store.home("stray"))?, "text");
    // The directory of short names has the name of a layer, too.
    assert!(!store.driver.exists(&id("l"))?);
    let committed = store.driver.stage(None)?.commit(&id("l"), None);
    assert_refused(committed, DriverErrorKind::InvalidId);
    assert_eq!(names(&store.home("l"))?.len(), 1, "only that of the layer");
    Ok(())
}

#[test]
fn r54_what_is_missing_below_is_named() -> Result {
    let store = Store::new()?;
    store.layer("a", None)?;
    store.layer("b", Some("a"))?;
    store.layer("c", Some("b"))?;
    let link = fs::read_to_string(store.home("a/link"))?;
    let check = |missing: &str| {
        for name in ["b", "c"] {
            let refused = store.driver.layers(&id(name));
            let refused = assert_refused(refused, DriverErrorKind::Damaged);
            assert!(refused.to_string().contains(name), "{refused}");
            let cause = std::error::Error::source(&refused);
            let cause = cause.map(ToString::to_string).unwrap_or_default();
            assert!(cause.contains(missing), "{cause}");
        }
    };
    let (at, aside) = (store.home("l").join(&link), store.home(".aside"));
    fs::rename(&at, &aside)?;
    check(&format!("l/{link}"));
    fs::rename(&aside, &at)?;
    store.driver.layers(&id("c"))?;
    fs::rename(store.home("a"), &aside)?;
    check("a/diff");
    fs::rename(&aside, store.home("a"))?;
    // What is damaged can be removed, and keeps nothing else from being removed.
    for text in ["", "l/x", "../a/diff", "l/ABC:"] {
        fs::write(store.home("b/lower"), text)?;
        assert_refused(store.driver.layers(&id("b")), DriverErrorKind::Damaged);
    }
    store.driver.remove(&id("c"))?;
    store.driver.remove(&id("a"))?;
    fs::write(store.home("b/link"), "no short name")?;
    store.driver.remove(&id("b"))?;
    assert_eq!(store.driver.sweep()?, 1, "its short name is left");
    assert!(names(&store.home("l"))?.is_empty());
    Ok(())
}

/// The root directory of a layer that says nothing of it is that of the parent, whenever the parent
/// is said; so it is not hidden by one of the driver's making.
#[test]
fn the_root_directory_is_that_of_the_parent_unless_the_layer_has_its_own() -> Result {
    let store = Store::new()?;
    store.commit("base", None, &layer(&[(0o1750, "./"), (0o644, "f = 1")])?)?;
    let xattr = |dir: &layergraph_fs::Dir| dir.xattr(".".as_ref(), "user.key".as_ref());
    let base = layergraph_fs::Dir::open(&store.home("base/diff"))?;
    base.set_xattr(".".as_ref(), "user.key".as_ref(), b"value")?;
    let says_nothing = layer(&[(0o644, "g = 2")])?;
    store.commit("early", Some("base"), &says_nothing)?;
    let staged = store.driver.stage(None)?;
    apply(&says_nothing, &*staged)?;
    staged.commit(&id("late"), Some(&id("base")))?;
    let staged = store.driver.stage(None)?;
    apply(&layer(&[(0o700, "./")])?, &*staged)?;
    staged.commit(&id("own"), Some(&id("base")))?;
    let root = |name: &str| fs::metadata(store.home(name).join("diff"));
    let base = root("base")?;
    for name in ["early", "late"] {
        let found = root(name)?;
        assert_eq!(found.mode(), base.mode(), "{name}");
        assert_eq!(
            (found.mtime(), found.mtime_nsec()),
            (base.mtime(), base.mtime_nsec())
        );
        let dir = layergraph_fs::Dir::open(&store.home(name).join("diff"))?;
        assert_eq!(xattr(&dir)?.as_deref(), Some(b"value".as_slice()), "{name}");
    }
    assert_eq!(root("own")?.mode() & 0o7777, 0o700);
    let own = layergraph_fs::Dir::open(&store.home("own/diff"))?;
    assert_eq!(xattr(&own)?, None);
    Ok(())
}
