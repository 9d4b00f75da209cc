//! OCI layouts: which images `index.json` lists, and what they are called.

use std::collections::{BTreeMap, BTreeSet};

use layergraph_digest::{Algorithm, Digest};
use layergraph_image::oci::{Descriptor, Document, Index, MediaType};

use super::files::{Files, blob_name};
use super::list::{self, LayoutVersion, MAX_BYTES, read_list};
use super::names::{Candidate, offer, parse};
use super::{Content, INDEX, LAYOUT, LIST, Source, SourceOptions};
use crate::error::{MemberError, OciError};

/// How many bytes the document has that says the version.
const MAX_LAYOUT: usize = 64 << 10;
/// How deep indexes are looked into for the image that Docker's list means.
const MAX_NESTING: usize = 4;

/// Reads an OCI layout (image-spec, *image layout*).
///
/// An index in it is offered by its descriptor, as a manifest is. What is neither is left out, as
/// the specification asks for unknown media types.
pub(super) fn read(files: Files, options: &SourceOptions<'_>) -> Result<Source, OciError> {
    check_version(&files)?;
    let index = read_index(&files)?;
    let is_image = |descriptor: &Descriptor| {
        let media_type = &descriptor.media_type;
        media_type.as_str().is_empty() || media_type.is_manifest() || media_type.is_index()
    };
    let roots = index.manifests.into_iter().filter(is_image);
    let mut candidates = roots
        .map(|root| Candidate::annotated(root, files.path()))
        .collect::<Result<Vec<_>, _>>()?;
    if let Files::Archive(archive) = &files
        && archive.has(LIST)
    {
        add_listed_names(&files, &mut candidates)?;
    }
    let offered = offer(candidates, options.select, files.path())?;
    Ok(Source {
        files,
        offered,
        content: Content::Layout,
    })
}

/// Checks that the files are a layout of the version that is known.
pub(crate) fn check_version(files: &Files) -> Result<(), OciError> {
    let path = files.path();
    let Some(bytes) = files.read(LAYOUT, MAX_LAYOUT)? else {
        let path = path.to_owned();
        return Err(OciError::NoImages { path });
    };
    let LayoutVersion {
        image_layout_version: version,
    } = list::parse(&bytes, LAYOUT, path)?;
    let last = version.strip_prefix("1.0.");
    if last.is_some_and(|last| last.parse::<u32>().is_ok()) {
        return Ok(());
    }
    let reason = format!("its version is {version:?}, and 1.0.0 is known");
    Err(OciError::contradiction(path, LAYOUT, reason))
}

fn read_index(files: &Files) -> Result<Index, OciError> {
    let path = files.path();
    let Some(bytes) = files.read(INDEX, MAX_BYTES)? else {
        let reason = MemberError::Missing;
        return Err(OciError::member(path, INDEX, reason));
    };
    Index::decode(&bytes, None).map_err(|source| OciError::Document {
        path: path.to_owned(),
        name: INDEX.to_owned(),
        source,
    })
}

/// Adds the names of Docker's own list, which stands beside the index since Docker 25.
///
/// # Errors
///
/// Also if the list has an image that the index has not: which of them a reader sees would be up to
/// the reader.
fn add_listed_names(files: &Files, candidates: &mut [Candidate]) -> Result<(), OciError> {
    let Some(listed) = read_list(files)? else {
        return Ok(());
    };
    let configs = configs(files, candidates)?;
    for image in listed {
        let Some(config) = files.read(&image.config, MAX_BYTES)? else {
            let reason = MemberError::Missing;
            return Err(OciError::member(files.path(), &image.config, reason));
        };
        let digest = Digest::of(Algorithm::Sha256, config);
        let Some(&place) = configs.get(&digest) else {
            let reason = format!("its image with the config {digest} is not in {INDEX}");
            return Err(OciError::contradiction(files.path(), LIST, reason));
        };
        for tag in image.repo_tags.unwrap_or_default() {
            let name = parse(&tag, LIST, files.path())?;
            candidates[place].names.push(name);
        }
    }
    Ok(())
}

/// Finds, by the digest of its config, to which of the images a manifest belongs. What is not
/// there, such as an image for another platform, is passed over.
fn configs(files: &Files, candidates: &[Candidate]) -> Result<BTreeMap<Digest, usize>, OciError> {
    let mut configs = BTreeMap::new();
    let mut seen = BTreeSet::new();
    for (place, candidate) in candidates.iter().enumerate() {
        let Candidate { root, .. } = candidate;
        let mut left = vec![(root.digest, root.media_type.clone(), 0)];
        while let Some((digest, media_type, nesting)) = left.pop() {
            // One that is asked for again is not read again.
            if seen.contains(&digest) {
                continue;
            }
            let Some(document) = read_document(files, &digest, &media_type)? else {
                continue;
            };
            seen.insert(digest);
            match document {
                Document::Manifest(manifest) => {
                    configs.entry(manifest.config.digest).or_insert(place);
                }
                Document::Index(index) if nesting < MAX_NESTING => {
                    let below = index.manifests.into_iter();
                    left.extend(below.map(|below| (below.digest, below.media_type, nesting + 1)));
                }
                Document::Index(_) => {}
            }
        }
    }
    Ok(configs)
}

fn read_document(
    files: &Files,
    digest: &Digest,
    media_type: &MediaType,
) -> Result<Option<Document>, OciError> {
    let name = blob_name(digest);
    let Some(bytes) = files.read(&name, MAX_BYTES)? else {
        return Ok(None);
    };
    let document = Document::decode(&bytes, Some(media_type));
    document.map(Some).map_err(|source| OciError::Document {
        path: files.path().to_owned(),
        name,
        source,
    })
}
