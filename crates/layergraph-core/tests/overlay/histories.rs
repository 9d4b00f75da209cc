//! Random histories of layers, kept by the drivers vfs and overlay: one tree, however it is kept,
//! read and made.

use std::sync::Arc;

use layergraph_archive::{Place, UnpackError, UnpackOptions, View, listing, unpack};
use layergraph_driver::{Driver, DriverOptions, LayerId, MountOptions, OpenDriver, naive};
use layergraph_driver_overlay::OverlayDriver;
use layergraph_driver_vfs::VfsDriver;
use layergraph_fs::{Dir, Durability};
use layergraph_tar::{Kind, NewMember, Writer};
use layergraph_tests::Scratch;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::TestRunner;

use crate::kept;
use crate::support::{me, moment};

/// Few names, so that layers meet.
const NAMES: [&str; 3] = ["a", "b", "c"];

/// What a layer says of a path.
#[derive(Debug, Clone)]
enum Says {
    Directory(u32),
    File(&'static str, u32),
    Symlink(&'static str),
    /// Another name of what is at this path.
    Link(String),
    Fifo,
    Whiteout,
    /// Of a directory: nothing of it below is there.
    Opaque,
}

type Entry = (String, Says);

fn path() -> impl Strategy<Value = String> {
    vec(proptest::sample::select(&NAMES[..]), 1..4).prop_map(|names| names.join("/"))
}

fn entry() -> impl Strategy<Value = Entry> {
    let mode = || proptest::sample::select(vec![0o755, 0o700, 0o4711]);
    let text = proptest::sample::select(vec!["", "one", "two", "three"]);
    let target = proptest::sample::select(vec!["a", "/b", "../c", "nowhere"]);
    let says = prop_oneof![
        4 => mode().prop_map(Says::Directory),
        5 => (text, mode()).prop_map(|(text, mode)| Says::File(text, mode)),
        1 => target.prop_map(Says::Symlink),
        1 => path().prop_map(Says::Link),
        1 => Just(Says::Fifo),
        3 => Just(Says::Whiteout),
        1 => Just(Says::Opaque),
    ];
    (path(), says)
}

fn written(entries: &[Entry]) -> Vec<u8> {
    let mut writer = Writer::new(Vec::new());
    for (path, says) in entries {
        let (directory, name) = path.rsplit_once('/').unwrap_or((".", path));
        let (path, kind, mode) = match says {
            Says::Directory(mode) => (format!("{path}/"), Kind::Directory, *mode),
            Says::File(_, mode) => (path.clone(), Kind::File, *mode),
            Says::Symlink(_) => (path.clone(), Kind::Symlink, 0o777),
            Says::Link(_) => (path.clone(), Kind::HardLink, 0o640),
            Says::Fifo => (path.clone(), Kind::Fifo, 0o600),
            Says::Whiteout => (format!("{directory}/.wh.{name}"), Kind::File, 0o600),
            Says::Opaque => (format!("{path}/.wh..wh..opq"), Kind::File, 0o600),
        };
        let (link, text) = match says {
            Says::Symlink(target) => (*target, ""),
            Says::Link(target) => (target.as_str(), ""),
            Says::File(text, _) => ("", *text),
            _ => ("", ""),
        };
        let member = NewMember {
            mode,
            uid: me().0,
            gid: me().1,
            mtime: moment(),
            size: text.len() as u64,
            link: link.as_bytes(),
            ..NewMember::new(path.as_bytes(), kind)
        };
        let appended = writer.append(&member, text.as_bytes());
        appended.expect("a member that can be written");
    }
    writer.finish().expect("a vector takes it")
}

/// How layers are made of what is given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    /// Over what is below, or in a copy of it.
    OnParent,
    /// Before anybody knows what is below.
    Detached,
}

/// A driver with a store of its own, and how its layers are made.
struct Side {
    driver: Arc<dyn Driver>,
    way: Way,
    _root: Scratch,
}

impl Side {
    fn new(open: OpenDriver, way: Way) -> Side {
        let root = Scratch::in_memory().expect("a directory");
        let mut options = DriverOptions::default();
        options.durability = Durability::None;
        Side {
            driver: open(root.path(), &options).expect("it works in memory"),
            way,
            _root: root,
        }
    }

    /// Adds a layer, or returns why the tar makes none here.
    fn add(&self, id: &LayerId, parent: Option<&LayerId>, tar: &[u8]) -> Result<(), UnpackError> {
        if self.way == Way::Detached
            && let Some(parent) = parent
        {
            let staged = self.driver.stage(None).expect("a staged layer");
            let done = unpack(&mut &*tar, Place::detached(staged.dir()), &options());
            let below = self.driver.view(parent).expect("the parent is there");
            let settled = done.and_then(|done| {
                let unsettled = done.unsettled.expect("it is detached");
                unsettled.settle(staged.dir(), &below)
            });
            match settled {
                Ok(()) => {
                    staged.commit(id, Some(parent)).expect("the id is free");
                    return Ok(());
                }
                // It depends on what is below, and is unpacked once more.
                Err(UnpackError::Below { .. }) => {}
                Err(other) => return Err(other),
            }
        }
        let staged = self.driver.stage(parent).expect("a staged layer");
        let below = staged.below().expect("the parent is there");
        let place = match &below {
            Some(below) => Place::over(staged.dir(), below),
            None => staged.dir().into(),
        };
        unpack(&mut &*tar, place, &options())?;
        staged.commit(id, parent).expect("the id is free");
        Ok(())
    }

    fn viewed(&self, id: &LayerId) -> String {
        listing_of(&self.driver.view(id).expect("the layer is there"))
    }

    fn mounted(&self, id: &LayerId) -> String {
        let path = self.driver.mount(id, &MountOptions::default());
        let path = path.expect("a mounted layer");
        let listing = listing_of(&View::new(Dir::open(&path).expect("it was just mounted")));
        self.driver.unmount(id).expect("nobody uses it");
        listing
    }

    /// What makes a layer of its parent, and its size.
    fn changes(&self, id: &LayerId, parent: Option<&LayerId>) -> (Vec<String>, u64) {
        let changes = self.driver.changes(id, parent).expect("readable trees");
        let size = naive::diff_size(&changes);
        (changes.iter().map(ToString::to_string).collect(), size)
    }
}

fn options() -> UnpackOptions {
    UnpackOptions::default()
}

fn listing_of(view: &View) -> String {
    let mut text = Vec::new();
    listing(view, &mut text).expect("a readable tree");
    String::from_utf8(text).expect("a listing is ASCII")
}

fn check(history: &[Vec<Entry>]) {
    let sides = [
        Side::new(VfsDriver::open_dyn, Way::OnParent),
        Side::new(OverlayDriver::open_dyn, Way::OnParent),
        Side::new(OverlayDriver::open_dyn, Way::Detached),
    ];
    let mut parent: Option<LayerId> = None;
    for (number, entries) in history.iter().enumerate() {
        let tar = written(entries);
        let id: LayerId = format!("layer-{number}").parse().expect("a plain name");
        let added = sides
            .each_ref()
            .map(|side| side.add(&id, parent.as_ref(), &tar));
        let are_added = added.each_ref().map(Result::is_ok);
        assert_eq!(are_added, [are_added[0]; 3], "{entries:?}: {added:?}");
        if !are_added[0] {
            continue;
        }
        let [plain, overlays @ ..] = &sides;
        let tree = plain.viewed(&id);
        let changes = plain.changes(&id, parent.as_ref());
        for side in overlays {
            assert_eq!(side.viewed(&id), tree, "{:?} {entries:?}", side.way);
            let of_side = side.changes(&id, parent.as_ref());
            assert_eq!(of_side, changes, "{:?} {entries:?}", side.way);
            assert_eq!(side.mounted(&id), tree, "{:?} {entries:?}", side.way);
        }
        parent = Some(id);
    }
}

#[test]
fn a_history_makes_one_tree_however_its_layers_are_kept_read_and_made() {
    layergraph_tests::require!(that(kept::CAN_MOUNT)());
    let mut runner = TestRunner::new(ProptestConfig::with_cases(32));
    let histories = vec(vec(entry(), 0..7), 2..5);
    let result = runner.run(&histories, |history| {
        check(&history);
        Ok(())
    });
    result.unwrap_or_else(|error| panic!("{error}"));
}
