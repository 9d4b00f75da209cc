//! `layergraph info`: how the store was made, and what there is for a driver at its place.

use std::path::{Path, PathBuf};

use layergraph::archive::{Dialect, Ownership};
use layergraph::fs::Dir;
use layergraph::{Description, Features, Probe, StoreOptions, probe};
use serde::Serialize;

use crate::args;
use crate::console::Console;
use crate::output::{JsonPath, print_bytes, print_json};
use crate::place::argument;
use crate::report::{Failure, Why, printable};
use crate::store::{root, shown_root};

/// What `--json` prints.
#[derive(Debug, Serialize)]
struct Document<'a> {
    root: JsonPath,
    version: Option<u32>,
    features: Option<FeaturesDocument<'a>>,
    driver: Option<&'a str>,
    ownership: Option<&'static str>,
    whiteouts: Option<&'static str>,
    nodes: Option<usize>,
    probed: JsonPath,
    probe: Option<&'a Probe>,
}

#[derive(Debug, Serialize)]
struct FeaturesDocument<'a> {
    compatible: &'a [String],
    read_only_compatible: &'a [String],
    incompatible: &'a [String],
}

pub(crate) fn run(store: &args::Store, json: bool, console: &Console) -> Result<(), Failure> {
    attempt(store, json, console).map_err(|why| Failure {
        attempted: format!("tell about the store {}", shown_root(store)),
        hint: why.hint(),
        why: why.into(),
    })
}

fn attempt(store: &args::Store, json: bool, console: &Console) -> Result<(), Why> {
    let root = root(store)?;
    let root = std::path::absolute(&root).map_err(|error| argument("getcwd", &root, error))?;
    let options = StoreOptions::new().driver(store.driver.into());
    let description = options.describe(&root)?;
    let probed = nearest(&root)?;
    let found = probe(&probed);
    if let Err(error) = &found {
        // What the store is can be told all the same.
        console.warn("find out what a driver can do there", error);
    }
    let told = Told {
        root: &root,
        description: description.as_ref(),
        probed: &probed,
        probe: found.as_ref().ok(),
    };
    if json {
        print_json(&told.document())
    } else {
        print_bytes(told.text().as_bytes())
    }
}

/// Returns the root, or what is nearest above it.
fn nearest(root: &Path) -> Result<PathBuf, Why> {
    let mut place = root;
    loop {
        match (Dir::open(place), place.parent()) {
            (Err(error), Some(parent)) if error.kind() == std::io::ErrorKind::NotFound => {
                place = parent;
            }
            (result, _) => return Ok(result.map(|_| place.to_owned())?),
        }
    }
}

/// What there is to tell.
struct Told<'a> {
    root: &'a Path,
    description: Option<&'a Description>,
    probed: &'a Path,
    probe: Option<&'a Probe>,
}

impl Told<'_> {
    fn document(&self) -> Document<'_> {
        let features = self.description.and_then(|it| it.features.as_ref());
        Document {
            root: JsonPath::in_tree(self.root),
            version: self.description.and_then(|it| it.version),
            features: features.map(|it| FeaturesDocument {
                compatible: &it.compatible,
                read_only_compatible: &it.read_only_compatible,
                incompatible: &it.incompatible,
            }),
            driver: self.description.map(|it| it.driver.name()),
            ownership: self.description.map(ownership),
            whiteouts: self.description.and_then(whiteouts),
            nodes: self.description.map(|it| it.nodes),
            probed: JsonPath::in_tree(self.probed),
            probe: self.probe,
        }
    }

    fn text(&self) -> String {
        let root = self.root.display();
        let mut lines = match self.description {
            Some(description) => {
                let mut lines = vec![("store", root.to_string())];
                lines.extend(lines_of_store(description));
                lines
            }
            None => vec![("store", format!("{root} (not there; register makes it)"))],
        };
        lines.push(("place", self.probed.display().to_string()));
        match self.probe {
            Some(probe) => lines.extend(lines_of_probe(probe)),
            None => lines.push(("overlayfs", "unknown".to_owned())),
        }
        let width = lines.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
        let line =
            |(name, value): (&str, String)| format!("{name:width$}  {}\n", printable(&value));
        lines.into_iter().map(line).collect()
    }
}

fn ownership(description: &Description) -> &'static str {
    match description.driver.ownership() {
        Ownership::Squash => "squash",
        Ownership::Mapped(_) => "mapped",
        _ => "preserve",
    }
}

/// Returns which attributes hold the signs of overlayfs, if the driver has any.
fn whiteouts(description: &Description) -> Option<&'static str> {
    match description.driver.capabilities().dialect {
        Dialect::Overlay => Some("trusted"),
        Dialect::OverlayUser => Some("user"),
        _ => None,
    }
}

fn lines_of_store(description: &Description) -> Vec<(&'static str, String)> {
    let mut lines = vec![(
        "format",
        match description.version {
            Some(version) => format!("version {version}"),
            None => "as in 2015".to_owned(),
        },
    )];
    if let Some(features) = &description.features {
        let Features {
            compatible,
            read_only_compatible,
            incompatible,
            ..
        } = features;
        let all = [incompatible, read_only_compatible, compatible];
        lines.push(("features", listed(all.into_iter().flatten())));
    }
    lines.extend([
        ("driver", description.driver.name().to_owned()),
        ("ownership", ownership(description).to_owned()),
        (
            "whiteouts",
            match whiteouts(description) {
                Some(kind) => format!("{kind}.overlay.*"),
                None => "none".to_owned(),
            },
        ),
        ("nodes", description.nodes.to_string()),
    ]);
    lines
}

fn lines_of_probe(probe: &Probe) -> Vec<(&'static str, String)> {
    let named = |all: &[(&'static str, bool)]| {
        listed(
            all.iter()
                .filter(|(_, is_there)| *is_there)
                .map(|(name, _)| name),
        )
    };
    let yes = |is_so: bool| if is_so { "yes" } else { "no" }.to_owned();
    let mounts = match &probe.mount_error {
        Some(error) => format!("none: {error}"),
        None => listed(probe.mount_methods.iter()),
    };
    vec![
        ("file system", probe.filesystem.clone()),
        ("overlayfs", yes(probe.overlay)),
        (
            "options",
            named(&[
                ("index", probe.index),
                ("metacopy", probe.metacopy),
                ("redirect_dir", probe.redirect_dir),
                ("userxattr", probe.userxattr),
            ]),
        ),
        ("mounts", mounts),
        ("fsopen", yes(probe.new_mount_api)),
        (
            "attributes",
            named(&[
                ("trusted.*", probe.trusted_xattrs),
                ("user.*", probe.user_xattrs),
            ]),
        ),
        ("d_type", yes(probe.d_type)),
        ("reflink", yes(probe.reflink)),
    ]
}

/// Prints texts with commas between them.
fn listed<T: ToString>(texts: impl Iterator<Item = T>) -> String {
    let texts: Vec<String> = texts.map(|text| text.to_string()).collect();
    if texts.is_empty() {
        "none".to_owned()
    } else {
        texts.join(", ")
    }
}
