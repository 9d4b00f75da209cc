//! `layergraph load`: images that come in.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use layergraph::digest::{ChainId, DiffId, Digest};
use layergraph::image::oci::Descriptor;
use layergraph::image::v1::Image as NodeImage;
use layergraph::oci::{LegacyArchive, Opened, SourceOptions, open, open_reader};
use layergraph::progress::{Progress, Task};
use layergraph::{ImportOptions, ImportProgress, Imported, Store};
use serde::Serialize;

use crate::args;
use crate::args::images::Load;
use crate::console::Console;
use crate::output::{print_bytes, print_json};
use crate::progress::Teller;
use crate::report::{Failure, Why};
use crate::store::{Missing, with_store};

/// A loaded image, by one of its names, as `--json` prints it.
#[derive(Debug, Serialize)]
struct Loaded {
    name: Option<String>,
    image_id: Digest,
    manifest_digest: Digest,
    layers: Vec<LoadedLayer>,
}

#[derive(Debug, Clone, Serialize)]
struct LoadedLayer {
    chain_id: ChainId,
    diff_id: DiffId,
    digest: Digest,
    size: u64,
    reused: bool,
}

pub(crate) fn run(
    args: &Load,
    store: &args::Store,
    json: bool,
    console: &Console,
) -> Result<(), Failure> {
    let attempted = || format!("load {}", args.path.display());
    with_store(
        store,
        Missing::Make,
        console,
        attempted,
        |store| match opened(args, store)? {
            Opened::Images(source) => {
                let progress = Told::new(console.progress());
                let mut options = ImportOptions::default();
                options.platform.clone_from(&args.platform);
                options.all = args.all;
                options.names.clone_from(&args.name);
                options.progress = Some(&progress);
                let imported = store.import(&source, &options);
                drop(progress);
                print(&imported?, json)
            }
            Opened::Legacy(archive) => legacy(&archive, store, json, console),
        },
    )
}

/// Opens what the argument says: a path, a layout and one of its images, or stdin.
fn opened(args: &Load, store: &Store) -> Result<Opened, Why> {
    let mut options = SourceOptions::default();
    options.spool = Some(store.root());
    if args.path == Path::new("-") {
        return Ok(open_reader(io::stdin().lock(), &options)?);
    }
    let split = split(&args.path);
    if let Some((_, tag)) = &split {
        options.select = Some(tag);
    }
    let path = split.as_ref().map_or(&args.path, |(path, _)| path);
    Ok(open(path, &options)?)
}

/// Splits `DIR:TAG`, unless there is something of that whole name.
fn split(path: &Path) -> Option<(PathBuf, String)> {
    if path.exists() {
        return None;
    }
    let (path, tag) = path.to_str()?.rsplit_once(':')?;
    (!tag.contains('/') && Path::new(path).is_dir()).then(|| (path.into(), tag.to_owned()))
}

fn print(imported: &[Imported], json: bool) -> Result<(), Why> {
    if json {
        let loaded: Vec<Loaded> = imported.iter().flat_map(loaded).collect();
        return print_json(&loaded);
    }
    let mut lines = Vec::new();
    for Imported { image, .. } in imported {
        let names = image.names.iter();
        lines.extend(names.map(|name| format!("loaded {}\n", name.familiar())));
        if image.names.is_empty() {
            lines.push(format!("loaded {}\n", image.id));
        }
    }
    print_bytes(lines.concat().as_bytes())
}

fn loaded(imported: &Imported) -> Vec<Loaded> {
    let Imported { image, layers, .. } = imported;
    let layers: Vec<LoadedLayer> = layers
        .iter()
        .map(|layer| LoadedLayer {
            chain_id: layer.chain,
            diff_id: layer.diff_id,
            digest: layer.digest,
            size: layer.size,
            reused: layer.reused,
        })
        .collect();
    let row = |name: Option<String>| Loaded {
        name,
        image_id: image.id,
        manifest_digest: image.manifest,
        layers: layers.clone(),
    };
    match &image.names[..] {
        [] => vec![row(None)],
        names => names
            .iter()
            .map(|name| row(Some(name.to_string())))
            .collect(),
    }
}

/// Registers the layers of an archive of 2015, under their own ids.
fn legacy(
    archive: &LegacyArchive,
    store: &Store,
    json: bool,
    console: &Console,
) -> Result<(), Why> {
    let mut registered = Vec::new();
    for image in archive.images() {
        let id = image.id.to_string();
        if store.graph().exists(&id)? {
            continue;
        }
        let document =
            NodeImage::decode(&archive.json(image.id)?).map_err(|error| Why::ImageJson {
                path: PathBuf::from(format!("{id}/json")),
                source: error.into(),
            })?;
        let mut layer = archive.layer(image.id)?;
        store.graph().register(&document, Some(&mut layer))?;
        registered.push(id);
    }
    if archive.images().iter().any(|image| !image.names.is_empty()) {
        console.note("the names in an archive of 2015 are not kept: its images have no manifests");
    }
    if json {
        return print_json(&Vec::<Loaded>::new());
    }
    let lines: Vec<String> = registered
        .iter()
        .map(|id| format!("registered {id}\n"))
        .collect();
    print_bytes(lines.concat().as_bytes())
}

/// Tells how far all layers together are.
#[derive(Debug)]
struct Told(Mutex<State>);

#[derive(Debug)]
struct State {
    teller: Teller,
    task: Task,
    current: u64,
}

impl Told {
    fn new(teller: Teller) -> Told {
        let task = Task {
            action: "Loading",
            id: String::new(),
            total: None,
        };
        Told(Mutex::new(State {
            teller,
            task,
            current: 0,
        }))
    }

    fn with(&self, change: impl FnOnce(&mut State)) {
        // Another thread that has panicked has other things to tell.
        if let Ok(mut state) = self.0.lock() {
            change(&mut state);
        }
    }
}

impl ImportProgress for Told {
    fn planned(&self, layers: &[(Descriptor, bool)]) {
        self.with(|state| {
            let missing = layers.iter().filter(|(_, is_there)| !is_there);
            let missing: Vec<&Descriptor> = missing.map(|(layer, _)| layer).collect();
            state.current = 0;
            state.task.id = format!("{} layers", missing.len());
            state.task.total = Some(missing.iter().map(|layer| layer.size).sum());
        });
    }

    fn read(&self, _layer: &Descriptor, bytes: u64) {
        self.with(|state| {
            state.current += bytes;
            state.teller.advanced(&state.task, state.current);
        });
    }
}
