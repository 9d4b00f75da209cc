//! Layers that are prepared before their nodes are made.

use layergraph_core::{Graph, GraphErrorKind, LayerOptions, Onto};
use layergraph_image::NodeId;

use crate::support::{Store, id, image, layer, register};

type Result = std::result::Result<(), Box<dyn std::error::Error>>;

fn prepare(
    graph: &Graph,
    onto: Onto<'_>,
) -> layergraph_core::Result<layergraph_core::PreparedLayer> {
    let mut layer = &layer(&["f"])[..];
    graph.prepare(&id(7), onto, &mut layer, &LayerOptions::default())
}

#[test]
fn a_layer_lands_only_on_the_parent_it_was_prepared_on() -> Result {
    let store = Store::new()?;
    let graph = store.open();
    for number in [1, 2] {
        register(&graph, &id(number), None)?;
    }
    let (one, two): (NodeId, NodeId) = (id(1), id(2));
    for (onto, named) in [
        (Onto::Node(&one), Some(&two)),
        (Onto::Node(&one), None),
        (Onto::Nothing, Some(&two)),
    ] {
        let prepared = prepare(&graph, onto)?;
        let error = graph
            .land(prepared, &image(&id(7), named))
            .expect_err("another parent");
        assert_eq!(error.kind(), GraphErrorKind::NotSupported);
        assert!(!graph.exists(&id(7).to_string())?);
    }
    let node = graph.land(
        prepare(&graph, Onto::Node(&one))?,
        &image(&id(7), Some(&one)),
    )?;
    assert_eq!(graph.depth(&node)?, 2);
    Ok(())
}

#[test]
fn a_mark_is_that_of_a_prepared_layer_and_of_no_registered_one() -> Result {
    let store = Store::new()?;
    let graph = store.open();
    let prepared = prepare(&graph, Onto::Nothing)?;
    prepared.mark(b"mine")?;
    let node = graph.land(prepared, &image(&id(7), None))?;
    assert_eq!(graph.mark(&node.id())?.as_deref(), Some(&b"mine"[..]));
    register(&graph, &id(1), None)?;
    assert_eq!((graph.mark(&id(1))?, graph.mark(&id(9))?), (None, None));
    Ok(())
}
