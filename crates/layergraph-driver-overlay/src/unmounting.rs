//! The end of mounts, and whether a layer is in one.

use std::ffi::OsStr;
use std::io;
use std::path::Path;

use layergraph_driver::{Attempted, DriverError, DriverErrorKind, LayerId, Result};
use layergraph_fs::Dir;

use crate::driver::OverlayDriver;
use crate::here::{mount_id, path_of};
use crate::home::{MOUNTS, lock, try_lock};
use crate::mount::unmount;
use crate::record::{self, Record, here};

impl OverlayDriver {
    /// Ends one mount of the layer at the driver's own place.
    pub(crate) fn unmount_layer(&self, id: &LayerId) -> Result<()> {
        let (Some(home), Some(mounts)) = (self.home.find()?, self.home.find_in(MOUNTS)?) else {
            return Ok(());
        };
        if record::read(&mounts, id.as_name())?.is_none() {
            return Ok(());
        }
        let _locked = lock(&home, id.as_name())?;
        match record::read(&mounts, id.as_name())? {
            Some(record) => end(record, &mounts, id.as_name()).map(drop),
            None => Ok(()),
        }
    }

    /// Ends the mount at a path of the caller's.
    pub(crate) fn unmount_target(&self, target: &Path) -> Result<()> {
        let missing = || {
            let text = format!("no layer is mounted at {}", target.display());
            DriverError::new(DriverErrorKind::NotFound, text)
        };
        let dir = match Dir::open(target) {
            Err(error) if error.leads_nowhere() => return Err(missing()),
            result => result.attempted(|| format!("cannot open {}", target.display()))?,
        };
        let path =
            path_of(&dir).attempted(|| format!("cannot tell what {} is", target.display()))?;
        // It would be in use.
        drop(dir);
        let name = record::name_of(&path);
        let (Some(home), Some(mounts)) = (self.home.find()?, self.home.find_in(MOUNTS)?) else {
            return Err(missing());
        };
        let _locked = lock(&home, &name)?;
        let record = record::read(&mounts, &name)?.ok_or_else(missing)?;
        if end(record, &mounts, &name)? {
            Ok(())
        } else {
            Err(missing())
        }
    }

    /// Checks that the layer is not mounted to be changed.
    pub(crate) fn check_settled(&self, id: &LayerId) -> Result<()> {
        self.check_mounts(|record| record.manner.writable && record.is_of(id), id)
    }

    /// Checks that the layer is in no mount.
    pub(crate) fn check_unmounted(&self, id: &LayerId) -> Result<()> {
        self.check_mounts(|record| record.uses(id), id)
    }

    fn check_mounts(&self, counts: impl Fn(&Record) -> bool, id: &LayerId) -> Result<()> {
        let Some(mounts) = self.home.find_in(MOUNTS)? else {
            return Ok(());
        };
        for name in record::names(&mounts)? {
            let record = record::read(&mounts, &name)?;
            let Some(record) = record.filter(&counts) else {
                continue;
            };
            if record.is_live(&here()?)? {
                return Err(record.in_use(id));
            }
        }
        Ok(())
    }
}

/// Removes the records of mounts that are gone, and returns how many there were.
pub(crate) fn sweep(home: &Dir, mounts: &Dir) -> Result<usize> {
    let mut swept = 0;
    let mut failed = None;
    for name in record::names(mounts)? {
        match sweep_record(home, mounts, &name) {
            Ok(removed) => swept += usize::from(removed),
            Err(error) => failed = failed.or(Some(error)),
        }
    }
    failed.map_or(Ok(swept), Err)
}

fn sweep_record(home: &Dir, mounts: &Dir, name: &OsStr) -> Result<bool> {
    // Whoever holds the lock may be about to mount.
    let Some(_locked) = try_lock(home, name)? else {
        return Ok(false);
    };
    match record::read(mounts, name)? {
        Some(record) if !record.is_live(&here()?)? => record::remove(mounts, name).map(|()| true),
        _ => Ok(false),
    }
}

/// Counts one less, and ends the mount if nobody is left. Returns whether it was there.
fn end(mut record: Record, mounts: &Dir, name: &OsStr) -> Result<bool> {
    let here = here()?;
    if !record.is_live(&here)? {
        return record::remove(mounts, name).map(|()| false);
    }
    let path = record.target();
    let busy = |why: &str| {
        let text = format!("cannot unmount {}: {why}", path.display());
        DriverError::new(DriverErrorKind::InUse, text)
    };
    if !record.is_here(&here) {
        return Err(busy("it is mounted in another mount namespace"));
    }
    if record.count > 1 {
        record.count -= 1;
        return record.write(mounts, name).map(|()| true);
    }
    let found = Dir::open(&path).and_then(|dir| mount_id(&dir));
    let found = found.attempted(|| format!("cannot look at {}", path.display()))?;
    if record.mount.is_some_and(|mount| mount != found) {
        return Err(busy("something else is mounted over it"));
    }
    match unmount(&path) {
        Ok(()) => record::remove(mounts, name).map(|()| true),
        Err(error) => {
            let kind = match error.kind() {
                io::ErrorKind::ResourceBusy => DriverErrorKind::InUse,
                io::ErrorKind::PermissionDenied => DriverErrorKind::Prerequisites,
                _ => DriverErrorKind::Failed,
            };
            let text = format!("cannot unmount {}", path.display());
            Err(DriverError::new(kind, text).because(error))
        }
    }
}
