//! A tree beside things that nobody who works in it may change.

use std::fmt::Write as _;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use layergraph_archive::{UnpackError, UnpackOptions, Unpacked, unpack};
use tempfile::TempDir;

use crate::support::{layer, listing_of, open, options};

/// A tree inside a directory with things that must not change.
pub(crate) struct Sandbox(TempDir);

impl Sandbox {
    pub(crate) fn new() -> Sandbox {
        let place = TempDir::new().expect("a temporary directory");
        let at = |path: &str| place.path().join(path);
        fs::create_dir_all(at("outside/dir")).expect("a new directory");
        fs::write(at("outside/secret"), "SECRET").expect("a new file");
        let mode = fs::Permissions::from_mode(0o600);
        fs::set_permissions(at("outside/secret"), mode).expect("it is ours");
        fs::create_dir(at("root")).expect("a new directory");
        Sandbox(place)
    }

    pub(crate) fn root(&self) -> PathBuf {
        self.0.path().join("root")
    }

    /// The name of the directory that has tree and outside in it.
    pub(crate) fn name(&self) -> String {
        let name = self.0.path().file_name().expect("it is in another");
        name.to_str().expect("UTF-8").to_owned()
    }

    pub(crate) fn outside(&self) -> String {
        self.0
            .path()
            .join("outside")
            .to_str()
            .expect("UTF-8")
            .to_owned()
    }

    /// Everything outside, with times.
    pub(crate) fn state(&self) -> String {
        let mut state = listing_of(Path::new(&self.outside()));
        for path in ["outside", "outside/dir", "outside/secret"] {
            let metadata = fs::metadata(self.0.path().join(path)).expect("it is there");
            let (time, links) = (metadata.modified(), metadata.nlink());
            writeln!(state, "{path} {time:?} {links}").expect("a string takes it");
        }
        state
            + &format!(
                "{:?}",
                fs::read_dir(self.0.path()).expect("it is there").count()
            )
    }

    /// Unpacks entries, accepted or not, and checks that nothing outside changed.
    #[track_caller]
    pub(crate) fn check(&self, entries: &[&str]) -> Result<Unpacked, UnpackError> {
        self.check_layer(&layer(entries), &options(), &format!("{entries:?}"))
    }

    /// Unpacks a layer, accepted or not, and checks that nothing outside changed.
    #[track_caller]
    pub(crate) fn check_layer(
        &self,
        tar: &[u8],
        options: &UnpackOptions,
        what: &str,
    ) -> Result<Unpacked, UnpackError> {
        let before = self.state();
        let result = unpack(&mut &*tar, &open(&self.root()), options);
        assert_eq!(self.state(), before, "{what}");
        result
    }
}
