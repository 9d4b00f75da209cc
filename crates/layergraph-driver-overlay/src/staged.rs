//! A layer that is being made.

use std::ffi::OsStr;
use std::io;

use layergraph_archive::View;
use layergraph_driver::{
    Attempted, Driver, DriverError, DriverErrorKind, LayerId, Result, StagedLayer,
};
use layergraph_fs::{Dir, Metadata, RenameMode, Staging};

use crate::driver::OverlayDriver;
use crate::home::{LINKS, STAGING, lock, share_links};
use crate::layer::{Form, LINK, LOWER, Layer, may_be_layer};
use crate::link::{self, Names};

/// The layer's directory, in the staging directory.
const LAYER: &str = "layer";
const HERE: &str = ".";

/// A staged layer: its whole directory, in which its files have their name already.
#[derive(Debug)]
pub(crate) struct Staged {
    driver: OverlayDriver,
    /// Where staging directories are.
    stagings: Dir,
    staging: Staging,
    /// What becomes the layer's directory.
    layer: Dir,
    /// That of its files.
    dir: Dir,
    parent: Option<LayerId>,
    /// What the directory of files was when it was made.
    begun: Metadata,
}

impl Staged {
    pub(crate) fn new(driver: &OverlayDriver, parent: Option<&Layer>) -> Result<Staged> {
        let stagings = driver.home.make_in(STAGING)?;
        driver.home.make_in(LINKS)?;
        let above = parent.map(Layer::files).transpose()?;
        let begun = Self::begin(driver, &stagings, above.as_ref());
        let (staging, layer, dir, begun) = begun.attempted(|| match parent {
            Some(parent) => format!("cannot begin a layer on layer {}", parent.id),
            None => "cannot begin a layer".to_owned(),
        })?;
        Ok(Staged {
            driver: driver.clone(),
            stagings,
            staging,
            layer,
            dir,
            parent: parent.map(|parent| parent.id.clone()),
            begun,
        })
    }

    fn begin(
        driver: &OverlayDriver,
        stagings: &Dir,
        parent: Option<&Dir>,
    ) -> layergraph_fs::Result<(Staging, Dir, Dir, Metadata)> {
        let staging = Staging::new(stagings)?;
        let layer = staging.dir().ensure_dir(OsStr::new(LAYER), 0o700)?;
        // Whatever the umask is.
        layer.set_mode(OsStr::new(HERE), 0o700)?;
        let dir = layer.ensure_dir(Form::Diff.as_name(), 0o700)?;
        if let Some(parent) = parent {
            copy_metadata(parent, &dir)?;
        } else {
            dir.set_mode(OsStr::new(HERE), 0o755)?;
            if let Some((uid, gid)) = driver.options.ownership.root() {
                dir.set_owner(OsStr::new(HERE), uid, gid)?;
            }
        }
        let begun = dir.metadata_here()?;
        Ok((staging, layer, dir, begun))
    }

    /// Gives the root directory of a layer, of which nothing was said, what that of the parent has.
    fn inherit(&self, parent: &Layer) -> Result<()> {
        let inherited = || format!("cannot make the root directory that of layer {}", parent.id);
        let now = self.dir.metadata_here().attempted(inherited)?;
        let is_as_begun = (now.mode, now.uid, now.gid, now.modified)
            == (
                self.begun.mode,
                self.begun.uid,
                self.begun.gid,
                self.begun.modified,
            );
        if self.parent.is_some() || !is_as_begun {
            return Ok(());
        }
        copy_metadata(&parent.files()?, &self.dir).attempted(inherited)
    }

    /// Writes what the layer stands on.
    fn write(&self, name: &str, text: &str) -> layergraph_fs::Result<()> {
        let mut file = self.layer.create_file(OsStr::new(name), 0o600)?;
        file.write_all(text.as_bytes())
    }

    /// Commits on a parent, which is locked, or on nothing.
    fn land(self, home: &Dir, id: &LayerId, parent: Option<&Layer>) -> Result<()> {
        let committed = || format!("cannot commit layer {id}");
        let links = link::open_all(home)?;
        // Held until the layer is there.
        let _sharing = share_links(home)?;
        let names = Names {
            home,
            links: &links,
            staging: &self.stagings,
            durability: self.driver.home.durability,
        };
        if let Some(parent) = parent {
            let below = parent.short_names(&names)?;
            self.inherit(parent)?;
            let lower: Vec<String> = below.iter().map(|name| format!("l/{name}")).collect();
            self.write(LOWER, &lower.join(":")).attempted(committed)?;
        }
        let own = link::make(&links, id, Form::Diff).attempted(committed)?;
        let mut is_sealed = false;
        let landed = self.publish(home, &links, id, &own, parent, &mut is_sealed);
        let Err(error) = landed else {
            return Ok(());
        };
        if !error.is_published() {
            // What cannot be taken back does no harm: a sweep removes the name, and a layer that
            // is sealed can be built on.
            let _ = link::remove(&links, &own);
            if let Some(parent) = parent.filter(|_| is_sealed) {
                let _ = parent.unseal();
            }
            if error.kind() == io::ErrorKind::AlreadyExists {
                return Err(taken(home, id));
            }
        }
        Err(error).attempted(committed)
    }

    fn publish(
        mut self,
        home: &Dir,
        links: &Dir,
        id: &LayerId,
        own: &str,
        parent: Option<&Layer>,
        is_sealed: &mut bool,
    ) -> layergraph_fs::Result<()> {
        self.write(LINK, own)?;
        self.staging.sync_with(links)?;
        if let Some(parent) = parent {
            *is_sealed = parent.seal()?;
            if *is_sealed {
                self.staging.sync_with(&parent.dir)?;
            }
        }
        let (layer, mode) = (OsStr::new(LAYER), RenameMode::NoReplace);
        let durability = self.driver.home.durability;
        // Once the layer is there, an emptied directory that is still beside it is a sweep's.
        let published = self
            .staging
            .publish_entry(layer, home, id.as_name(), mode, durability);
        published.map(|_| ())
    }
}

impl StagedLayer for Staged {
    fn dir(&self) -> &Dir {
        &self.dir
    }

    fn below(&self) -> Result<Option<View>> {
        let parent = self.parent.as_ref();
        parent.map(|parent| self.driver.view(parent)).transpose()
    }

    fn set_durability(&mut self, durability: layergraph_fs::Durability) {
        self.driver.home.durability = durability;
    }

    fn commit(self: Box<Self>, id: &LayerId, parent: Option<&LayerId>) -> Result<()> {
        if self.parent.is_some() && self.parent.as_ref() != parent {
            let text = format!("layer {id} was not staged on the parent it is committed on");
            return Err(DriverError::new(DriverErrorKind::NotSupported, text));
        }
        if !may_be_layer(id) {
            let text = format!("layer id {id} is taken by the driver itself");
            return Err(DriverError::new(DriverErrorKind::InvalidId, text));
        }
        let home = self.driver.home.make()?;
        if Layer::find(&home, id)?.is_some() {
            return Err(DriverError::already_exists(id));
        }
        let Some(parent) = parent else {
            return self.land(&home, id, None);
        };
        let _locked = lock(&home, parent.as_name())?;
        let (_, parent) = self.driver.home.layer(parent)?;
        self.driver.check_fit_to_build_on(&parent)?;
        self.land(&home, id, Some(&parent))
    }
}

/// Gives a directory owner, mode, times and attributes of another, but for the signs of overlayfs
/// and what belongs to the host.
fn copy_metadata(from: &Dir, to: &Dir) -> layergraph_fs::Result<()> {
    let here = OsStr::new(HERE);
    let metadata = from.metadata_here()?;
    to.set_owner(here, metadata.uid, metadata.gid)?;
    for (key, value) in from.xattrs(here)? {
        let name = key.as_encoded_bytes();
        let passed_over = [
            b"trusted.overlay.".as_slice(),
            b"user.overlay.",
            b"security.",
        ];
        if !passed_over.iter().any(|prefix| name.starts_with(prefix)) {
            to.set_xattr(here, &key, &value)?;
        }
    }
    to.set_mode(here, metadata.mode)?;
    to.set_times(here, Some(metadata.accessed), Some(metadata.modified))
}

/// Says what is in the place of the layer `id`.
fn taken(home: &Dir, id: &LayerId) -> DriverError {
    match Layer::find(home, id) {
        Ok(Some(_)) => DriverError::already_exists(id),
        Ok(None) => {
            let text = format!("what is in the place of layer {id} is no layer of this driver");
            DriverError::new(DriverErrorKind::Damaged, text)
        }
        Err(error) => error,
    }
}
