//! A store that we write, against the one that the original wrote, file by file.

use std::fs;
use std::path::{Path, PathBuf};

use layergraph_digest::parse_checksum;
use layergraph_image::NodeId;

use crate::reference::{expected, text, texts, unpacked};
use crate::reference_anew::register;
use crate::support::{Contents, Store, everything, forced};

/// What we have in a store and the original had not.
const OURS: &[&str] = &["lock", "vfs/.staging", "vfs/.trash"];

/// All of a store but for what is in the trees, and the trees of containers.
fn outline(store: &Store, containers: &[&str]) -> Contents {
    let mut contents = everything(store.root());
    contents.retain(|path, _| match path.strip_prefix("vfs/dir") {
        Ok(tree) => {
            let is_container = containers.iter().any(|id| tree == Path::new(id));
            tree.components().count() < 2 && !is_container
        }
        Err(_) => true,
    });
    contents
}

#[test]
fn what_we_write_is_what_the_original_wrote() {
    layergraph_tests::require!(root);
    layergraph_tests::require!(program "tar");
    let (theirs, expected) = (unpacked("vfs/root.tar.gz"), expected());
    let store = Store::new().unwrap();
    let graph = store.open();
    for name in texts(&expected["order"]) {
        register(&graph, name);
    }
    graph.delete("dead", forced()).unwrap();
    for name in ["base", "grand"] {
        let image = &expected["images"][name];
        let id = NodeId::parse(text(&image["id"])).unwrap();
        let digest = parse_checksum(text(&image["digest"]["digest"])).unwrap();
        graph.set_digest(&id, &digest).unwrap();
    }
    drop(graph);

    let containers = [
        text(&expected["container"]),
        text(&expected["container_init"]),
    ];
    let mut ours = outline(&store, &containers);
    let mut theirs = outline(&theirs, &containers);
    for name in OURS {
        assert!(ours.remove(Path::new(name)).is_some(), "{name}");
    }
    let id = |name: &str| Path::new("graph").join(text(&expected["ids"][name]));
    // Before the store was packed, the size of child1 was removed, and what is no digest was set
    // for child2, which G4 does not let us do.
    let size = ours.remove(&id("child1").join("layersize"));
    assert_eq!(size, Some(('f', 0o600, b"109".to_vec())));
    let bad = theirs.remove(&id("child2").join("checksum"));
    assert_eq!(bad, Some(('f', 0o600, b"not a digest".to_vec())));
    // G5: what an interrupted run of the original left.
    theirs.retain(|path, _| !path.starts_with(Path::new("graph/_tmp").join("a".repeat(64))));

    // G14: the original knew no recipes.
    let before = ours.len();
    ours.retain(|path, _| !path.ends_with("tar-data.json.gz"));
    assert_eq!(before - ours.len(), 6);

    let names = |contents: &Contents| contents.keys().cloned().collect::<Vec<PathBuf>>();
    assert_eq!(names(&ours), names(&theirs));
    for (path, object) in &ours {
        assert_eq!(object, &theirs[path], "{}", path.display());
    }
    assert!(ours.len() > 30);
    let lock = fs::metadata(store.path("lock")).unwrap();
    assert_eq!(
        std::os::unix::fs::PermissionsExt::mode(&lock.permissions()) & 0o777,
        0o600
    );
}
