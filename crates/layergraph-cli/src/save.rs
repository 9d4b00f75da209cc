//! `layergraph save`: images that go out.

use std::path::Path;

use layergraph::archive::codec::DecodeOptions;
use layergraph::digest::Digest;
use layergraph::fs::Durability;
use layergraph::image::transfer::ImageSink;
use layergraph::oci::{ArchiveWriter, DockerWriter, LayoutWriter};
use layergraph::{Image, Store};
use serde::Serialize;

use crate::args;
use crate::args::images::{Format, Save};
use crate::console::Console;
use crate::output::{Output, print_json};
use crate::report::{Failure, Why};
use crate::store::{Missing, root, with_store};

#[derive(Debug, Serialize)]
struct Saved {
    name: Option<String>,
    image_id: Digest,
    manifest_digest: Digest,
}

#[derive(Debug, Serialize)]
struct Document {
    images: Vec<Saved>,
}

pub(crate) fn run(
    args: &Save,
    store_args: &args::Store,
    json: bool,
    console: &Console,
) -> Result<(), Failure> {
    let attempted = || format!("save {}", args.images.join(", "));
    with_store(store_args, Missing::Fail, console, attempted, |store| {
        let images: Result<Vec<Image>, _> =
            args.images.iter().map(|text| store.image(text)).collect();
        let images = images?;
        let file = Some(args.output.as_path()).filter(|path| *path != Path::new("-"));
        if json && file.is_none() {
            return Err(Why::Usage(
                "--json and the images would both be on stdout: give -o FILE",
            ));
        }
        let saved = if args.format == Format::Oci {
            let Some(directory) = file else {
                return Err(Why::Usage("a directory cannot be written to stdout"));
            };
            let mut sink = LayoutWriter::new(directory, Durability::Full)?;
            let saved = export(store, &images, &mut sink)?;
            Box::new(sink).finish().map_err(Why::Sink)?;
            saved
        } else {
            let mut output = Output::open(file, &[&root(store_args)?], console)?;
            let saved = if args.format == Format::OciArchive {
                let mut sink = ArchiveWriter::new(&mut output, store.root())?;
                let saved = export(store, &images, &mut sink)?;
                Box::new(sink).finish().map_err(Why::Sink)?;
                saved
            } else {
                let decode = DecodeOptions::default();
                let mut sink = DockerWriter::new(&mut output, store.root(), decode)?;
                let saved = export(store, &images, &mut sink)?;
                Box::new(sink).finish().map_err(Why::Sink)?;
                saved
            };
            output.finish()?;
            saved
        };
        if json {
            return print_json(&Document { images: saved });
        }
        Ok(())
    })
}

fn export(store: &Store, images: &[Image], sink: &mut dyn ImageSink) -> Result<Vec<Saved>, Why> {
    let mut saved = Vec::new();
    for image in images {
        let exported = store.export(image, sink)?;
        let row = |name: Option<String>| Saved {
            name,
            image_id: image.id,
            manifest_digest: exported.manifest.digest,
        };
        saved.extend(image.names.iter().map(|name| row(Some(name.to_string()))));
        if image.names.is_empty() {
            saved.push(row(None));
        }
    }
    Ok(saved)
}
