//! `listing`, against listings that the original made.

use std::fs;
use std::path::{Path, PathBuf};

use layergraph_tests::require;

use crate::support::{Home, Result, listing, say};

fn data(case: &str, file: &str) -> PathBuf {
    Path::new("tests/data").join(case).join(file)
}

#[test]
fn a_layer_over_a_tree_lists_as_the_original_listed_it() -> Result {
    require!(root);
    for case in ["add", "type_changes"] {
        let home = Home::new()?;
        let tree = home.path("tree");
        for layer in ["old.tar", "diff.tar"] {
            say(&[&"unpack", &data(case, layer), &tree])?.done();
        }
        assert_eq!(
            listing(&tree)?,
            fs::read_to_string(data(case, "result.listing"))?,
            "{case}"
        );
    }
    Ok(())
}

/// Who unpacks is then not asked for, and devices are files with a record.
#[test]
fn a_squashed_tree_lists_as_what_it_stands_for() -> Result {
    for case in ["add", "type_changes"] {
        let home = Home::new()?;
        let tree = home.path("tree");
        let how = "--ownership=squash";
        for layer in ["old.tar", "diff.tar"] {
            let layer = data(case, layer);
            say(&[&"unpack", &how, &layer, &tree])?.done();
        }
        let said = say(&[&"listing", &how, &tree])?.done();
        assert_eq!(
            said.text(),
            fs::read_to_string(data(case, "result.listing"))?,
            "{case}"
        );

        let as_on_disk = listing(&tree)?;
        assert!(
            as_on_disk.contains("user.containers.override_stat="),
            "{case}"
        );
    }
    Ok(())
}
