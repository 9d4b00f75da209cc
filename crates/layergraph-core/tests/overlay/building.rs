//! New layers on top of layers that the original wrote.

use std::collections::BTreeSet;
use std::io;
use std::time::{Duration, UNIX_EPOCH};

use layergraph_core::{DeleteOptions, Graph, GraphErrorKind};
use layergraph_image::NodeId;
use layergraph_tar::{Kind, NewMember, Writer};

use crate::reference::{expected, images, of_driver, parse, text, unpacked};
use crate::support::{Result, Store, everything, id, image, kind, layer, listing_of, open};

/// The lines of the one listing that are not in the other, both ways.
fn difference(ours: &str, theirs: &str) -> (Vec<String>, Vec<String>) {
    let lines = |listing: &str| listing.lines().map(str::to_owned).collect::<BTreeSet<_>>();
    let (ours, theirs) = (lines(ours), lines(theirs));
    let only = |these: &BTreeSet<String>, those| these.difference(those).cloned().collect();
    (only(&ours, &theirs), only(&theirs, &ours))
}

/// The trees of all images, as the graph shows them.
fn listings(graph: &Graph, all: &[NodeId]) -> Vec<String> {
    all.iter().map(|id| listing_of(graph, id)).collect()
}

#[test]
fn o4_a_layer_on_an_image_of_2015_changes_no_image() -> Result {
    layergraph_tests::require!(root);
    layergraph_tests::require!(program "tar");
    let (store, expected) = (unpacked(of_driver("root.tar.gz")), expected());
    let graph = store.open();
    let all: Vec<NodeId> = images(&expected)
        .iter()
        .map(|(_, image)| parse(&image["id"]))
        .collect();
    let before = listings(&graph, &all);
    let tar = layer(&["new/", "new/f = 12345", ".wh.data", "bin/su = other"]);
    for (number, parent) in (1..).zip(&all) {
        let child = id(number);
        let registered = graph.register(&image(&child, Some(parent)), Some(&mut &tar[..]))?;
        assert_eq!(registered.size(), 10);
        let grandchild = id(number + 100);
        graph.register(&image(&grandchild, Some(&child)), Some(&mut &tar[..]))?;
        assert_eq!(listings(&graph, &all), before);

        // By another graph, which knows only what is on disk.
        let graph = open(store.root());
        let node = graph.get(&child.to_string())?;
        let (more, less) = difference(&listing_of(&graph, &child), &listing_of(&graph, parent));
        let has_all = listing_of(&graph, parent).contains("\nbin/su\t");
        let names = |lines: &[String]| -> Vec<String> {
            let names = lines
                .iter()
                .map(|line| line.split('\t').next().unwrap_or_default());
            names.map(str::to_owned).collect()
        };
        let changes = graph.changes(&node)?;
        let mut changes: Vec<String> = changes.iter().map(ToString::to_string).collect();
        changes.sort();
        if has_all {
            assert_eq!(names(&more), ["bin/su", "new", "new/f"]);
            assert_eq!(names(&less), ["bin/su", "data", "data/frac", "data/xattr"]);
            let listed = ["A /new", "A /new/f", "C /bin", "C /bin/su", "D /data"];
            assert_eq!(changes, listed);
        } else {
            assert_eq!(names(&more), ["bin", "bin/su", "new", "new/f"]);
            assert!(less.is_empty(), "{less:?}");
            assert_eq!(changes, ["A /bin", "A /bin/su", "A /new", "A /new/f"]);
        }
        assert_eq!(graph.diff_size(&node)?, 10);
        let mut exported = Vec::new();
        assert!(graph.tar_layer(&node, &mut exported)?.exact);
        assert!(exported == tar);
        assert_eq!(listing_of(&graph, &grandchild), listing_of(&graph, &child));
        let deleted = graph.delete(&parent.to_string(), DeleteOptions::default());
        assert_eq!(kind(deleted), GraphErrorKind::InUse);
    }
    Ok(())
}

/// Reads the listing of an image as it was recorded.
fn recorded(name: &str) -> Result<String> {
    let path = crate::reference::data(of_driver(&format!("{name}.listing")));
    Ok(std::fs::read_to_string(path)?)
}

#[test]
fn o4_a_hard_link_to_a_file_of_an_image_of_2015_leaves_that_alone() -> Result {
    layergraph_tests::require!(root);
    layergraph_tests::require!(program "tar");
    let (store, expected) = (unpacked(of_driver("root.tar.gz")), expected());
    let graph = store.open();
    let on_disk =
        |store: &Store, name: &str| everything(&store.files(&parse(&expected["ids"][name])));
    let names = ["base", "child1", "child2", "grand"];
    let before = names.map(|name| on_disk(&store, name));
    // As in the layer of hardlink_metadata.json: a further name that states other metadata. Of the
    // file several images of 2015 have names.
    let link = NewMember {
        link: b"bin/hard1",
        mode: 0o4711,
        uid: 77,
        gid: 78,
        mtime: UNIX_EPOCH + Duration::from_secs(1_433_117_799),
        ..NewMember::new(b"h", Kind::HardLink)
    };
    let mut writer = Writer::new(Vec::new());
    writer.append(&link, io::empty())?;
    let tar = writer.finish()?;
    let parent = parse(&expected["ids"]["child1"]);
    let child = graph.register(&image(&id(1), Some(&parent)), Some(&mut &tar[..]))?;

    let shown = listing_of(&graph, &id(1));
    let of = |path: &str| -> Vec<&str> {
        let mut rows = shown.lines().map(|row| row.split('\t').collect::<Vec<_>>());
        let row = rows.find(|row| row[0] == path).unwrap_or_default();
        row.into_iter().skip(1).collect()
    };
    let (file, link) = (of("bin/hard1"), of("h"));
    assert_eq!(file[1..3], ["4711", "77:78"]);
    assert_eq!((&file[..5], "bin/hard1"), (&link[..5], link[5]));
    // U8: the other name that it had is another file now.
    assert_eq!(of("bin/hard2")[1..3], ["0640", "7:8"]);
    let changes = graph.changes(&child)?;
    let mut changes: Vec<String> = changes.iter().map(ToString::to_string).collect();
    changes.sort();
    assert_eq!(changes[0], "A /h");
    assert!(changes.contains(&"C /bin/hard1".to_owned()), "{changes:?}");

    for (name, before) in names.iter().zip(&before) {
        assert!(on_disk(&store, name) == *before, "{name}");
        let listing = listing_of(&graph, &parse(&expected["ids"][*name]));
        assert_eq!(listing, recorded(name)?, "{name}");
    }
    Ok(())
}

#[test]
fn a_layer_on_that_of_a_container_of_2015_keeps_it_and_its_image() -> Result {
    layergraph_tests::require!(root);
    layergraph_tests::require!(program "tar");
    let (store, expected) = (unpacked(of_driver("root.tar.gz")), expected());
    let graph = store.open();
    let driver = graph.driver();
    let container = text(&expected["container_init"]);
    let mut on_container = image(&id(1), None);
    container.clone_into(&mut on_container.parent);
    let tar = layer(&["new = 1", ".wh.dev"]);
    let node = graph.register(&on_container, Some(&mut &tar[..]))?;
    let listing = listing_of(&graph, &id(1));
    let (more, less) = difference(&listing, &recorded("container_init")?);
    assert_eq!(more.len(), 1);
    assert!(less.iter().all(|line| line.starts_with("dev")), "{less:?}");
    let changes: Vec<String> = graph
        .changes(&node)?
        .iter()
        .map(ToString::to_string)
        .collect();
    assert_eq!(changes, ["D /dev", "A /new"]);
    let removed = driver.remove(&container.parse()?);
    assert!(removed.is_err_and(|error| error.kind() == layergraph_driver::DriverErrorKind::InUse));
    // O2: forced, the image of the container stays for it.
    let child1 = parse(&expected["ids"]["child1"]);
    graph.delete(&child1.to_string(), crate::support::forced())?;
    assert_eq!(listing_of(&graph, &id(1)), listing);
    graph.delete(&id(1).to_string(), DeleteOptions::default())?;
    assert!(store.tree(&child1).exists());
    for container in ["container", "container_init"] {
        driver.remove(&text(&expected[container]).parse()?)?;
    }
    open(store.root());
    assert!(!store.tree(&child1).exists());
    Ok(())
}
