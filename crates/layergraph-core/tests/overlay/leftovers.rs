//! Trees that are mounted while their nodes go.

use layergraph_core::DeleteOptions;
use layergraph_driver::MountOptions;

use crate::hooked::{Hooked, once_at};
use crate::kept;
use crate::support::{Result, Store, forced, id, layer_id, open_driver, open_with, register_all};

/// A tree is mounted before its node is deleted by force, or at the last moment before the tree
/// goes. It stays mounted, whoever sweeps, and goes when it is not any more.
#[test]
fn a_mounted_tree_outlives_its_node_and_goes_when_it_is_unmounted() -> Result {
    layergraph_tests::require!(that(kept::CAN_MOUNT)());
    for is_late in [false, true] {
        let store = Store::new()?;
        register_all(&store.open(), &[(1, None), (2, Some(1))])?;
        let driver = open_driver(store.root());
        let mount = move || {
            let mounted = driver.mount(&layer_id(&id(2)), &MountOptions::default());
            mounted.expect("it is there")
        };
        let (graph, options) = if is_late {
            let hook = once_at("remove", move || drop(mount()));
            let driver = Hooked::open(store.root(), hook);
            (open_with(store.root(), driver), DeleteOptions::default())
        } else {
            mount();
            (store.open(), forced())
        };
        let deleted = graph.delete(&id(2).to_string(), options)?;
        assert_eq!(deleted.leftover.is_some(), is_late);
        for _ in 0..2 {
            assert_eq!(store.open().map()?.by_id.len(), 1);
            let file = kept::mounted(store.root(), &id(2).to_string()).join("f-ab02");
            assert!(file.exists(), "it is still mounted");
        }
        graph.driver().unmount(&layer_id(&id(2)))?;
        let graph = store.open();
        assert!(!store.tree(&id(2)).exists());
        graph.delete(&id(1).to_string(), DeleteOptions::default())?;
        assert!(store.contents().is_empty());
    }
    Ok(())
}
