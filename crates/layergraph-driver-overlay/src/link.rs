//! The short names of layers, by which `lower` names those below.
//!
//! A short name is a link in `l` to the directory with the layer's files, and the text of the
//! file `link` in the layer's directory. The link is there before the layer is, and goes after it;
//! one that no layer has is a leftover.

use std::ffi::OsStr;
use std::io;

use layergraph_driver::{Attempted, DriverError, DriverErrorKind, LayerId, Result};
use layergraph_fs::{Dir, Durability, FsError, RenameMode, Staging};

use crate::home::LINKS;
use crate::layer::{Form, LINK, Layer, read_text};

/// How long a short name is, in bytes.
const LENGTH: usize = 26;
/// What it is made of: five bits each.
const ALPHABET: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";

/// Returns whether a text is a short name. Other programs use all capital letters and digits.
pub(crate) fn is_valid(name: &str) -> bool {
    let is_fit = |byte: u8| byte.is_ascii_uppercase() || byte.is_ascii_digit();
    name.len() == LENGTH && name.bytes().all(is_fit)
}

/// Opens the directory of short names.
pub(crate) fn open_all(home: &Dir) -> Result<Dir> {
    let opened = home.open_dir(OsStr::new(LINKS));
    opened.attempted(|| format!("cannot open the short names in {}", home.path().display()))
}

/// Makes a short name for what will be `<id>/<form>`, or is.
pub(crate) fn make(links: &Dir, id: &LayerId, form: Form) -> layergraph_fs::Result<String> {
    let mut bytes = [0; LENGTH];
    getrandom::fill(&mut bytes)
        .map_err(|error| FsError::new("getrandom", links.path(), error.into()))?;
    let letters = bytes.map(|byte| char::from(ALPHABET[usize::from(byte) % ALPHABET.len()]));
    let name = String::from_iter(letters);
    let target = format!("../{id}/{}", form.as_str());
    links.make_symlink(OsStr::new(&name), OsStr::new(&target))?;
    Ok(name)
}

/// Removes a short name, which somebody else may have done.
pub(crate) fn remove(links: &Dir, name: &str) -> layergraph_fs::Result<()> {
    match links.remove_file(OsStr::new(name)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        result => result,
    }
}

/// Returns the short name of the layer `id`, whose directory is given, if it has one.
pub(crate) fn of(dir: &Dir, id: &LayerId) -> Result<Option<String>> {
    let Some(name) = read_text(dir, LINK, id)? else {
        return Ok(None);
    };
    if is_valid(&name) {
        return Ok(Some(name));
    }
    let text = format!("layer {id} is damaged: the file link says {name:?}");
    Err(DriverError::new(DriverErrorKind::Damaged, text))
}

/// Where short names are made. Who makes some shares the lock on them.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Names<'a> {
    /// The driver's directory.
    pub(crate) home: &'a Dir,
    /// That of the short names.
    pub(crate) links: &'a Dir,
    /// Where files are made.
    pub(crate) staging: &'a Dir,
    pub(crate) durability: Durability,
}

impl Names<'_> {
    /// Gives a short name to a layer of 2015 that has none, and returns it, or the one that
    /// somebody else has given it meanwhile.
    pub(crate) fn add(&self, layer: &Layer) -> Result<String> {
        let id = &layer.id;
        let named = || format!("cannot give layer {id} a short name");
        let name = make(self.links, id, layer.form).attempted(named)?;
        match self.publish(layer, &name) {
            Err(error) if !error.is_published() => {
                // What no layer has, a sweep removes.
                let _ = remove(self.links, &name);
                if error.kind() != io::ErrorKind::AlreadyExists {
                    return Err(error).attempted(named);
                }
                of(&layer.dir, id)?.ok_or_else(|| layer.damaged("the file link is missing"))
            }
            result => result.map(|()| name).attempted(named),
        }
    }

    fn publish(&self, layer: &Layer, name: &str) -> layergraph_fs::Result<()> {
        if self.durability == Durability::Full {
            self.links.sync()?;
        }
        let staging = Staging::new(self.staging)?;
        let link = OsStr::new(LINK);
        let mut file = staging.dir().create_file(link, 0o600)?;
        file.write_all(name.as_bytes())?;
        drop(file);
        let (mode, durability) = (RenameMode::NoReplace, self.durability);
        staging.publish_entry(link, &layer.dir, link, mode, durability)?;
        Ok(())
    }
}

/// Finds the layer that a short name is for.
///
/// # Errors
///
/// [`Damaged`](DriverErrorKind::Damaged), with the name of what is missing.
pub(crate) fn follow(home: &Dir, links: &Dir, name: &str) -> Result<Layer> {
    let damaged = |what: String| DriverError::new(DriverErrorKind::Damaged, what);
    let Some((id, form)) = target(links, name)? else {
        return Err(damaged(format!("there is no link l/{name} to a layer")));
    };
    match Layer::find(home, &id)? {
        Some(layer) if layer.form == form => Ok(layer),
        _ => {
            let form = form.as_str();
            let text = format!("there is no {id}/{form}, to which l/{name} leads");
            Err(damaged(text))
        }
    }
}

/// Reads to which layer a short name leads, whether that is there or not.
fn target(links: &Dir, name: &str) -> Result<Option<(LayerId, Form)>> {
    use io::ErrorKind::{InvalidInput, NotFound};
    let target = match links.read_link(OsStr::new(name)) {
        // It is missing, or no link.
        Err(error) if matches!(error.kind(), NotFound | InvalidInput) => return Ok(None),
        result => result.attempted(|| format!("cannot read the link l/{name}"))?,
    };
    let parse = || {
        let (id, form) = target.to_str()?.strip_prefix("../")?.split_once('/')?;
        Some((id.parse().ok()?, Form::of(form)?))
    };
    Ok(parse())
}

/// Lists the short names that lead to the layer `id`.
pub(crate) fn all_of(links: &Dir, id: &LayerId) -> Result<Vec<String>> {
    let listed = || format!("cannot list {}", links.path().display());
    let mut all = Vec::new();
    for name in links.sorted_names().attempted(listed)? {
        if let Ok(name) = name.into_string()
            && target(links, &name)?.is_some_and(|(target, _)| target == *id)
        {
            all.push(name);
        }
    }
    Ok(all)
}

/// Removes the short names that no layer has, and returns how many there were. The caller keeps
/// everybody from making some.
pub(crate) fn sweep(home: &Dir, links: &Dir) -> Result<usize> {
    let leftovers = leftovers(home, links)?;
    for name in &leftovers {
        remove(links, name).attempted(|| cannot_sweep(links))?;
    }
    Ok(leftovers.len())
}

/// Lists the short names that no layer has, or that a layer has not yet.
pub(crate) fn leftovers(home: &Dir, links: &Dir) -> Result<Vec<String>> {
    let mut leftovers = Vec::new();
    for name in links.sorted_names().attempted(|| cannot_sweep(links))? {
        // Whatever has another name was not put there by a driver.
        let Some(name) = name.to_str().filter(|name| is_valid(name)) else {
            continue;
        };
        let Some((id, _)) = target(links, name)? else {
            continue;
        };
        let layer = Layer::find(home, &id)?;
        // A layer that cannot say its name may have this one.
        let has_name = layer.is_some_and(|layer| {
            of(&layer.dir, &id).map_or(true, |own| own.as_deref() == Some(name))
        });
        if !has_name {
            leftovers.push(name.to_owned());
        }
    }
    Ok(leftovers)
}

fn cannot_sweep(links: &Dir) -> String {
    format!("cannot sweep {}", links.path().display())
}
