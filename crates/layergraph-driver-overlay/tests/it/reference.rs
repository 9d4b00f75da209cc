//! Layers that the original wrote, and its answers about them. Where ours differ, the test names
//! the rule of docs/compatibility.md.

use std::fs;
use std::process::Command;
use std::thread;

use layergraph_archive::View;
use layergraph_driver::{Driver, DriverErrorKind, LayerId, MountOptions};
use layergraph_driver_tests::original::{agrees, answer, overlay};
use layergraph_fs::Dir;
use layergraph_tests::{names, require};
use serde_json::{Value, json};

use crate::support::{Result, Store, assert_refused, id, layer, lines, to_change};

/// Unpacks the store that the original wrote, with all that it was packed with.
fn unpacked() -> Result<Store> {
    let store = Store::new()?;
    let status = Command::new("tar")
        .args(["--xattrs", "--xattrs-include=*", "--numeric-owner", "-p"])
        .arg("-xf")
        .arg(overlay().join("root.tar.gz"))
        .arg("-C")
        .arg(store.root())
        .status()?;
    assert!(status.success());
    Ok(store)
}

fn expected() -> Result<Value> {
    Ok(serde_json::from_slice(&fs::read(
        overlay().join("expected.json"),
    )?)?)
}

/// A layer of the reference: its name there, its id, and its parent's.
struct Recorded {
    name: String,
    id: LayerId,
    parent: Option<LayerId>,
    answers: Value,
}

/// The layers whose driver had them when the store was packed.
fn recorded(expected: &Value) -> Result<Vec<Recorded>> {
    let mut all = Vec::new();
    let images = expected["images"].as_object().ok_or("images")?;
    let layers = expected["driver_layers"].as_object().ok_or("layers")?;
    for (name, answers) in images.iter().chain(layers) {
        if !answers["err"].is_null() {
            continue;
        }
        let own = answers["id"].as_str().or_else(|| expected[name].as_str());
        let parent = answers["parent"].as_str().unwrap_or_default();
        // That of the orphan is gone.
        let is_gone = expected["ids"]["gone"] == parent;
        let parent = (!parent.is_empty() && !is_gone).then(|| id(parent));
        all.push(Recorded {
            name: name.clone(),
            id: id(own.ok_or("an id")?),
            parent,
            answers: answers.clone(),
        });
    }
    Ok(all)
}

fn listing(name: &str) -> Result<Vec<String>> {
    let text = fs::read_to_string(overlay().join(format!("{name}.listing")))?;
    Ok(text.lines().map(str::to_owned).collect())
}

#[test]
fn the_layers_of_2015_are_listed_viewed_and_mounted_as_they_were() -> Result {
    require!(root);
    require!(overlay_mount);
    require!(program "tar");
    let (store, expected) = (unpacked()?, expected()?);
    let all = recorded(&expected)?;
    let mut ids: Vec<LayerId> = all.iter().map(|layer| layer.id.clone()).collect();
    ids.sort();
    assert_eq!(store.driver.list()?, ids);
    assert_eq!(ids.len(), 10);
    let target = store.target("target")?;
    for layer in &all {
        let (id, name) = (&layer.id, &layer.name);
        assert!(store.driver.exists(id)?, "{name}");
        let listed = listing(name)?;
        assert_eq!(lines(&store.driver.view(id)?)?, listed, "{name}");
        let is_tree = store.home(id.as_str()).join("root").exists();
        assert_eq!(store.driver.layers(id)?.len(), if is_tree { 1 } else { 2 });
        let path = store.driver.mount(id, &MountOptions::default())?;
        let own = if is_tree { "root" } else { "merged" };
        assert_eq!(path, store.home(id.as_str()).join(own), "{name}");
        assert_eq!(lines(&View::new(Dir::open(&path)?))?, listed, "{name}");
        store.driver.unmount(id)?;
        store.driver.mount(id, &MountOptions::at(&target))?;
        assert_eq!(lines(&View::new(Dir::open(&target)?))?, listed, "{name}");
        store.driver.unmount_at(&target)?;
        assert!(store.mounted().is_empty());
    }
    // Looking and mounting to read has changed nothing but for the places to mount.
    assert_eq!(store.driver.sweep()?, 0);
    Ok(())
}

#[test]
fn the_changes_of_layers_of_2015_are_those_that_the_original_found() -> Result {
    require!(root);
    require!(program "tar");
    let (store, expected) = (unpacked()?, expected()?);
    let mut deviations = Vec::new();
    for layer in recorded(&expected)? {
        let Some(theirs) = layer.answers["changes"]["ok"].as_array() else {
            continue;
        };
        let changes = store.driver.changes(&layer.id, layer.parent.as_ref())?;
        let mut ours: Vec<String> = changes.iter().map(ToString::to_string).collect();
        let mut theirs: Vec<&str> = theirs.iter().filter_map(Value::as_str).collect();
        ours.sort_unstable();
        theirs.sort_unstable();
        for more in ours.iter().filter(|it| !theirs.contains(&it.as_str())) {
            deviations.push(format!("{}: {more}", layer.name));
        }
        for less in theirs
            .iter()
            .filter(|it| !ours.iter().any(|our| our == **it))
        {
            deviations.push(format!("{}: not {less}", layer.name));
        }
    }
    // C1: a file's names are listed all together.
    let c1 = ["child2: C /bin/hard1", "child2: C /bin/hard2"];
    assert_eq!(deviations, c1);
    Ok(())
}

/// What a container of 2015 has changed stays its own upper, and can be built on.
#[test]
fn layers_of_2015_are_changed_built_on_and_removed() -> Result {
    require!(root);
    require!(overlay_mount);
    require!(program "tar");
    let (store, expected) = (unpacked()?, expected()?);
    let name = |of: &str| id(expected[of].as_str().unwrap_or_default());
    let container = name("container");
    let path = store.driver.mount(&container, &to_change())?;
    fs::write(path.join("new"), "1")?;
    store.driver.unmount(&container)?;
    let upper = store.home(container.as_str()).join("upper");
    assert_eq!(fs::read_to_string(upper.join("new"))?, "1");

    let image = id(expected["ids"]["child1"].as_str().unwrap_or_default());
    store.commit(
        "on-upper",
        Some(container.as_str()),
        &layer(&[(0o644, "f = 2")])?,
    )?;
    store.commit(
        "on-root",
        Some(image.as_str()),
        &layer(&[(0o644, "f = 2")])?,
    )?;
    for (child, parent, depth) in [("on-upper", &container, 3), ("on-root", &image, 2)] {
        assert_eq!(store.driver.layers(&id(child))?.len(), depth);
        let changes = store.driver.changes(&id(child), Some(parent))?;
        assert_eq!(changes.len(), 1, "{changes:?}");
        assert_eq!(changes[0].to_string(), "A /f");
        let path = store.driver.mount(&id(child), &MountOptions::default())?;
        let mounted = lines(&View::new(Dir::open(&path)?))?;
        assert_eq!(mounted, store.listing(child)?);
        store.driver.unmount(&id(child))?;
        assert_refused(store.driver.remove(parent), DriverErrorKind::InUse);
    }
    assert_refused(
        store.driver.mount(&container, &to_change()),
        DriverErrorKind::InUse,
    );
    // An image is a tree that others share.
    let mut at_target = to_change();
    at_target.target = Some(store.target("target")?);
    let refused = store.driver.mount(&image, &at_target);
    assert_refused(refused, DriverErrorKind::NotSupported);

    store.driver.remove(&id("on-upper"))?;
    store.driver.remove(&container)?;
    // Of the other container it is still the tree below.
    store.driver.remove(&id("on-root"))?;
    let refused = assert_refused(store.driver.remove(&image), DriverErrorKind::InUse);
    assert!(refused.to_string().contains("-init"), "{refused}");
    store.driver.remove(&name("container_init"))?;
    store.driver.remove(&image)?;
    assert_eq!(store.driver.sweep()?, 0);
    assert_eq!(names(&store.home("l"))?.len(), 0);
    Ok(())
}

/// Who builds on a layer of 2015 at the same time gives it one short name, not several.
#[test]
fn a_layer_of_2015_gets_one_short_name() -> Result {
    const THREADS: usize = 8;
    require!(root);
    let store = Store::new()?;
    fs::create_dir_all(store.home("image/root"))?;
    fs::create_dir_all(store.home("container/upper"))?;
    fs::write(store.home("container/lower-id"), "image")?;
    thread::scope(|scope| {
        let threads = (0..THREADS).map(|thread| {
            let store = &store;
            scope.spawn(move || {
                let parent = ["image", "container"][thread % 2];
                store.layer(&format!("child-{thread}"), Some(parent))
            })
        });
        let threads: Vec<_> = threads.collect();
        threads
            .into_iter()
            .try_for_each(|it| it.join().expect("no panic"))
    })?;
    let link = |name: &str| fs::read_to_string(store.home(name).join("link"));
    let (image, container) = (link("image")?, link("container")?);
    for thread in 0..THREADS {
        let lower = fs::read_to_string(store.home(&format!("child-{thread}/lower")))?;
        let expected = [format!("l/{image}"), format!("l/{container}:l/{image}")];
        assert_eq!(lower, expected[thread % 2]);
    }
    assert_eq!(names(&store.home("l"))?.len(), THREADS + 2);
    Ok(())
}

#[test]
fn trusted_signs_of_2015_are_not_read_as_others() -> Result {
    require!(root);
    let store = Store::new()?;
    fs::create_dir_all(store.home("image/root"))?;
    fs::create_dir_all(store.home("container/upper"))?;
    fs::write(store.home("container/lower-id"), "image")?;
    store.layer("child", Some("container"))?;
    let mut options = crate::support::options(layergraph_fs::Durability::None);
    options.overlay_userxattr = Some(true);
    let other = layergraph_driver_overlay::OverlayDriver::open(store.root(), &options)?;
    for name in ["container", "child"] {
        assert_refused(other.view(&id(name)), DriverErrorKind::NotSupported);
    }
    let container = id("container");
    assert_refused(other.stage(Some(&container)), DriverErrorKind::NotSupported);
    let late = other.stage(None)?.commit(&id("late"), Some(&container));
    assert_refused(late, DriverErrorKind::NotSupported);
    other.view(&id("image"))?;
    Ok(())
}

const O1: &str = "O1: a layer without a parent is mounted, too";
const O2: &str = "O2: what others are built on stays";
const O3: &str = "O3: a driver says nothing of its state";

/// Every call gives the original's answer, but for those under a rule.
#[test]
fn the_sequence_of_calls_is_answered_as_by_the_original() -> Result {
    require!(overlay_mount);
    let rules = [
        (&["dget", "a"][..], json!("$ROOT/overlay/a/merged"), O1),
        (&["dremove", "a"], json!(null), O2),
        (&["dget", "d"], json!("$ROOT/overlay/d/merged"), O2),
        (&["dremove", "d"], json!(null), O2),
        (&["dremove", "b"], json!(null), O2),
        (&["dstatus"], json!(null), O3),
    ];
    let text = include_str!("../data/overlay_refcount.json");
    let sequence: Vec<(Vec<String>, Value)> = serde_json::from_str(text)?;
    let store = Store::new()?;
    let mut deviations = Vec::new();
    for (asked, expected) in &sequence {
        let asked: Vec<&str> = asked.iter().map(String::as_str).collect();
        let answer = answer(&store.driver, store.root(), &asked);
        if !agrees(&answer, expected) {
            let rule = rules.iter().find(|(call, _, _)| **call == *asked);
            let (_, value, rule) =
                rule.unwrap_or_else(|| panic!("{asked:?}: {answer:?} is not {expected}"));
            deviations.push(*rule);
            match answer {
                Ok(answer) => assert_eq!(answer, *value, "{asked:?}"),
                Err(error) => assert_eq!(error.kind(), DriverErrorKind::InUse, "{asked:?}"),
            }
        }
    }
    let rules = rules.map(|(_, _, rule)| rule);
    assert_eq!(deviations, rules, "each rule has its case");
    assert_eq!(sequence.len(), 26);
    assert_eq!(store.driver.list()?, ["a", "b", "d"].map(id));
    Ok(())
}
