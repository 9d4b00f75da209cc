//! An OCI layout in a directory.

use std::ffi::{OsStr, OsString};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use layergraph_digest::Digest;
use layergraph_fs::{Dir, Durability, RenameMode, is_temporary_name, write_atomic};
use layergraph_image::oci::{Descriptor, Index};
use layergraph_image::transfer::{ImageSink, Offered, TransferError};
use serde_json::Value;

use super::images::{Images, VERSION, check_root};
use super::staged::{BLOBS, FILE_MODE, Staged, TREE, make_if_none};
use crate::error::OciError;
use crate::read::files::{Files, blob_name};
use crate::read::list::{self, MAX_BYTES};
use crate::read::names::{FULL_NAME, REF_NAME};
use crate::read::{INDEX, LAYOUT, check_version, split};

/// Writes images to an OCI layout: a directory that is made, or a layout that is added to.
///
/// Everything is written aside, on the same file system. [`finish`](ImageSink::finish) brings the
/// blobs into their places and then replaces `index.json`, so that a reader finds the images that
/// were there before, or the new ones as well. A new directory appears as a whole.
///
/// An image that has a name of one that was there takes its place; the blobs of the other stay.
#[derive(Debug)]
#[must_use = "nothing is there until `finish`"]
pub struct LayoutWriter {
    path: PathBuf,
    target: Target,
    staged: Staged,
    images: Images,
    durability: Durability,
}

/// Where the images go.
#[derive(Debug)]
enum Target {
    /// To a directory that is not there yet.
    New { home: Dir, name: OsString },
    /// To a layout, or an empty directory.
    Existing(Files),
}

impl LayoutWriter {
    /// Makes a writer to the layout at `path`, which is trusted.
    ///
    /// # Errors
    ///
    /// Also if there is a directory that is neither a layout nor empty.
    pub fn new(path: &Path, durability: Durability) -> Result<LayoutWriter, OciError> {
        let (target, staged) = match Dir::open(path) {
            Ok(dir) => {
                let staged = Staged::new(&dir, durability)?;
                (Target::Existing(existing(dir)?), staged)
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let (parent, name) = split(path)?;
                let home = Dir::open(&parent)?;
                // All of it is made durable at once.
                let staged = Staged::new(&home, Durability::None)?;
                (Target::New { home, name }, staged)
            }
            Err(error) => return Err(error.into()),
        };
        Ok(LayoutWriter {
            path: path.to_owned(),
            target,
            staged,
            images: Images::default(),
            durability,
        })
    }

    fn is_there(&self, blob: &Descriptor) -> Result<bool, OciError> {
        if self.staged.get(&blob.digest).is_some() {
            return Ok(true);
        }
        let Target::Existing(files) = &self.target else {
            return Ok(false);
        };
        let content = files.open(&blob_name(&blob.digest))?;
        Ok(content.is_some_and(|content| content.size == blob.size))
    }

    fn publish(self) -> Result<(), OciError> {
        let durability = self.durability;
        match self.target {
            Target::New { home, name } => {
                let tree = self.staged.tree();
                for (file, bytes) in [(LAYOUT, VERSION), (INDEX, &self.images.index())] {
                    let mut file = tree.create_file(OsStr::new(file), FILE_MODE)?;
                    file.write_all(bytes)?;
                }
                let staging = self.staged.into_staging();
                let mode = RenameMode::NoReplace;
                staging.publish_entry(OsStr::new(TREE), &home, &name, mode, durability)?;
                Ok(())
            }
            Target::Existing(files) => {
                let Files::Directory(dir) = &files else {
                    unreachable!("a layout is written to a directory");
                };
                let index = merged(&files, &self.images)?;
                let mut added = Added {
                    dir,
                    directories: Vec::new(),
                    blobs: Vec::new(),
                    has_version: false,
                };
                let result = added.add(&self.staged, &index, durability);
                if result.is_err() {
                    added.take_back(&index);
                }
                result
            }
        }
    }
}

/// Takes a directory for a layout that can be added to.
fn existing(dir: Dir) -> Result<Files, OciError> {
    if dir.find(OsStr::new(LAYOUT))?.is_some() {
        let files = Files::Directory(dir);
        check_version(&files)?;
        return Ok(files);
    }
    let names = dir.sorted_names()?;
    if names.iter().all(|name| is_temporary_name(name)) {
        return Ok(Files::Directory(dir));
    }
    let path = dir.path().to_owned();
    Err(OciError::NoLayout { path })
}

/// Writes the index of a layout with its images and the new ones; what it says beside stays.
fn merged(files: &Files, images: &Images) -> Result<Vec<u8>, OciError> {
    let path = files.path();
    let Some(bytes) = files.read(INDEX, MAX_BYTES)? else {
        return Ok(images.index());
    };
    Index::decode(&bytes, None).map_err(|source| OciError::Document {
        path: path.to_owned(),
        name: INDEX.to_owned(),
        source,
    })?;
    let unreadable = |source| OciError::List {
        path: path.to_owned(),
        name: INDEX.to_owned(),
        source,
    };
    let mut index: Value = list::parse(&bytes, INDEX, path)?;
    let new = images.descriptors();
    let mut manifests = match index["manifests"].take() {
        Value::Array(manifests) => manifests,
        _ => Vec::new(),
    };
    manifests.retain(|old| !new.iter().any(|new| replaces(new, old)));
    for descriptor in &new {
        manifests.push(serde_json::to_value(descriptor).map_err(unreadable)?);
    }
    index["manifests"] = Value::Array(manifests);
    serde_json::to_vec(&index).map_err(unreadable)
}

/// Returns whether an image takes the place of one in the index: by its full name, by its tag where
/// the other has no more than that, or as the same without a name.
fn replaces(new: &Descriptor, old: &Value) -> bool {
    let said = |key: &str| old["annotations"][key].as_str();
    let is_said = |key: &str| said(key) == new.annotations.get(key).map(String::as_str);
    match (said(FULL_NAME), said(REF_NAME)) {
        (Some(_), _) => is_said(FULL_NAME),
        (None, Some(_)) => is_said(REF_NAME),
        (None, None) => {
            is_said(FULL_NAME) && is_said(REF_NAME) && old["digest"] == new.digest.to_string()
        }
    }
}

/// What was added to a layout, to be taken back.
struct Added<'a> {
    dir: &'a Dir,
    /// The directories that were not there before, by the directories that they are in.
    directories: Vec<(Dir, &'static str)>,
    /// The blobs that were not there before.
    blobs: Vec<Digest>,
    has_version: bool,
}

impl Added<'_> {
    fn add(
        &mut self,
        staged: &Staged,
        index: &[u8],
        durability: Durability,
    ) -> Result<(), OciError> {
        let blobs = self.directory(self.dir, BLOBS)?;
        for algorithm in staged.algorithms() {
            let from = staged.directory(algorithm)?;
            let to = self.directory(&blobs, algorithm.name())?;
            let of_it = |digest: &&Digest| digest.algorithm() == algorithm;
            for digest in staged.digests().filter(of_it) {
                let name = digest.hex();
                let name = OsStr::new(&name);
                let is_new = to.find(name)?.is_none();
                from.rename(name, &to, name, RenameMode::Replace)?;
                if is_new {
                    self.blobs.push(*digest);
                }
            }
            if durability == Durability::Full {
                to.sync()?;
            }
        }
        if durability == Durability::Full {
            blobs.sync()?;
        }
        let layout = OsStr::new(LAYOUT);
        if self.dir.find(layout)?.is_none() {
            self.has_version = true;
            write_atomic(self.dir, layout, FILE_MODE, VERSION, durability)?;
        }
        let name = OsStr::new(INDEX);
        Ok(write_atomic(self.dir, name, FILE_MODE, index, durability)?)
    }

    fn directory(&mut self, parent: &Dir, name: &'static str) -> Result<Dir, OciError> {
        if parent.find(OsStr::new(name))?.is_none() {
            self.directories.push((parent.try_clone()?, name));
        }
        make_if_none(parent, name)
    }

    /// Removes what was added, unless the index that needs it is there, as it is if only the last
    /// sync failed. What cannot be removed is of no harm: nothing points to it.
    fn take_back(&self, index: &[u8]) {
        let most = index.len() as u64 + 1;
        let read = self.dir.read_file(OsStr::new(INDEX), most);
        if read.is_ok_and(|bytes| bytes == index) {
            return;
        }
        let remove = |digest: &Digest| {
            let blobs = self.dir.open_dir(OsStr::new(BLOBS))?;
            let directory = blobs.open_dir(OsStr::new(digest.algorithm().name()))?;
            directory.remove_file(OsStr::new(&digest.hex()))
        };
        for digest in &self.blobs {
            let _ = remove(digest);
        }
        for (parent, name) in self.directories.iter().rev() {
            let _ = parent.remove_dir(OsStr::new(name));
        }
        if self.has_version {
            let _ = self.dir.remove_file(OsStr::new(LAYOUT));
        }
    }
}

impl ImageSink for LayoutWriter {
    fn has(&mut self, blob: &Descriptor) -> Result<bool, TransferError> {
        Ok(self.is_there(blob)?)
    }

    fn put(&mut self, blob: &Descriptor, content: &mut dyn Read) -> Result<(), TransferError> {
        Ok(self.staged.put(blob, content, None)?)
    }

    fn add(&mut self, image: &Offered) -> Result<(), TransferError> {
        if !self.is_there(&image.root)? {
            check_root(image, &self.staged, &self.path)?;
        }
        Ok(self.images.add(image, &self.path)?)
    }

    fn finish(self: Box<Self>) -> Result<(), TransferError> {
        Ok(self.publish()?)
    }
}
