//! The archives of the reference: what the original made of each, and where we are better.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use layergraph_archive::UnpackError;
use serde::Deserialize;
use tempfile::TempDir;

use crate::support::{apply, listing_of};

#[derive(Deserialize)]
struct Reference {
    before_listing: Vec<String>,
    cases: BTreeMap<String, Case>,
}

#[derive(Deserialize)]
struct Case {
    apply: Answer,
}

#[derive(Deserialize)]
struct Answer {
    result: Reply,
    added_rows: Vec<String>,
    removed_rows: Vec<String>,
}

#[derive(Deserialize)]
enum Reply {
    #[serde(rename = "ok")]
    Ok(u64),
    #[serde(rename = "err")]
    Err(String),
}

/// What we do where the original did otherwise; docs/compatibility.md has the rules.
enum Rule {
    /// The layer is refused (U1, U2).
    Refused,
    /// These lines are in our listing, in place of those with the same paths (U3 to U10).
    Instead(&'static [&'static str]),
}

fn rule(case: &str) -> Option<Rule> {
    use Rule::{Instead, Refused};
    Some(match case {
        // U1: a whiteout has a name, and is no directory.
        "wh_dotdot"
        | "wh_dotdot_at_root"
        | "wh_empty_name"
        | "wh_empty_name_at_root"
        | "wh_as_directory" => Refused,
        // U3: what only entries in it imply has mode 0755.
        "implied_parents" => Instead(&["p/q\td\t0755\t0:0\t-\t-\t-\t-"]),
        "pax_overrides" => Instead(&["real\td\t0755\t0:0\t-\t-\t-\t-"]),
        // U4: a whiteout makes nothing, and removes nothing that the layer itself made.
        "wh_missing" => Instead(&["!x", "!x/y"]),
        // U10: what no file system of Linux takes is dropped.
        "wh_after_add" | "xattr_bad_namespace" => Instead(&[
            "n\tf\t0644\t0:0\t1:1b16b1df538ba12dc3f97edbb85caa7050d46c148134290feba80f8236c83db9\t1433116800.000000000\t-\t-",
        ]),
        // U5: opaque markers are understood.
        "opaque_in_dir" | "opaque_after_add" => Instead(&["!d/a", "!d/sub", "!d/sub/x"]),
        "opaque_at_root" => Instead(&[
            "!d", "!d/a", "!d/sub", "!d/sub/x", "!dl", "!f", "!other", "!other/o",
        ]),
        // U6: of AUFS's own directory nothing stays, and its links are links.
        "aufs_plnk" => Instead(&[
            "!.wh..wh.plnk",
            "l2\tf\t0640\t1:2\t2:d53315bea08cec50d2591fcaf3b32dc5d289cdc6c16b7e8bed8c8e3f7ceaa34e\t1433116807.000000000\tl1\t-",
        ]),
        // U7: half a second before -1 is -1.5.
        "pax_negative_mtime" => Instead(&[
            "n\tf\t0644\t0:0\t1:1b16b1df538ba12dc3f97edbb85caa7050d46c148134290feba80f8236c83db9\t-2.500000000\t-\t-",
        ]),
        // U10: what a link cannot have is dropped.
        "xattr_user_on_symlink" => Instead(&["s\tl\t-\t0:0\tf\t1433116800.000000000\t-\t-"]),
        _ => return None,
    })
}

#[test]
fn each_archive_of_the_reference_gives_what_the_original_gave_or_falls_under_a_rule() {
    layergraph_tests::require!(root);
    let data = Path::new("tests/data/unpack");
    let text = fs::read_to_string(data.join("expected.json")).expect("the reference is there");
    let reference: Reference = serde_json::from_str(&text).expect("the reference is JSON");
    let before = fs::read(data.join("before.tar")).expect("the tree before");
    for (name, case) in &reference.cases {
        let directory = TempDir::new().expect("a temporary directory");
        apply(&before, directory.path()).expect("the tree before is plain");
        let path = directory.path();
        fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(0o755))
            .expect("it is ours");
        assert_eq!(
            listing_of(path).lines().collect::<Vec<_>>(),
            reference.before_listing
        );

        let tar = fs::read(data.join(format!("{name}.tar"))).expect("the archive of the case");
        let result = apply(&tar, path);
        check(
            name,
            &case.apply,
            rule(name),
            result.map(|done| done.size),
            path,
            &reference,
        );
    }
}

#[track_caller]
fn check(
    name: &str,
    answer: &Answer,
    rule: Option<Rule>,
    result: Result<u64, UnpackError>,
    path: &Path,
    reference: &Reference,
) {
    let instead = match (rule, &answer.result) {
        (Some(Rule::Refused), _) => {
            result.expect_err(name);
            return;
        }
        (None, Reply::Err(message)) => {
            let error = result.expect_err(&format!("{name}: the original said {message}"));
            assert!(!error.to_string().is_empty(), "{name}");
            return;
        }
        (Some(Rule::Instead(rows)), _) => rows,
        (None, Reply::Ok(_)) => &[],
    };
    let size = result.unwrap_or_else(|error| panic!("{name}: {error}"));
    if let Reply::Ok(expected) = answer.result {
        assert_eq!(size, expected, "the size of {name}");
    }
    let mut rows: BTreeMap<&str, &str> = BTreeMap::new();
    for row in &reference.before_listing {
        rows.insert(path_of(row), row);
    }
    for row in &answer.removed_rows {
        rows.remove(path_of(row));
    }
    for row in &answer.added_rows {
        rows.insert(path_of(row), row);
    }
    for row in instead {
        match row.strip_prefix('!') {
            Some(path) => _ = rows.remove(path),
            None => _ = rows.insert(path_of(row), row),
        }
    }
    let listing = listing_of(path);
    let ours: BTreeMap<&str, &str> = listing.lines().map(|row| (path_of(row), row)).collect();
    assert_eq!(ours, rows, "the tree of {name}");
}

fn path_of(row: &str) -> &str {
    row.split('\t').next().unwrap_or(row)
}
