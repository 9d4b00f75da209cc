//! A layer on disk, in its form of today or one of 2015, and what it stands on.

use std::ffi::OsStr;

use layergraph_archive::Dialect;
use layergraph_driver::{Attempted, DriverError, DriverErrorKind, LayerId, Result};
use layergraph_fs::{Dir, FileKind};

use crate::home::LINKS;
use crate::link::{self, Names};

/// How many layers the kernel mounts on top of each other (`OVL_MAX_STACK`, fs/overlayfs).
pub(crate) const DEEPEST: usize = 500;

/// The short name of a layer, in its directory.
pub(crate) const LINK: &str = "link";
/// The short names of the layers below, in the layer's directory.
pub(crate) const LOWER: &str = "lower";
/// What was below a layer in 2015.
const LOWER_ID: &str = "lower-id";
/// The sign that others are built on a layer.
const SEAL: &str = "committed";

/// No file that tells of other layers is longer: [`DEEPEST`] short names, or an id.
const LONGEST: u64 = 16 * 1024;

/// What the directory with a layer's files is called, and so what it holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    /// What the layer changes.
    Diff,
    /// A whole tree, as images had it in 2015.
    Root,
    /// What the layer changes of the tree of an image, as containers had it in 2015.
    Upper,
}

impl Form {
    const ALL: [Form; 3] = [Form::Diff, Form::Root, Form::Upper];

    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Form::Diff => "diff",
            Form::Root => "root",
            Form::Upper => "upper",
        }
    }

    pub(crate) fn as_name(self) -> &'static OsStr {
        OsStr::new(self.as_str())
    }

    pub(crate) fn of(name: &str) -> Option<Form> {
        Form::ALL.into_iter().find(|form| form.as_str() == name)
    }
}

/// A layer that is there.
#[derive(Debug)]
pub(crate) struct Layer {
    pub(crate) id: LayerId,
    /// The directory in which everything about it is.
    pub(crate) dir: Dir,
    pub(crate) form: Form,
}

/// A layer with all that is below it, the uppermost first.
#[derive(Debug)]
pub(crate) struct Stack {
    pub(crate) ids: Vec<LayerId>,
    pub(crate) dirs: Vec<Dir>,
}

/// Returns whether the name is one of a layer, whatever is called so.
pub(crate) fn may_be_layer(id: &LayerId) -> bool {
    id.as_str() != LINKS
}

impl Layer {
    /// Opens the layer `id`, if it is there.
    pub(crate) fn find(home: &Dir, id: &LayerId) -> Result<Option<Layer>> {
        if !may_be_layer(id) {
            return Ok(None);
        }
        let looked = || format!("cannot look for layer {id}");
        let dir = match home.open_dir(id.as_name()) {
            Err(error) if error.leads_nowhere() => return Ok(None),
            result => result.attempted(looked)?,
        };
        for form in Form::ALL {
            let found = dir.find(form.as_name()).attempted(looked)?;
            if found.is_some_and(|it| it.kind == FileKind::Directory) {
                let id = id.clone();
                return Ok(Some(Layer { id, dir, form }));
            }
        }
        Ok(None)
    }

    /// Opens the directory with the layer's files.
    pub(crate) fn files(&self) -> Result<Dir> {
        let opened = self.dir.open_dir(self.form.as_name());
        opened.attempted(|| format!("cannot open layer {}", self.id))
    }

    /// Opens the layer's directories and those below.
    ///
    /// # Errors
    ///
    /// [`Damaged`](DriverErrorKind::Damaged), with the name of what is missing.
    pub(crate) fn stack(&self, home: &Dir, dialect: Dialect) -> Result<Stack> {
        let mut stack = Stack {
            ids: vec![self.id.clone()],
            dirs: vec![self.files()?],
        };
        match self.form {
            Form::Root => {}
            Form::Upper => {
                self.check_dialect(dialect)?;
                let lower = self.lower_of_2015(home)?;
                stack.dirs.push(lower.files()?);
                stack.ids.push(lower.id);
            }
            Form::Diff => {
                let short = self.lower()?;
                if short.is_empty() {
                    return Ok(stack);
                }
                let links = link::open_all(home)?;
                for short in short {
                    let lower = link::follow(home, &links, &short)
                        .map_err(|error| self.damaged("what is below is damaged").because(error))?;
                    if lower.form == Form::Upper {
                        lower.check_dialect(dialect)?;
                    }
                    stack.dirs.push(lower.files()?);
                    stack.ids.push(lower.id);
                }
            }
        }
        Ok(stack)
    }

    /// Returns the short names of the layer and of all below it, the uppermost first. A layer of
    /// 2015 gets one if it has none; the caller
    /// shares the lock on these.
    pub(crate) fn short_names(&self, names: &Names<'_>) -> Result<Vec<String>> {
        let own = match (link::of(&self.dir, &self.id)?, self.form) {
            (Some(own), _) => own,
            (None, Form::Diff) => return Err(self.damaged("the file link is missing")),
            (None, Form::Root | Form::Upper) => names.add(self)?,
        };
        let mut all = vec![own];
        match self.form {
            Form::Root => {}
            Form::Upper => all.extend(self.lower_of_2015(names.home)?.short_names(names)?),
            Form::Diff => all.extend(self.lower()?),
        }
        Ok(all)
    }

    /// Checks that one more layer can be on top of this one.
    pub(crate) fn check_depth(&self) -> Result<()> {
        let depth = match self.form {
            Form::Root => 1,
            Form::Upper => 2,
            Form::Diff => self.lower()?.len() + 1,
        };
        if depth < DEEPEST {
            return Ok(());
        }
        let text = format!(
            "cannot build on layer {}: it is the uppermost of {depth} layers, and the kernel mounts \
             no more than {DEEPEST}",
            self.id
        );
        Err(DriverError::new(DriverErrorKind::TooDeep, text))
    }

    /// Reads the short names of the layers below.
    pub(crate) fn lower(&self) -> Result<Vec<String>> {
        let Some(text) = self.read(LOWER)? else {
            return Ok(Vec::new());
        };
        let names = text.split(':').map(|part| {
            let name = part.strip_prefix("l/").filter(|name| link::is_valid(name));
            name.map(str::to_owned)
        });
        names
            .collect::<Option<Vec<String>>>()
            .ok_or_else(|| self.damaged(&format!("the file lower says {text:?}")))
    }

    /// Returns the id of the image below a layer of 2015.
    pub(crate) fn lower_id(&self) -> Result<LayerId> {
        let text = self.read(LOWER_ID)?.unwrap_or_default();
        let id = text.trim_end_matches('\n').parse();
        id.map_err(|error| {
            self.damaged("the file lower-id names no layer")
                .because(error)
        })
    }

    fn lower_of_2015(&self, home: &Dir) -> Result<Layer> {
        let id = self.lower_id()?;
        match Layer::find(home, &id)? {
            Some(lower) if lower.form == Form::Root => Ok(lower),
            _ => Err(self.damaged(&format!("there is no {id}/root, which is below it"))),
        }
    }

    /// What is below an upper of 2015 is hidden by attributes that only root reads.
    pub(crate) fn check_dialect(&self, dialect: Dialect) -> Result<()> {
        if dialect == Dialect::Overlay {
            return Ok(());
        }
        let text = format!(
            "layer {} of 2015 marks deletions by trusted attributes, which are not those of this \
             store",
            self.id
        );
        Err(DriverError::new(DriverErrorKind::NotSupported, text))
    }

    /// Tells whether others are built on the layer, or were.
    pub(crate) fn is_sealed(&self) -> Result<bool> {
        let found = self.dir.find(OsStr::new(SEAL));
        let found = found.attempted(|| format!("cannot look at layer {}", self.id))?;
        Ok(found.is_some())
    }

    /// Says that others are built on the layer. Returns whether nobody had said so before.
    pub(crate) fn seal(&self) -> layergraph_fs::Result<bool> {
        match self.dir.create_file(OsStr::new(SEAL), 0o600) {
            Ok(_) => Ok(true),
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Takes back what [`seal`](Layer::seal) said.
    pub(crate) fn unseal(&self) -> layergraph_fs::Result<()> {
        self.dir.remove_file(OsStr::new(SEAL))
    }

    /// Reads a small file of text in the layer's directory, if it is there.
    fn read(&self, name: &str) -> Result<Option<String>> {
        read_text(&self.dir, name, &self.id)
    }

    pub(crate) fn damaged(&self, what: &str) -> DriverError {
        let text = format!("layer {} is damaged: {what}", self.id);
        DriverError::new(DriverErrorKind::Damaged, text)
    }
}

/// Reads a small file of text in the directory of the layer `id`, if it is there.
pub(crate) fn read_text(dir: &Dir, name: &str, id: &LayerId) -> Result<Option<String>> {
    let bytes = match dir.read_file(OsStr::new(name), LONGEST + 1) {
        Err(error) if error.leads_nowhere() => return Ok(None),
        result => result.attempted(|| format!("cannot read {name} of layer {id}"))?,
    };
    let text = String::from_utf8(bytes).ok();
    let text = text.filter(|text| text.len() as u64 <= LONGEST);
    text.map(Some).ok_or_else(|| {
        let text = format!("layer {id} is damaged: the file {name} is no short text");
        DriverError::new(DriverErrorKind::Damaged, text)
    })
}
