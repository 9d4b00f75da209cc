//! Mounting the tree of a node.

use std::fs;
use std::sync::Arc;

use layergraph_core::{DeleteOptions, GraphErrorKind};
use layergraph_driver::conformance::ModelDriver;
use layergraph_driver::{DriverOptions, MountOptions};

use crate::kept;
use crate::support::{Result, Store, id, image, kind, layer_id, open_with, register, register_all};

#[test]
fn a_mounted_node_is_found_under_its_path_with_all_that_is_below_it() -> Result {
    layergraph_tests::require!(that(kept::CAN_MOUNT)());
    let store = Store::in_memory()?;
    let graph = store.open();
    register_all(&graph, &[(1, None), (2, Some(1))])?;
    let before = store.contents();
    for _ in 0..2 {
        let path = graph.mount(&id(2), &MountOptions::default())?;
        assert_eq!(path, kept::mounted(store.root(), &id(2).to_string()));
        for number in [1, 2] {
            let text = fs::read_to_string(path.join(format!("f-ab0{number}")))?;
            assert_eq!(text, id(number).to_string());
        }
        graph.unmount(&id(2))?;
    }
    assert!(store.contents() == before);
    Ok(())
}

#[test]
fn what_is_not_there_or_not_possible_is_not_mounted() -> Result {
    let store = Store::in_memory()?;
    let graph = store.open();
    let plain = MountOptions::default();
    for mounted in [
        kind(graph.mount(&id(1), &plain)),
        kind(graph.unmount(&id(1))),
    ] {
        assert_eq!(mounted, GraphErrorKind::NotFound);
    }
    register(&graph, &id(1), None)?;
    let mut elsewhere = MountOptions::default();
    elsewhere.target = Some(store.path("nowhere"));
    let error = graph
        .mount(&id(1), &elsewhere)
        .expect_err("there is nothing");
    let expected = if kept::INDEPENDENT {
        GraphErrorKind::Failed
    } else {
        GraphErrorKind::NotSupported
    };
    assert_eq!(error.kind(), expected);
    assert!(error.to_string().contains(&id(1).to_string()), "{error}");
    graph.delete(&id(1).to_string(), DeleteOptions::default())?;
    assert_eq!(kind(graph.mount(&id(1), &plain)), GraphErrorKind::NotFound);
    Ok(())
}

#[test]
fn a_driver_mounts_as_often_as_it_is_asked_and_unmounts_as_often() -> Result {
    let store = Store::in_memory()?;
    let driver = ModelDriver::new(&DriverOptions::default())?;
    let graph = open_with(store.root(), Arc::new(driver.clone()));
    graph.register(&image(&id(1), None), None)?;
    for times in 1..=2 {
        graph.mount(&id(1), &MountOptions::default())?;
        assert_eq!(driver.mounts(), [(layer_id(&id(1)), times)]);
    }
    for _ in 0..2 {
        assert_eq!(driver.mounts().len(), 1);
        graph.unmount(&id(1))?;
    }
    assert!(driver.mounts().is_empty());
    assert!(driver.misuses().is_empty(), "{:?}", driver.misuses());
    Ok(())
}
