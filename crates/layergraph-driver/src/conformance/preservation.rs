//! Everything about a tree is handed down from generation to generation.

use std::ffi::OsStr;
use std::time::{Duration, SystemTime};

use layergraph_archive::Ownership;
use layergraph_tar::{Kind, NewMember};

use super::lab::{Fallible, Lab, apply, id, stage, why_not_root, without};
use super::layer::{Layer, moment};
use super::{Kept, Outcome, Skipped};
use crate::OpenDriver;

/// As the keys and values of a member's extended attributes.
fn attributes(pairs: &[(&str, &[u8])]) -> Vec<(Vec<u8>, Vec<u8>)> {
    let owned = pairs
        .iter()
        .map(|(key, value)| (key.as_bytes().to_vec(), value.to_vec()));
    owned.collect()
}

fn after(seconds: u64, nanos: u32) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::new(seconds, nanos)
}

/// What the objects of the tree belong to, and what kinds there are.
#[derive(Clone, Copy)]
struct Tree {
    /// If not whoever runs this.
    owner: Option<(u32, u32)>,
    /// Whether there are devices, and attributes that only root may set.
    of_root: bool,
}

/// Writes a layer with one of each.
struct OneOfEach {
    layer: Layer,
    tree: Tree,
    /// Attributes that any user may set.
    attributes: Vec<(Vec<u8>, Vec<u8>)>,
}

impl OneOfEach {
    fn layer(tree: Tree) -> Fallible<Vec<u8>> {
        let attributes = attributes(&[
            ("user.key", b"value"),
            ("user.empty", b""),
            ("user.bytes", &[0, 255]),
        ]);
        let layer = Layer::new()?;
        let mut each = OneOfEach {
            layer,
            tree,
            attributes,
        };
        each.directories()?;
        each.files()?;
        each.links_and_nodes()?;
        if tree.of_root && tree.owner.is_none() {
            each.what_only_root_may_have()?;
        }
        each.layer.finish()
    }

    fn member<'a>(&self, path: &'a str, kind: Kind) -> NewMember<'a> {
        let member = self.layer.member(path, kind);
        let (uid, gid) = self.tree.owner.unwrap_or((member.uid, member.gid));
        NewMember { uid, gid, ..member }
    }

    /// Adds an object, on which `change` sets what is not usual.
    fn add(
        &mut self,
        path: &str,
        kind: Kind,
        data: &[u8],
        change: impl FnOnce(&mut NewMember<'_>),
    ) -> Fallible {
        let mut member = self.member(path, kind);
        change(&mut member);
        self.layer.add(&member, data)
    }

    /// Adds an object with attributes.
    fn add_with_attributes(
        &mut self,
        path: &str,
        kind: Kind,
        data: &[u8],
        mode: u32,
        mtime: SystemTime,
    ) -> Fallible {
        let xattrs = self.attributes.clone();
        let member = NewMember {
            mode,
            mtime,
            xattrs: &xattrs,
            ..self.member(path, kind)
        };
        self.layer.add(&member, data)
    }

    fn directories(&mut self) -> Fallible {
        let kind = Kind::Directory;
        self.add_with_attributes("./", kind, b"", 0o1751, after(3, 4))?;
        self.add_with_attributes("d/", kind, b"", 0o3750, after(5, 6))?;
        self.add("d/read-only/", kind, b"", |it| {
            (it.mode, it.mtime) = (0o555, after(7, 999_999_999));
        })?;
        self.add("d/read-only/f", Kind::File, b"in it", |_| {})
    }

    fn files(&mut self) -> Fallible {
        self.add_with_attributes("d/f", Kind::File, b"content", 0o640, after(8, 1))?;
        for (path, mode) in [
            ("set-uid", 0o4711),
            ("set-gid", 0o2755),
            ("read-only", 0o444),
        ] {
            self.add(path, Kind::File, path.as_bytes(), |it| it.mode = mode)?;
        }
        let before_1970 = SystemTime::UNIX_EPOCH - Duration::new(1, 500_000_000);
        self.add("old", Kind::File, b"", |it| it.mtime = before_1970)
    }

    fn links_and_nodes(&mut self) -> Fallible {
        self.add("d/hard", Kind::HardLink, b"", |it| {
            (it.link, it.mode) = (b"set-uid", 0o4711);
        })?;
        self.add("symbolic", Kind::Symlink, b"", |it| {
            (it.link, it.mtime) = (b"../d/f", after(9, 10));
        })?;
        self.add("fifo", Kind::Fifo, b"", |it| {
            (it.mode, it.mtime) = (0o600, after(11, 12));
        })?;
        if self.tree.of_root {
            for (path, kind, mode, device) in [
                ("null", Kind::CharDevice, 0o666, (1, 3)),
                ("disk", Kind::BlockDevice, 0o660, (259, 300_000)),
            ] {
                self.add(path, kind, b"", |it| (it.mode, it.device) = (mode, device))?;
            }
        }
        Ok(())
    }

    fn what_only_root_may_have(&mut self) -> Fallible {
        for (name, (uid, gid)) in [("1-2", (1, 2)), ("many", (u32::MAX - 2, 100_000))] {
            self.add(&format!("of-{name}"), Kind::File, b"", |it| {
                (it.uid, it.gid, it.mode) = (uid, gid, 0o6711);
            })?;
            self.add(&format!("link-of-{name}"), Kind::Symlink, b"", |it| {
                (it.uid, it.gid, it.link) = (uid, gid, b"x");
            })?;
        }
        // CAP_NET_RAW, in the second version of the structure (capabilities(7)).
        let mut capability = [0; 20];
        (capability[0], capability[3], capability[5]) = (1, 2, 32);
        self.attributes = attributes(&[
            ("security.capability", &capability),
            ("trusted.key", b"value"),
        ]);
        self.add_with_attributes("capable", Kind::File, b"", 0o755, moment())
    }
}

/// Makes the tree, and two generations on top of it, of which the first changes nothing and the
/// second something beside it. Returns the description of the first.
fn check_generations(lab: &Lab, tree: Tree) -> Fallible<Vec<String>> {
    let driver = &*lab.driver;
    let staged = stage(driver, None)?;
    apply(driver, &*staged, &OneOfEach::layer(tree)?)?;
    let mut holes = staged.dir().create_file(OsStr::new("holes"), 0o600)?;
    holes.write_all(b"begin")?;
    holes.seek(1 << 20)?;
    holes.write_all(b"middle")?;
    holes.set_size(4 << 20)?;
    drop(holes);
    staged
        .dir()
        .set_times(OsStr::new("."), Some(moment()), Some(after(3, 4)))?;
    staged.commit(&id("first"), None)?;
    let first = lab.tree("first")?;
    assert!(
        first.iter().any(|line| line == "holes in /holes"),
        "{first:#?}"
    );

    stage(driver, Some("first"))?.commit(&id("second"), Some(&id("first")))?;
    assert_eq!(lab.tree("second")?, first);
    lab.layer("third", Some("second"), &["new/", "new/f = 1"])?;
    let is_new = |line: &str| line.starts_with("new") || line.contains("/new");
    let third = lab.tree("third")?;
    assert_eq!(without(&third, is_new), first);
    assert!(third.len() > first.len());
    Ok(first)
}

/// As [`check_generations`], of a tree of devices and all that belongs to somebody else.
fn check_generations_of_another(lab: &Lab) -> Fallible<Vec<String>> {
    let owner = Some((1000, 2000));
    let tree = Tree {
        owner,
        of_root: true,
    };
    let tree = check_generations(lab, tree)?;
    assert!(line(&tree, ".").starts_with(".\td\t1751\t1000:2000\t"));
    assert!(line(&tree, "set-uid").contains("\t4711\t1000:2000\t"));
    assert!(line(&tree, "null").starts_with("null\tc\t0666\t1000:2000\t1,3\t"));
    Ok(tree)
}

fn line<'a>(tree: &'a [String], name: &str) -> &'a str {
    let found = tree
        .iter()
        .find(|line| line.starts_with(&format!("{name}\t")));
    found.expect("the tree has it")
}

/// Owners, modes with set-uid, set-gid and sticky bits, times in nanoseconds of files and of
/// directories, extended attributes, hard links, symbolic links, named pipes, devices, holes, and
/// what the root directory itself is, are those of the first of three generations in the third.
///
/// Needs root.
pub fn everything_is_preserved_over_three_generations(open: OpenDriver) -> Outcome {
    if let Some(reason) = why_not_root()? {
        return Ok(Skipped(reason));
    }
    let lab = Lab::with_ownership(open, Ownership::Preserve)?;
    let tree = check_generations(
        &lab,
        Tree {
            owner: None,
            of_root: true,
        },
    )?;
    assert!(line(&tree, ".").starts_with(".\td\t1751\t"));
    assert!(line(&tree, "disk").contains("\t259,300000\t"));
    assert!(line(&tree, "of-many").contains("\t6711\t4294967293:100000\t"));
    assert!(line(&tree, "capable").contains("security.capability="));
    assert!(line(&tree, "fifo").starts_with("fifo\tp\t0600\t"));
    Ok(Kept)
}

/// As [`everything_is_preserved_over_three_generations`], for what any user may have, in trees that
/// hold it as it is.
pub fn what_a_user_may_have_is_preserved_over_three_generations(open: OpenDriver) -> Outcome {
    let lab = Lab::with_ownership(open, Ownership::Preserve)?;
    let tree = check_generations(
        &lab,
        Tree {
            owner: None,
            of_root: false,
        },
    )?;
    assert!(line(&tree, ".").starts_with(".\td\t1751\t"));
    assert!(line(&tree, "set-uid").contains("\t4711\t"));
    assert!(line(&tree, "d/read-only").contains("\t0555\t"));
    Ok(Kept)
}

/// Owners that ranges of ids map ([`Ownership::Mapped`]) are those of the ranges on disk, are shown
/// as those of the layer, and are handed down. What no layer names is root's of the ranges.
///
/// Needs root.
pub fn mapped_owners_are_kept_over_three_generations(open: OpenDriver) -> Outcome {
    if let Some(reason) = why_not_root()? {
        return Ok(Skipped(reason));
    }
    let users = ["0:100000:1000".parse()?, "1000:200000:1".parse()?];
    let groups = ["0:300000:65536".parse()?];
    let lab = Lab::with_ownership(open, Ownership::mapped(users, groups)?)?;
    let tree = check_generations_of_another(&lab)?;
    assert!(line(&tree, "symbolic").contains("\t1000:2000\t"));
    let layers = lab.driver.layers(&id("third"))?;
    let on_disk = layers.last().ok_or("it has a directory")?.metadata_here()?;
    assert_eq!((on_disk.uid, on_disk.gid), (200_000, 302_000));

    stage(&*lab.driver, None)?.commit(&id("empty"), None)?;
    let tree = lab.tree("empty")?;
    assert!(line(&tree, ".").starts_with(".\td\t0755\t0:0\t"));
    Ok(Kept)
}

/// Owners, modes and devices that an ordinary user cannot have are recorded
/// ([`Ownership::Squash`]), and the record is handed down.
pub fn squash_is_kept_over_three_generations(open: OpenDriver) -> Outcome {
    let lab = Lab::with_ownership(open, Ownership::Squash)?;
    let tree = check_generations_of_another(&lab)?;
    assert!(line(&tree, "d/read-only").contains("\t0555\t1000:2000\t"));
    assert!(line(&tree, "fifo").starts_with("fifo\tp\t0600\t1000:2000\t"));
    Ok(Kept)
}
