//! Stores whose owners are mapped: by which ranges is fixed when they are made.

use std::fs;
use std::os::unix::fs::MetadataExt;

use layergraph::archive::Ownership;
use layergraph::tar::{Kind, NewMember, Writer};
use layergraph::{FormatError, Graph, GraphErrorKind, NewNode, OpenError, StoreOptions};
use layergraph_tests::{names, require};

use crate::support::{Place, Result};

fn mapped(users: &[&str], groups: &[&str]) -> Result<Ownership> {
    let [users, groups] = [users, groups].map(|ranges| {
        let parsed: std::result::Result<Vec<_>, _> =
            ranges.iter().map(|range| range.parse()).collect();
        parsed
    });
    Ok(Ownership::mapped(users?, groups?)?)
}

fn options(users: &[&str], groups: &[&str]) -> Result<StoreOptions> {
    Ok(StoreOptions::new().ownership(mapped(users, groups)?))
}

/// Makes the text of a file with these features.
fn format(features: &[&str]) -> String {
    let features: Vec<String> = features
        .iter()
        .map(|feature| format!("\"{feature}\""))
        .collect();
    let features = features.join(",");
    format!(
        "{{\"version\":1,\"features\":{{\"compatible\":[],\"read-only-compatible\":[],\
         \"incompatible\":[{features}]}}}}\n"
    )
}

#[test]
fn the_file_of_a_mapped_store_is_this() -> Result {
    let place = Place::new()?;
    let ranges = ["1:200000:65535", "0:1000:1"];
    options(&ranges, &["0:100000:65536"])?.open_graph(&place.root())?;
    let whiteouts = match layergraph::fs::effective_user() {
        0 => "whiteouts=trusted",
        _ => "whiteouts=user",
    };
    let expected = format(&[
        "ownership=mapped",
        "uid-map=0:1000:1,1:200000:65535",
        "gid-map=0:100000:65536",
        whiteouts,
        "driver=overlay",
    ]);
    assert_eq!(place.format(), Some(expected));
    Ok(())
}

#[test]
fn a_mapped_store_has_the_ranges_it_was_made_with() -> Result {
    let place = Place::new()?;
    let (one, groups) = (["0:100000:65536"], ["0:300000:65536"]);
    let made = options(&one, &groups)?.open_graph(&place.root())?;
    assert_eq!(made.driver().ownership(), mapped(&one, &groups)?);
    let before = place.format();

    // Who does not ask gets them, and who asks for the same in other pieces.
    let pieces = ["30000:130000:35536", "0:100000:30000"];
    for options in [StoreOptions::new(), options(&pieces, &groups)?] {
        let again = options.open_graph(&place.root())?;
        assert_eq!(again.driver().ownership(), mapped(&one, &groups)?);
    }
    for (users, groups) in [
        (&["0:100000:65535"][..], &groups[..]),
        (&["0:100001:65536"], &groups),
        (&one, &["0:300000:65535"]),
        (&groups, &one),
    ] {
        let refused = options(users, groups)?.open_graph(&place.root());
        let Err(OpenError::Format(error @ FormatError::Ids { .. })) = refused else {
            panic!("{refused:?}");
        };
        let text = error.to_string();
        assert!(
            text.contains("uid-map=0:100000:65536 gid-map=0:300000:65536, not by "),
            "{text}"
        );
        assert_eq!(place.format(), before);
    }
    for other in [Ownership::Preserve, Ownership::Squash] {
        let refused = StoreOptions::new()
            .ownership(other)
            .open_graph(&place.root());
        let is_other = matches!(
            refused,
            Err(OpenError::Format(FormatError::Ownership {
                found: "mapped",
                ..
            }))
        );
        assert!(is_other, "{refused:?}");
    }
    Ok(())
}

#[test]
fn ranges_that_no_store_was_made_with_are_refused_and_left_alone() -> Result {
    for features in [
        &["ownership=mapped"][..],
        &["ownership=mapped", "uid-map=0:0:1"],
        &["ownership=mapped", "gid-map=0:0:1"],
        &["ownership=mapped", "uid-map=0:0:1", "gid-map="],
        &["ownership=mapped", "uid-map=0:0:1", "gid-map=1:0:1"],
        &["ownership=mapped", "uid-map=0:0:1,0:5:1", "gid-map=0:0:1"],
        &["ownership=mapped", "uid-map=0:0:1,", "gid-map=0:0:1"],
        &[
            "ownership=mapped",
            "uid-map=0:0:4294967296",
            "gid-map=0:0:1",
        ],
        &["ownership=squash", "uid-map=0:0:1", "gid-map=0:0:1"],
        &["uid-map=0:0:1", "gid-map=0:0:1"],
        // What is said twice.
        &["ownership=squash", "ownership=preserve"],
        &[
            "ownership=mapped",
            "uid-map=0:0:1",
            "uid-map=0:5:1",
            "gid-map=0:0:1",
        ],
    ] {
        let text = format(features);
        let place = Place::with_format(&text)?;
        let refused = StoreOptions::new().open_graph(&place.root());
        let is_invalid = matches!(
            refused,
            Err(OpenError::Format(FormatError::InvalidOwnership { .. }))
        );
        assert!(is_invalid, "{features:?}: {refused:?}");
        assert_eq!(place.format(), Some(text));
        assert_eq!(names(&place.root())?, ["layergraph.json"]);
    }
    Ok(())
}

fn layer(entries: &[(&str, u32, u32)]) -> Result<Vec<u8>> {
    let mut layer = Writer::new(Vec::new());
    for (path, uid, gid) in entries {
        let member = NewMember {
            mode: 0o644,
            uid: *uid,
            gid: *gid,
            ..NewMember::new(path.as_bytes(), Kind::File)
        };
        layer.append(&member, std::io::empty())?;
    }
    Ok(layer.finish()?)
}

fn register(graph: &Graph, parent: Option<&str>, layer: &[u8]) -> Result<String> {
    let mut new = NewNode::default();
    new.parent = parent.map(str::parse).transpose()?;
    let mut layer = layer;
    Ok(graph.create(&new, Some(&mut layer))?.id().to_string())
}

#[test]
fn r23_a_mapped_store_keeps_owners_by_its_ranges_and_gives_layers_out_in_their_own() -> Result {
    require!(root);
    let (mapped_place, preserved_place) = (Place::new()?, Place::new()?);
    let stores = [
        options(&["0:100000:1000"], &["0:200000:1000"])?.open_graph(&mapped_place.root())?,
        StoreOptions::new()
            .ownership(Ownership::Preserve)
            .open_graph(&preserved_place.root())?,
    ];
    let layers = [
        layer(&[("f", 7, 8), ("d/g", 0, 999)])?,
        layer(&[("d/h", 999, 0), (".wh.f", 0, 0)])?,
    ];
    let mut given_out = Vec::new();
    for graph in &stores {
        let base = register(graph, None, &layers[0])?;
        let next = register(graph, Some(&base), &layers[1])?;
        for id in [base, next] {
            let mut layer = Vec::new();
            graph.tar_layer(&graph.get(&id)?, &mut layer)?;
            given_out.push((graph.changes(&graph.get(&id)?)?, layer));
        }
    }
    let (from_mapped, from_preserved) = given_out.split_at(2);
    assert!(from_mapped == from_preserved);

    let graph = &stores[0];
    let id = register(graph, None, &layers[0])?;
    let tree = mapped_place.root().join("overlay").join(&id).join("diff");
    for (path, owner) in [("", (100_000, 200_000)), ("f", (100_007, 200_008))] {
        let on_disk = fs::symlink_metadata(tree.join(path))?;
        assert_eq!((on_disk.uid(), on_disk.gid()), owner, "{path}");
    }

    let before = names(&mapped_place.root().join("overlay"))?;
    let refused = register(graph, None, &layer(&[("f", 1000, 0)])?).expect_err("in no range");
    let refused = refused.downcast::<layergraph::GraphError>()?;
    assert_eq!(refused.kind(), GraphErrorKind::Layer);
    assert_eq!(names(&mapped_place.root().join("overlay"))?, before);
    Ok(())
}
