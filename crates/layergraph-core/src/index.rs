//! Which nodes there are, kept in memory and compared with the disk when something changed there.
//!
//! What counts is the disk: a name in the graph's directory that the driver has a layer of. The
//! index is only what makes asking by prefix fast. A directory's time of modification tells whether
//! names came or went since it was listed. The clock of a file system is coarse, so a listing is
//! trusted only if the directory had been left alone for a while when it was made.

use std::collections::BTreeSet;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use layergraph_driver::{Driver, LayerId};
use layergraph_fs::Dir;
use truncindex::TruncIndex;

use crate::Result;
use crate::error::Attempted;
use crate::graph::STAGING;

/// Longer than the tick of any kernel's clock, by which file systems stamp their changes.
pub(crate) const TICK: Duration = Duration::from_millis(100);

/// More new names than this are looked up by one listing of the driver's layers.
const MANY: usize = 16;

/// The names of the nodes, shared by threads.
#[derive(Debug, Default)]
pub(crate) struct Index {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    names: TruncIndex,
    /// When the directory was modified last before it was listed, if that can be trusted.
    modified: Option<SystemTime>,
}

impl Index {
    /// Calls `ask` with the index as the disk has it.
    pub(crate) fn ask<T>(
        &self,
        graph: &Dir,
        driver: &dyn Driver,
        ask: impl FnOnce(&TruncIndex) -> T,
    ) -> Result<T> {
        let mut state = self.state();
        state.refresh(graph, driver)?;
        Ok(ask(&state.names))
    }

    /// Calls for a look at the disk, whatever the time of the directory says: the driver's layers
    /// have times of their own.
    pub(crate) fn forget(&self) {
        self.state().modified = None;
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Each step leaves a state that is true or will be refreshed.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn refresh(&mut self, graph: &Dir, driver: &dyn Driver) -> Result<()> {
        let looked = || format!("cannot list {}", graph.path().display());
        let modified = graph.metadata_here().attempted(looked)?.modified;
        if self.modified == Some(modified) {
            return Ok(());
        }
        self.modified = None;
        // Asked before the listing: what changes after it in the same tick goes unseen.
        let now = SystemTime::now();
        let listed: BTreeSet<String> = names_in(graph)?.into_iter().collect();
        let gone: Vec<String> = self
            .names
            .iter()
            .filter(|name| !listed.contains(name))
            .collect();
        for name in gone {
            // It is in the index, or it would not have been found there.
            let _ = self.names.remove(&name);
        }
        let new: Vec<&String> = listed
            .iter()
            .filter(|name| !self.names.contains(name))
            .collect();
        let known = if new.len() > MANY {
            let layers = driver
                .list()
                .attempted(|| "cannot list the layers".to_owned())?;
            let layers: BTreeSet<&str> = layers.iter().map(LayerId::as_str).collect();
            new.into_iter()
                .filter(|name| layers.contains(name.as_str()))
                .collect()
        } else {
            known_to(driver, new)?
        };
        // Names that an index does not take, such as those with a blank, are left out.
        if self.names.is_empty() {
            self.names = known.into_iter().collect();
        } else {
            self.names.extend(known);
        }
        if modified + TICK < now {
            self.modified = Some(modified);
        }
        Ok(())
    }
}

fn known_to<'a>(driver: &dyn Driver, names: Vec<&'a String>) -> Result<Vec<&'a String>> {
    let mut known = Vec::new();
    for name in names {
        let Ok(id) = name.parse::<LayerId>() else {
            continue;
        };
        if driver
            .exists(&id)
            .attempted(|| format!("cannot look for image {name}"))?
        {
            known.push(name);
        }
    }
    Ok(known)
}

/// Lists the names in the graph's directory that nodes could have, sorted.
pub(crate) fn names_in(graph: &Dir) -> Result<Vec<String>> {
    let entries = graph.entries();
    let entries = entries.attempted(|| format!("cannot list {}", graph.path().display()))?;
    let mut names: Vec<String> = entries
        .into_iter()
        .filter_map(|entry| entry.name.into_string().ok())
        .filter(|name| name != STAGING)
        .collect();
    names.sort_unstable();
    Ok(names)
}
