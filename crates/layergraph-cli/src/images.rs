//! Images: listed, inspected, named, removed, and what nothing needs any more.

use std::collections::{BTreeMap, BTreeSet};

use layergraph::digest::{ChainId, DiffId, Digest};
use layergraph::image::oci::{MediaType, Platform};
use layergraph::{CollectOptions, Collected, Image, ImageName, NodeId, Reason, Store};
use serde::Serialize;
use serde_json::Value;

use crate::args;
use crate::args::images::{Gc, Images, Inspect, Rm, Tag, Untag};
use crate::console::Console;
use crate::output::{print_bytes, print_json};
use crate::report::{Failure, Why};
use crate::size::human;
use crate::store::{Missing, SHORT, short, shown_root, with_store};
use crate::table::Table;

/// An image, by one of its names, as `--json` prints it.
#[derive(Debug, Serialize)]
struct Listed {
    name: Option<String>,
    image_id: Digest,
    manifest_digest: Digest,
    created: Option<String>,
    size: u64,
    unique_size: u64,
    layers: usize,
}

pub(crate) fn list(
    args: &Images,
    store: &args::Store,
    json: bool,
    console: &Console,
) -> Result<(), Failure> {
    let attempted = || format!("list the images of {}", shown_root(store));
    with_store(store, Missing::Fail, console, attempted, |store| {
        let listed = listed(args, store, console)?;
        if json {
            return print_json(&listed);
        }
        let mut table = Table::new(["NAME", "IMAGE ID", "CREATED", "SIZE", "UNIQUE", "LAYERS"]);
        for image in &listed {
            table.row([
                image.name.as_deref().map_or("<none>".to_owned(), familiar),
                short(&image.image_id.hex()).to_owned(),
                image.created.clone().unwrap_or_default(),
                bytes(image.size),
                bytes(image.unique_size),
                image.layers.to_string(),
            ]);
        }
        table.print()
    })
}

/// Shows a name as people know it.
fn familiar(name: &str) -> String {
    let name = name.parse::<ImageName>();
    name.map_or_else(|_| String::new(), |name| name.familiar().to_string())
}

fn bytes(size: u64) -> String {
    human(i64::try_from(size).unwrap_or(i64::MAX))
}

fn listed(args: &Images, store: &Store, console: &Console) -> Result<Vec<Listed>, Why> {
    let all = store.images()?;
    for error in &all.broken_images {
        console.warn("an image cannot be read", error);
    }
    for error in &all.broken_names {
        console.warn("a name cannot be read", error);
    }
    // How many images have a layer with all below it, by manifest: names share it.
    let mut uses: BTreeMap<ChainId, usize> = BTreeMap::new();
    for chain in all.images.iter().flat_map(|image| &image.chains) {
        *uses.entry(*chain).or_default() += 1;
    }
    let mut listed = Vec::new();
    for image in &all.images {
        let mut unique = 0;
        for chain in image.chains.iter().filter(|chain| uses[chain] == 1) {
            unique += store.layer_size(chain)?.unwrap_or(0);
        }
        let row = |name: Option<String>| Listed {
            name,
            image_id: image.id,
            manifest_digest: image.manifest,
            created: image.created.clone(),
            size: image.size,
            unique_size: unique,
            layers: image.chains.len(),
        };
        listed.extend(image.names.iter().map(|name| row(Some(name.to_string()))));
        if image.names.is_empty() && args.all {
            listed.push(row(None));
        }
    }
    listed.sort_by(|a, b| {
        let key = |image: &Listed| {
            (
                image.name.is_none(),
                image.name.clone(),
                image.manifest_digest,
            )
        };
        key(a).cmp(&key(b))
    });
    Ok(listed)
}

#[derive(Debug, Serialize)]
struct Inspected {
    names: Vec<String>,
    image_id: Digest,
    manifest_digest: Digest,
    media_type: MediaType,
    platform: Platform,
    created: Option<String>,
    size: u64,
    node: Option<NodeText>,
    layers: Vec<InspectedLayer>,
    manifest: Value,
    config: Value,
}

#[derive(Debug, Serialize)]
#[serde(transparent)]
struct NodeText(String);

impl From<NodeId> for NodeText {
    fn from(id: NodeId) -> NodeText {
        NodeText(id.to_string())
    }
}

#[derive(Debug, Serialize)]
struct InspectedLayer {
    chain_id: ChainId,
    diff_id: DiffId,
    digest: Digest,
    size: u64,
    node: Option<NodeText>,
}

pub(crate) fn inspect(
    args: &Inspect,
    store: &args::Store,
    json: bool,
    console: &Console,
) -> Result<(), Failure> {
    let text = &args.image.image;
    let attempted = || format!("inspect {text}");
    with_store(store, Missing::Fail, console, attempted, |store| {
        let image = store.image(text)?;
        let document = inspected(store, &image)?;
        if json {
            return print_json(&document);
        }
        let mut lines = vec![
            ("names", document.names.join(", ")),
            ("image id", image.id.to_string()),
            ("manifest", image.manifest.to_string()),
            ("media type", image.media_type.to_string()),
            ("platform", image.platform.to_string()),
            ("created", image.created.clone().unwrap_or_default()),
            ("size", bytes(image.size)),
            ("node", document.node.map_or(String::new(), |node| node.0)),
        ];
        for layer in &document.layers {
            lines.push(("layer", format!("{} {}", layer.diff_id, bytes(layer.size))));
        }
        let lines = lines.into_iter().filter(|(_, value)| !value.is_empty());
        let lines: Vec<String> = lines
            .map(|(what, value)| format!("{what:11} {value}\n"))
            .collect();
        print_bytes(lines.concat().as_bytes())
    })
}

fn inspected(store: &Store, image: &Image) -> Result<Inspected, Why> {
    let (manifest, config) = (store.manifest(image)?, store.config(image)?);
    let value = |bytes: &[u8]| serde_json::from_slice(bytes).unwrap_or(Value::Null);
    let blobs = manifest.value().layers.iter();
    let diff_ids = config.value().rootfs.diff_ids.iter();
    let mut layers = Vec::new();
    for ((chain, blob), diff_id) in image.chains.iter().zip(blobs).zip(diff_ids) {
        layers.push(InspectedLayer {
            chain_id: *chain,
            diff_id: *diff_id,
            digest: blob.digest,
            size: blob.size,
            node: store.node_of(chain)?.map(NodeText::from),
        });
    }
    Ok(Inspected {
        names: image.names.iter().map(ToString::to_string).collect(),
        image_id: image.id,
        manifest_digest: image.manifest,
        media_type: image.media_type.clone(),
        platform: image.platform.clone(),
        created: image.created.clone(),
        size: image.size,
        node: store.node(image)?.map(NodeText::from),
        layers,
        manifest: value(manifest.bytes()),
        config: value(config.bytes()),
    })
}

pub(crate) fn tag(args: &Tag, store: &args::Store, console: &Console) -> Result<(), Failure> {
    let text = &args.image.image;
    let attempted = || format!("tag {text} as {}", args.name.familiar());
    with_store(store, Missing::Fail, console, attempted, |store| {
        let image = store.image(text)?;
        Ok(store.tag(&image.manifest, &args.name)?)
    })
}

pub(crate) fn untag(args: &Untag, store: &args::Store, console: &Console) -> Result<(), Failure> {
    let attempted = || format!("untag {}", args.name.familiar());
    with_store(store, Missing::Fail, console, attempted, |store| {
        Ok(store.untag(&args.name)?)
    })
}

#[derive(Debug, Default, Serialize)]
struct Removed {
    removed: Vec<Digest>,
    untagged: Vec<String>,
}

pub(crate) fn remove(
    args: &Rm,
    store: &args::Store,
    json: bool,
    console: &Console,
) -> Result<(), Failure> {
    let attempted = || format!("remove {}", args.images.join(", "));
    with_store(store, Missing::Fail, console, attempted, |store| {
        let mut found = Vec::new();
        for text in &args.images {
            found.push((text.parse::<ImageName>().ok(), store.resolve(text)?));
        }
        let removed = remove_all(store, found)?;
        // They are gone. What cannot be freed now is when somebody collects again.
        match store.collect(CollectOptions::default()) {
            Ok(done) if done.is_busy => {
                console.note("others are at work: gc frees the space later");
            }
            Ok(_) => {}
            Err(error) => console.warn("free what nothing needs any more", &error),
        }
        if json {
            return print_json(&removed);
        }
        let untagged = removed
            .untagged
            .iter()
            .map(|name| format!("untagged {}\n", familiar(name)));
        let gone = removed
            .removed
            .iter()
            .map(|digest| format!("removed {digest}\n"));
        print_bytes(untagged.chain(gone).collect::<String>().as_bytes())
    })
}

/// Takes names away, and removes each image that was meant as a whole or by all its names.
fn remove_all(store: &Store, found: Vec<(Option<ImageName>, Digest)>) -> Result<Removed, Why> {
    // By image: the names that were given, or nothing for all of it.
    let mut wanted: BTreeMap<Digest, Option<BTreeSet<ImageName>>> = BTreeMap::new();
    for (name, manifest) in found {
        let names = store.names_of(&manifest)?;
        let entry = wanted.entry(manifest);
        let given = entry.or_insert(Some(BTreeSet::new()));
        match (name.filter(|name| names.contains(name)), given.as_mut()) {
            (Some(name), Some(given)) => drop(given.insert(name)),
            _ => *given = None,
        }
    }
    let mut removed = Removed::default();
    for (manifest, given) in wanted {
        let all = store.names_of(&manifest)?;
        if let Some(given) = given.filter(|given| given.len() < all.len()) {
            for name in given {
                store.untag(&name)?;
                removed.untagged.push(name.to_string());
            }
        } else {
            let lost = store.remove(&manifest)?;
            removed
                .untagged
                .extend(lost.iter().map(ToString::to_string));
            removed.removed.push(manifest);
        }
    }
    Ok(removed)
}

#[derive(Debug, Serialize)]
struct Thing {
    kind: &'static str,
    id: Digest,
}

#[derive(Debug, Serialize)]
struct Kept {
    kind: &'static str,
    id: Digest,
    because: String,
}

#[derive(Debug, Serialize)]
struct Gone {
    removed: Vec<Thing>,
    freed: u64,
    kept: Vec<Kept>,
}

pub(crate) fn collect(
    args: &Gc,
    store: &args::Store,
    json: bool,
    console: &Console,
) -> Result<(), Failure> {
    let attempted = || "collect what nothing needs".to_owned();
    with_store(store, Missing::Fail, console, attempted, |store| {
        let mut options = CollectOptions::default();
        options.dry_run = args.dry_run;
        options.wait = true;
        let gone = gone(&store.collect(options)?);
        if json {
            return print_json(&gone);
        }
        let verb = if args.dry_run {
            "would remove"
        } else {
            "removed"
        };
        let mut lines: Vec<String> = gone
            .removed
            .iter()
            .map(|thing| format!("{verb} {} {}", thing.kind, thing.id))
            .collect();
        if args.dry_run {
            let kept = gone.kept.iter();
            lines.extend(
                kept.map(|kept| format!("keeps {} {}: {}", kept.kind, kept.id, kept.because)),
            );
        }
        lines.push(format!(
            "{}: {}",
            if args.dry_run { "would free" } else { "freed" },
            bytes(gone.freed)
        ));
        print_bytes((lines.join("\n") + "\n").as_bytes())
    })
}

fn gone(collected: &Collected) -> Gone {
    let layers = collected.layers.iter().map(|chain| Thing {
        kind: "layer",
        id: chain.digest(),
    });
    let blobs = collected.blobs.iter().map(|digest| Thing {
        kind: "blob",
        id: *digest,
    });
    let kept = collected.kept.iter().map(|(chain, reason)| Kept {
        kind: "layer",
        id: chain.digest(),
        because: match reason {
            Reason::Image(manifest) => {
                format!("the image {} has it", &manifest.to_string()[..7 + SHORT])
            }
            _ => "others build on it, or it is mounted".to_owned(),
        },
    });
    Gone {
        removed: layers.chain(blobs).collect(),
        freed: collected.freed,
        kept: kept.collect(),
    }
}
