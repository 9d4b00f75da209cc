//! `layers`: the order of the crates. An arrow goes down, never up, never sideways.
//!
//! The table is that of docs/architecture.md; a crate that is not in it has no place yet. Only
//! declared dependencies matter here, so features and platforms cannot hide one.

use std::collections::BTreeMap;

use cargo_metadata::{DependencyKind, Metadata};

use crate::Result;
use crate::absent;
use crate::workspace;

/// Every crate that may exist, with its level. It may import what stands on a lower one.
const LEVELS: &[(&str, u8)] = &[
    ("layergraph-cli", 8),
    ("xtask", 8),
    ("layergraph-tests", 8),
    ("layergraph-driver-tests", 8),
    ("layergraph-benches", 8),
    ("layergraph-properties", 8),
    ("layergraph", 7),
    ("layergraph-store", 6),
    ("layergraph-oci", 6),
    ("layergraph-registry", 6),
    ("layergraph-core", 5),
    ("layergraph-driver-vfs", 4),
    ("layergraph-driver-overlay", 4),
    ("layergraph-driver", 3),
    ("layergraph-archive", 2),
    ("layergraph-tar", 1),
    ("layergraph-image", 1),
    ("truncindex", 0),
    ("layergraph-digest", 0),
    ("layergraph-fs", 0),
];

/// The level of what is not a library: it may use what it likes from outside.
const TOP: u8 = 8;

/// What a crate must not reach although the levels would let it, directly or through others.
const APART: &[(&str, &str, &str)] = &[
    (
        "layergraph-tar",
        "layergraph-fs",
        "tar knows bytes and no directory",
    ),
    (
        "layergraph-image",
        "layergraph-fs",
        "image does no file I/O",
    ),
    (
        "layergraph-core",
        "layergraph-driver-vfs",
        "core knows no driver by name",
    ),
    (
        "layergraph-core",
        "layergraph-driver-overlay",
        "core knows no driver by name",
    ),
];

/// Foreign crates that only these of ours may build on.
const FOREIGN: &[(&str, &[&str])] = &[
    ("digest", &["layergraph-digest"]),
    ("sha2", &["layergraph-digest"]),
    ("libc", &["layergraph-fs", "layergraph-driver-overlay"]),
    ("nix", &["layergraph-fs", "layergraph-driver-overlay"]),
    ("rustix", &["layergraph-fs", "layergraph-driver-overlay"]),
    // Our own is the only tar parser and writer; tests may take another for its opinion.
    ("tar", &[]),
];

/// May be dev-dependencies of any crate, and the first of the other: what tests share.
const TEST_SUPPORT: [&str; 2] = ["layergraph-tests", "layergraph-driver-tests"];

/// A dependency as a manifest states it.
#[derive(Debug, Clone)]
struct Dependency {
    name: String,
    dev: bool,
}

/// The members of the workspace with what their manifests ask for.
type Graph = BTreeMap<String, Vec<Dependency>>;

/// Checks the manifests and the sources, and prints each thing out of place.
pub(crate) fn run() -> Result {
    workspace::report("layers", &findings()?)
}

fn findings() -> Result<Vec<String>> {
    let mut found = check(&graph(&workspace::metadata()?));
    found.extend(absent::check(&workspace::text_files()?));
    Ok(found)
}

fn graph(metadata: &Metadata) -> Graph {
    let dependency = |d: &cargo_metadata::Dependency| Dependency {
        name: d.name.clone(),
        dev: d.kind == DependencyKind::Development,
    };
    metadata
        .workspace_packages()
        .into_iter()
        .map(|p| {
            (
                p.name.to_string(),
                p.dependencies.iter().map(dependency).collect(),
            )
        })
        .collect()
}

fn level(name: &str) -> Option<u8> {
    LEVELS
        .iter()
        .find(|(known, _)| *known == name)
        .map(|&(_, level)| level)
}

fn check(graph: &Graph) -> Vec<String> {
    let mut found = Vec::new();
    for (from, dependencies) in graph {
        let Some(upper) = level(from) else {
            found.push(format!("{from}: not in the table of layers"));
            continue;
        };
        for to in dependencies {
            found.extend(if graph.contains_key(&to.name) {
                check_arrow(from, upper, to)
            } else {
                check_foreign(from, upper, to)
            });
        }
    }
    for (from, to, why) in APART {
        if let Some(path) = path(graph, from, to) {
            found.push(format!("{}: {why}", path.join(" -> ")));
        }
    }
    found
}

fn check_arrow(from: &str, upper: u8, to: &Dependency) -> Option<String> {
    let lower = level(&to.name)?; // a member without a level is reported by itself
    let is_support = |name: &str| TEST_SUPPORT.contains(&name);
    if lower < upper || (is_support(&to.name) && (to.dev || is_support(from))) {
        return None;
    }
    let way = if lower == upper { "sideways" } else { "up" };
    let kind = if to.dev { " (dev-dependency)" } else { "" };
    Some(format!(
        "{from} ({upper}) -> {} ({lower}){kind}: an arrow goes down, not {way}",
        to.name
    ))
}

fn check_foreign(from: &str, upper: u8, to: &Dependency) -> Option<String> {
    let (_, allowed) = FOREIGN.iter().find(|(name, _)| *name == to.name)?;
    if to.dev || upper == TOP || allowed.contains(&from) {
        return None;
    }
    let who = match allowed {
        [] => "tests".to_owned(),
        allowed => allowed.join(" and "),
    };
    Some(format!("{from} -> {}: only {who} may name it", to.name))
}

/// Returns the shortest way by which `from` depends on `to`, tests left out.
fn path<'a>(graph: &'a Graph, from: &'a str, to: &str) -> Option<Vec<&'a str>> {
    let mut reached: Vec<Vec<&str>> = vec![vec![from]];
    let mut seen = vec![from];
    let mut next = 0;
    while let Some(way) = reached.get(next).cloned() {
        next += 1;
        let last = *way.last()?;
        if last == to {
            return Some(way);
        }
        for step in graph
            .get(last)
            .into_iter()
            .flatten()
            .filter(|step| !step.dev)
        {
            if !seen.contains(&step.name.as_str()) {
                seen.push(&step.name);
                reached.push(way.iter().copied().chain([step.name.as_str()]).collect());
            }
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reads `a -> b, dev c` lines.
    fn graph_of(lines: &[&str]) -> Graph {
        let dependency = |text: &str| Dependency {
            name: text.trim_start_matches("dev ").to_owned(),
            dev: text.starts_with("dev "),
        };
        lines
            .iter()
            .map(|line| {
                let (from, to) = line.split_once(" ->").expect("an arrow");
                let to = to.split(',').map(str::trim).filter(|name| !name.is_empty());
                (from.to_owned(), to.map(dependency).collect())
            })
            .collect()
    }

    fn check_found(lines: &[&str], expected: &[&str]) {
        assert_eq!(check(&graph_of(lines)), expected, "of {lines:?}");
    }

    #[test]
    fn this_workspace_keeps_its_layers() -> Result {
        assert_eq!(findings()?, Vec::<String>::new());
        Ok(())
    }

    #[test]
    fn arrows_down_are_in_order() {
        check_found(
            &[
                "layergraph-fs -> rustix",
                "layergraph-tar -> ",
                "layergraph-archive -> layergraph-tar, layergraph-fs, serde",
                "layergraph-cli -> layergraph-archive",
                "layergraph-benches -> sha2",
            ],
            &[],
        );
    }

    #[test]
    fn arrows_up_and_sideways_are_found() {
        check_found(
            &[
                "layergraph-tar -> layergraph-archive",
                "layergraph-archive -> layergraph-tar",
            ],
            &["layergraph-tar (1) -> layergraph-archive (2): an arrow goes down, not up"],
        );
        check_found(
            &["layergraph-oci -> layergraph-store", "layergraph-store -> "],
            &["layergraph-oci (6) -> layergraph-store (6): an arrow goes down, not sideways"],
        );
    }

    #[test]
    fn tests_obey_the_same_order_but_may_share_their_support() {
        check_found(
            &["truncindex -> dev layergraph-tests", "layergraph-tests -> "],
            &[],
        );
        check_found(
            &[
                "layergraph-driver-tests -> layergraph-tests",
                "layergraph-tests -> ",
            ],
            &[],
        );
        check_found(
            &[
                "truncindex -> dev layergraph-digest",
                "layergraph-digest -> ",
            ],
            &[
                "truncindex (0) -> layergraph-digest (0) (dev-dependency): an arrow goes down, not sideways",
            ],
        );
        check_found(
            &["truncindex -> layergraph-tests", "layergraph-tests -> "],
            &["truncindex (0) -> layergraph-tests (8): an arrow goes down, not up"],
        );
    }

    #[test]
    fn a_member_without_a_place_is_found() {
        check_found(
            &["layergraph-misc -> layergraph-fs", "layergraph-fs -> "],
            &["layergraph-misc: not in the table of layers"],
        );
    }

    #[test]
    fn a_driver_reached_by_a_detour_is_found_with_its_path() {
        check_found(
            &[
                "layergraph-core -> layergraph-driver, layergraph-archive",
                "layergraph-driver -> layergraph-archive",
                "layergraph-archive -> layergraph-driver-vfs",
                "layergraph-driver-vfs -> layergraph-archive",
            ],
            &[
                "layergraph-archive (2) -> layergraph-driver-vfs (4): an arrow goes down, not up",
                "layergraph-core -> layergraph-archive -> layergraph-driver-vfs: core knows no driver by name",
            ],
        );
    }

    #[test]
    fn a_foreign_crate_out_of_its_place_is_found() {
        check_found(
            &[
                "layergraph-tar -> sha2, dev sha2, tar, dev tar",
                "layergraph-digest -> sha2",
            ],
            &[
                "layergraph-tar -> sha2: only layergraph-digest may name it",
                "layergraph-tar -> tar: only tests may name it",
            ],
        );
    }

    /// Reads the rows `| LEVEL | crates |` of the document; what is planned stands in brackets.
    fn documented() -> Result<Vec<(String, u8, bool)>> {
        let file = workspace::root().join("docs/architecture.md");
        let mut found = Vec::new();
        for line in std::fs::read_to_string(file)?.lines() {
            let mut cells = line.split('|').map(str::trim).skip(1);
            let Some(level) = cells.next().and_then(|cell| cell.parse().ok()) else {
                continue;
            };
            let mut built = true;
            for (part, is_name) in cells
                .next()
                .unwrap_or("")
                .split('`')
                .zip([false, true].into_iter().cycle())
            {
                if is_name {
                    let name = match part {
                        "tests" | "benches" => format!("layergraph-{part}"),
                        name => name.to_owned(),
                    };
                    found.push((name, level, built));
                } else if part.contains(['(', ')']) {
                    built = part.rfind(')') > part.rfind('(');
                }
            }
        }
        Ok(found)
    }

    #[test]
    fn the_table_of_the_document_is_this_one() -> Result {
        let members = graph(&workspace::metadata()?);
        let mut expected: Vec<(String, u8, bool)> = LEVELS
            .iter()
            .map(|&(name, level)| (name.to_owned(), level, members.contains_key(name)))
            .collect();
        let mut documented = documented()?;
        expected.sort();
        documented.sort();
        assert_eq!(documented, expected);
        Ok(())
    }
}
