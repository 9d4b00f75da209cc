//! A tree that is being made.

use layergraph_driver::{
    Attempted, DriverError, DriverErrorKind, DriverOptions, LayerId, Result, StagedLayer,
};
use layergraph_fs::{Dir, Durability, RenameMode, Staging, copy_tree};

use crate::{is_layer, tree};

/// A staged layer: a directory in which its tree has a fixed name, so that the mode of the tree's
/// root lets nobody in before its time.
#[derive(Debug)]
pub(crate) struct Staged {
    staging: Staging,
    dir: Dir,
    /// Where the tree will be.
    trees: Dir,
    parent: Option<LayerId>,
    durability: Durability,
}

impl Staged {
    pub(crate) fn new(
        home: &Dir,
        trees: Dir,
        parent: Option<(&LayerId, Dir)>,
        options: &DriverOptions,
    ) -> Result<Staged> {
        let (staging, dir) = if let Some((id, from)) = &parent {
            let copied = Self::begin(home, |staging| {
                copy_tree(from, id.as_name(), staging.dir(), tree())
            });
            copied.attempted(|| format!("cannot copy layer {id}"))?
        } else {
            let made = Self::begin(home, |staging| {
                staging.dir().make_dir(tree(), 0o755)?;
                // Whatever the umask is.
                staging.dir().set_mode(tree(), 0o755)?;
                match options.ownership.root() {
                    Some((uid, gid)) => staging.dir().set_owner(tree(), uid, gid),
                    None => Ok(()),
                }
            });
            made.attempted(|| "cannot begin a layer".to_owned())?
        };
        Ok(Staged {
            staging,
            dir,
            trees,
            parent: parent.map(|(id, _)| id.clone()),
            durability: options.durability,
        })
    }

    fn begin(
        home: &Dir,
        make: impl FnOnce(&Staging) -> layergraph_fs::Result<()>,
    ) -> layergraph_fs::Result<(Staging, Dir)> {
        let staging = Staging::new(home)?;
        make(&staging)?;
        let dir = staging.dir().open_dir(tree())?;
        Ok((staging, dir))
    }
}

impl StagedLayer for Staged {
    fn dir(&self) -> &Dir {
        &self.dir
    }

    fn set_durability(&mut self, durability: Durability) {
        self.durability = durability;
    }

    fn commit(self: Box<Self>, id: &LayerId, parent: Option<&LayerId>) -> Result<()> {
        let Staged {
            staging,
            dir: _,
            trees,
            parent: copied,
            durability,
        } = *self;
        if copied.as_ref() != parent {
            let text = format!("layer {id} was not staged on the parent it is committed on");
            return Err(DriverError::new(DriverErrorKind::NotSupported, text));
        }
        if is_layer(&trees, id)? {
            return Err(DriverError::already_exists(id));
        }
        let mode = RenameMode::NoReplace;
        match staging.publish_entry(tree(), &trees, id.as_name(), mode, durability) {
            // The layer is there. If the emptied directory beside it is still too, a sweep
            // removes it.
            Ok(_) => Ok(()),
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {
                if is_layer(&trees, id)? {
                    return Err(DriverError::already_exists(id));
                }
                let text = format!("what is in the place of layer {id} is no directory");
                Err(DriverError::new(DriverErrorKind::Damaged, text))
            }
            Err(error) => Err(error).attempted(|| format!("cannot commit layer {id}")),
        }
    }
}
