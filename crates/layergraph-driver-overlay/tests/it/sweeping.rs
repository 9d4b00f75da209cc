//! Sweeps: what they take, and what they leave to those who still need it.

use std::fs;
use std::os::unix::fs::symlink;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use layergraph_driver::Driver;
use layergraph_tests::names;

use crate::support::{Result, Store, id};

/// The short name of a layer is there before the layer is.
#[test]
fn a_sweep_takes_no_short_name_of_a_layer_that_is_being_made() -> Result {
    const LAYERS: usize = 100;
    let store = Store::new()?;
    store.layer("base", None)?;
    let done = AtomicBool::new(false);
    thread::scope(|scope| -> Result {
        let sweeper = scope.spawn(|| -> Result {
            while !done.load(Ordering::Relaxed) {
                store.driver.sweep()?;
            }
            Ok(())
        });
        let made = (0..LAYERS).try_for_each(|number| {
            let name = format!("layer-{number}");
            let staged = store.driver.stage(None)?;
            staged.commit(&id(&name), Some(&id("base")))
        });
        done.store(true, Ordering::Relaxed);
        sweeper.join().expect("no panic")?;
        Ok(made?)
    })?;
    assert_eq!(names(&store.home("l"))?.len(), LAYERS + 1);
    for number in 0..LAYERS {
        store.layer(&format!("on-{number}"), Some(&format!("layer-{number}")))?;
        assert_eq!(store.driver.layers(&id(&format!("on-{number}")))?.len(), 3);
    }
    Ok(())
}

#[test]
fn a_sweep_takes_the_short_names_that_no_layer_has() -> Result {
    let store = Store::new()?;
    store.layer("a", None)?;
    store.layer("b", Some("a"))?;
    let link = fs::read_to_string(store.home("a/link"))?;
    let add = |name: &str, target: &str| symlink(target, store.home("l").join(name));
    // The layer is gone, or never came; or has another name.
    add("AAAAAAAAAAAAAAAAAAAAAAAAAA", "../gone/diff")?;
    add("BBBBBBBBBBBBBBBBBBBBBBBBBB", "../a/diff")?;
    // They are somebody else's.
    add("short", "../gone/diff")?;
    add("CCCCCCCCCCCCCCCCCCCCCCCCCC", "../../elsewhere")?;
    assert_eq!(store.driver.sweep()?, 2);
    let left = names(&store.home("l"))?;
    assert_eq!(left.len(), 4, "{left:?}");
    assert!(left.contains(&link), "{left:?}");
    assert_eq!(store.driver.layers(&id("b"))?.len(), 2);
    Ok(())
}
