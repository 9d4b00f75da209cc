//! The files of a store: one for each thing it knows, so that each change is one rename.

use std::ffi::{OsStr, OsString};
use std::io;

use layergraph_digest::{Algorithm, Digest};
use layergraph_fs::{Dir, Durability, FileKind, is_temporary_name, write_atomic};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::Attempted;
use crate::{Result, StoreError, StoreErrorKind};

/// For the owner alone.
const DIRECTORY: u32 = 0o700;
const FILE: u32 = 0o600;

/// More than any record has, in bytes.
const MAX_RECORD: u64 = 4 << 20;

/// A directory in the root of the store, which exists as soon as something is in it.
#[derive(Debug)]
pub(crate) struct Files {
    root: Dir,
    name: &'static str,
    durability: Durability,
}

impl Files {
    pub(crate) fn new(root: &Dir, name: &'static str, durability: Durability) -> Result<Files> {
        let root = root.try_clone();
        Ok(Files {
            root: root.attempted(|| format!("cannot open {name}"))?,
            name,
            durability,
        })
    }

    /// Opens the directory, or the one in it that is called `part`, if it is there.
    fn find(&self, part: Option<&str>) -> layergraph_fs::Result<Option<Dir>> {
        let dir = self.root.find_dir(OsStr::new(self.name))?;
        match (dir, part) {
            (Some(dir), Some(part)) => dir.find_dir(OsStr::new(part)),
            (dir, _) => Ok(dir),
        }
    }

    /// Opens the directory, or one in it, which is made if it is missing.
    fn make(&self, part: Option<&str>) -> layergraph_fs::Result<Dir> {
        let dir = self.ensure(&self.root, self.name)?;
        match part {
            Some(part) => self.ensure(&dir, part),
            None => Ok(dir),
        }
    }

    fn ensure(&self, above: &Dir, name: &str) -> layergraph_fs::Result<Dir> {
        if let Some(dir) = above.find_dir(OsStr::new(name))? {
            return Ok(dir);
        }
        let dir = above.ensure_dir(OsStr::new(name), DIRECTORY)?;
        if self.durability == Durability::Full {
            above.sync()?;
        }
        Ok(dir)
    }

    pub(crate) fn read(
        &self,
        part: Option<&str>,
        name: &str,
        limit: u64,
    ) -> Result<Option<Vec<u8>>> {
        let read = || -> layergraph_fs::Result<Option<Vec<u8>>> {
            let Some(dir) = self.find(part)? else {
                return Ok(None);
            };
            match dir.read_file(OsStr::new(name), limit) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
                result => result.map(Some),
            }
        };
        read().attempted(|| self.about("read", name))
    }

    /// Reads a record; nothing if there is none.
    pub(crate) fn record<T: DeserializeOwned>(
        &self,
        part: Option<&str>,
        name: &str,
    ) -> Result<Option<T>> {
        let Some(bytes) = self.read(part, name, MAX_RECORD)? else {
            return Ok(None);
        };
        serde_json::from_slice(&bytes).map(Some).map_err(|error| {
            StoreError::new(StoreErrorKind::Damaged, self.about("read", name)).because(error)
        })
    }

    pub(crate) fn write(
        &self,
        part: Option<&str>,
        name: &str,
        bytes: &[u8],
        durability: Durability,
    ) -> Result<()> {
        let written = self
            .make(part)
            .and_then(|dir| write_atomic(&dir, OsStr::new(name), FILE, bytes, durability));
        written.attempted(|| self.about("write", name))
    }

    /// Writes a record, in the place of an old one.
    pub(crate) fn put<T: Serialize>(
        &self,
        part: Option<&str>,
        name: &str,
        record: &T,
        durability: Durability,
    ) -> Result<()> {
        let mut bytes = serde_json::to_vec(record).map_err(|error| {
            StoreError::new(StoreErrorKind::Failed, self.about("write", name)).because(error)
        })?;
        bytes.push(b'\n');
        self.write(part, name, &bytes, durability)
    }

    /// Removes a record, and returns whether there was one.
    pub(crate) fn remove(&self, part: Option<&str>, name: &str) -> Result<bool> {
        let removed = || -> layergraph_fs::Result<bool> {
            let Some(dir) = self.find(part)? else {
                return Ok(false);
            };
            match dir.remove_file(OsStr::new(name)) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
                result => result?,
            }
            if self.durability == Durability::Full {
                dir.sync()?;
            }
            Ok(true)
        };
        removed().attempted(|| self.about("remove", name))
    }

    /// Lists the names, sorted; those of directories in it, or of records in one of these.
    pub(crate) fn names(&self, part: Option<&str>) -> Result<Vec<String>> {
        let listed = || -> layergraph_fs::Result<Vec<OsString>> {
            match self.find(part)? {
                Some(dir) => dir.sorted_names(),
                None => Ok(Vec::new()),
            }
        };
        let names = listed().attempted(|| self.about("list", ""))?;
        let names = names.into_iter().filter(|name| !is_temporary_name(name));
        // Whatever is called otherwise was not put there by a store.
        Ok(names.filter_map(|name| name.into_string().ok()).collect())
    }

    /// Removes what killed processes have left half written.
    pub(crate) fn sweep(&self, part: Option<&str>) -> Result<()> {
        let swept = self.find(part).and_then(|dir| match dir {
            Some(dir) => layergraph_fs::sweep(&dir).map(drop),
            None => Ok(()),
        });
        swept.attempted(|| self.about("sweep", ""))
    }

    /// Returns the length of a file, if it is there.
    pub(crate) fn size(&self, part: Option<&str>, name: &str) -> Result<Option<u64>> {
        let found = || -> layergraph_fs::Result<Option<u64>> {
            let Some(dir) = self.find(part)? else {
                return Ok(None);
            };
            let found = dir.find(OsStr::new(name))?;
            Ok(found
                .filter(|found| found.kind == FileKind::File)
                .map(|found| found.size))
        };
        found().attempted(|| self.about("look for", name))
    }

    fn about(&self, what: &str, name: &str) -> String {
        let place = self.root.path().join(self.name);
        format!("cannot {what} {}", place.join(name).display())
    }
}

/// Returns what a file about the thing with this digest is called.
pub(crate) fn name_of(digest: &Digest) -> String {
    match digest.algorithm() {
        Algorithm::Sha256 => digest.hex(),
        other => format!("{other}-{}", digest.hex()),
    }
}

/// Returns the digest of which that is the name.
pub(crate) fn digest_of(name: &str) -> Option<Digest> {
    match name.split_once('-') {
        Some((algorithm, hex)) => format!("{algorithm}:{hex}").parse().ok(),
        None => format!("sha256:{name}").parse().ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_comes_back_from_the_name_of_its_file() {
        for algorithm in [Algorithm::Sha256, Algorithm::Sha512] {
            let digest = Digest::of(algorithm, b"x");
            assert_eq!(digest_of(&name_of(&digest)), Some(digest));
        }
        for name in ["", "x", "sha256-x", "..", "a/b"] {
            assert_eq!(digest_of(name), None);
        }
    }
}
