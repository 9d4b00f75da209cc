//! The file `layergraph.json`: what is known in it, and what is not.

use layergraph::archive::Ownership;
use layergraph::{DriverChoice, FormatError, OpenError, StoreOptions};
use layergraph_tests::names;

use crate::support::{Place, Result};

/// Opens a root with this file in it, whether a store may be made or not.
fn open(text: &str, check: impl Fn(&FormatError)) -> Result {
    for create in [true, false] {
        let place = Place::with_format(text)?;
        match StoreOptions::new().create(create).open_graph(&place.root()) {
            Err(OpenError::Format(error)) => check(&error),
            other => panic!("{text}: {other:?}"),
        }
        // What cannot be understood is left as it is.
        assert_eq!(place.format().as_deref(), Some(text));
        assert_eq!(names(&place.root())?, ["layergraph.json"]);
    }
    Ok(())
}

#[test]
fn the_file_of_a_squashed_store_is_this() -> Result {
    let place = Place::new()?;
    StoreOptions::new()
        .driver(DriverChoice::Named("vfs".to_owned()))
        .ownership(Ownership::Squash)
        .open_graph(&place.root())?;
    let expected = "{\"version\":1,\"features\":{\"compatible\":[],\"read-only-compatible\":[],\
                    \"incompatible\":[\"ownership=squash\",\"driver=vfs\"]}}\n";
    assert_eq!(place.format().as_deref(), Some(expected));
    Ok(())
}

#[test]
fn a_file_that_is_damaged_is_refused() -> Result {
    let long = format!(
        "{{\"version\":1,\"features\":{{}},\"more\":\"{}\"}}",
        "x".repeat(70_000)
    );
    for text in [
        "",
        "{",
        "[]",
        "{}",
        "{\"version\":\"1\",\"features\":{}}",
        "{\"version\":1}",
        "{\"version\":1,\"features\":{\"incompatible\":[1]}}",
        "{\"version\":1,\"features\":{}} {}",
        &long,
    ] {
        open(text, |error| {
            assert!(
                matches!(error, FormatError::Unreadable { .. }),
                "{text}: {error:?}"
            );
            assert!(
                error.to_string().ends_with("/store/layergraph.json"),
                "{error}"
            );
        })?;
    }
    Ok(())
}

#[test]
fn another_version_is_refused() -> Result {
    for version in [0, 2, u32::MAX] {
        open(
            &format!("{{\"version\":{version},\"features\":{{}}}}"),
            |error| {
                assert!(
                    matches!(error, FormatError::Version { version: found, .. } if *found == version)
                );
            },
        )?;
    }
    // Even one whose features nobody here could read.
    open(
        "{\"version\":2,\"features\":[\"of another kind\"]}",
        |error| {
            assert!(
                matches!(error, FormatError::Version { version: 2, .. }),
                "{error:?}"
            );
        },
    )
}

#[test]
fn an_unknown_feature_is_refused_unless_it_may_be_ignored() -> Result {
    for kind in ["incompatible", "read-only-compatible"] {
        for feature in [
            "magic",
            "ownership=magic",
            "ownership=",
            "Ownership=squash",
            "",
        ] {
            let text = format!("{{\"version\":1,\"features\":{{\"{kind}\":[\"{feature}\"]}}}}");
            open(&text, |error| {
                let found = matches!(error, FormatError::Feature { feature: found, .. } if found == feature);
                assert!(found, "{error:?}");
            })?;
        }
    }
    let text = "{\"version\":1,\"features\":{\"compatible\":[\"magic\"],\"incompatible\":[]}}";
    let place = Place::with_format(text)?;
    let graph = StoreOptions::new()
        .create(false)
        .open_graph(&place.root())?;
    assert_eq!(graph.driver().ownership(), Ownership::Preserve);
    assert_eq!(place.format().as_deref(), Some(text));
    Ok(())
}

#[test]
fn a_store_made_for_a_driver_is_opened_with_that_one() -> Result {
    let text =
        "{\"version\":1,\"features\":{\"incompatible\":[\"driver=vfs\",\"ownership=squash\"]}}";
    let place = Place::with_format(text)?;
    let graph = StoreOptions::new().open_graph(&place.root())?;
    assert_eq!(graph.driver().name(), "vfs");
    assert_eq!(graph.driver().ownership(), Ownership::Squash);
    for other in ["overlay", ""] {
        let named = DriverChoice::Named(other.to_owned());
        let refused = StoreOptions::new().driver(named).open_graph(&place.root());
        assert!(
            matches!(&refused, Err(OpenError::Format(FormatError::Driver { found, wanted }))
                if found == "vfs" && wanted == other),
            "{refused:?}"
        );
    }
    Ok(())
}

/// A link there would have another file decide; a directory is none.
#[test]
fn r11_the_file_is_a_regular_file_in_the_root() -> Result {
    let place = Place::new()?;
    std::fs::create_dir(place.root())?;
    let elsewhere = place.root().with_extension("json");
    std::fs::write(&elsewhere, "{\"version\":1,\"features\":{}}")?;
    std::os::unix::fs::symlink(&elsewhere, place.root().join("layergraph.json"))?;
    let refused = StoreOptions::new().open_graph(&place.root());
    assert!(
        matches!(refused, Err(OpenError::Format(FormatError::Fs(_)))),
        "{refused:?}"
    );
    assert_eq!(names(&place.root())?, ["layergraph.json"]);
    Ok(())
}
