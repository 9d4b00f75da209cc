//! Trees and layers from a few words, and back.
//!
//! An object is a line: `d/` a directory, `f = text` a file, `l -> target` a symbolic link,
//! `h => f` a further name of the file `f`. In a layer `.wh.f` and `.wh..wh..opq` are signs.

use std::ffi::OsStr;
use std::fs;
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, SystemTime};

use layergraph_archive::{
    CompareOptions, Dialect, Ownership, Place, UnpackError, UnpackOptions, Unpacked, View, changes,
    listing, pack, unpack,
};
use layergraph_fs::Dir;
use layergraph_tar::{Kind, NewMember, Writer};
use tempfile::TempDir;

/// When all objects of a described tree were modified.
pub(crate) fn moment() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::new(1_000_000_000, 5)
}

pub(crate) fn open(path: &Path) -> Dir {
    Dir::open(path).expect("the directory is there")
}

pub(crate) fn view(path: &Path) -> View {
    View::new(open(path))
}

/// Who runs the tests: what is made by them belongs to these.
pub(crate) fn me() -> (u32, u32) {
    let directory = TempDir::new().expect("a temporary directory");
    let metadata = fs::metadata(directory.path()).expect("it was just made");
    (metadata.uid(), metadata.gid())
}

/// Returns whether this is a process with mounts of its own; if not, the test runs once more in
/// one.
pub(crate) fn has_own_mounts(test: &str) -> bool {
    let mut unshare = Command::new("unshare");
    layergraph_tests::is_within(unshare.arg("--mount"), test).expect("it holds there")
}

/// Writes a layer.
pub(crate) struct Layer(Writer<Vec<u8>>, (u32, u32));

impl Layer {
    pub(crate) fn new() -> Layer {
        Layer(Writer::new(Vec::new()), me())
    }

    /// Makes a member that the user who runs the tests may have.
    pub(crate) fn member<'a>(&self, path: &'a [u8], kind: Kind) -> NewMember<'a> {
        let mode = if kind == Kind::Directory {
            0o755
        } else {
            0o644
        };
        let (uid, gid) = self.1;
        NewMember {
            mode,
            uid,
            gid,
            mtime: moment(),
            ..NewMember::new(path, kind)
        }
    }

    pub(crate) fn add(&mut self, member: &NewMember<'_>, data: &[u8]) {
        let member = NewMember {
            size: data.len() as u64,
            ..*member
        };
        self.0
            .append(&member, data)
            .expect("a member that can be written");
    }

    /// Changes bytes of the header of the first member, which no writer writes so.
    pub(crate) fn with_header(tar: &[u8], at: usize, bytes: &[u8]) -> Vec<u8> {
        let mut tar = tar.to_vec();
        // Behind its extended header, if it has one.
        let start = if tar[156] == b'x' { 1024 } else { 0 };
        let header = &mut tar[start..start + 512];
        header[at..at + bytes.len()].copy_from_slice(bytes);
        header[148..156].fill(b' ');
        let sum: u32 = header.iter().map(|&byte| u32::from(byte)).sum();
        header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        tar
    }

    pub(crate) fn line(&mut self, line: &str) {
        if let Some((path, text)) = line.split_once(" = ") {
            let member = self.member(path.as_bytes(), Kind::File);
            self.add(&member, text.as_bytes());
        } else if let Some((path, target)) = line.split_once(" -> ") {
            let member = self.member(path.as_bytes(), Kind::Symlink);
            self.add(
                &NewMember {
                    link: target.as_bytes(),
                    ..member
                },
                b"",
            );
        } else if let Some((path, target)) = line.split_once(" => ") {
            let member = self.member(path.as_bytes(), Kind::HardLink);
            self.add(
                &NewMember {
                    link: target.as_bytes(),
                    ..member
                },
                b"",
            );
        } else {
            let kind = if line.ends_with('/') {
                Kind::Directory
            } else {
                Kind::File
            };
            let member = self.member(line.as_bytes(), kind);
            self.add(&member, b"");
        }
    }

    pub(crate) fn finish(self) -> Vec<u8> {
        self.0.finish().expect("a vector takes it")
    }
}

/// Writes a layer of lines.
pub(crate) fn layer(lines: &[&str]) -> Vec<u8> {
    let mut layer = Layer::new();
    for line in lines {
        layer.line(line);
    }
    layer.finish()
}

pub(crate) fn apply(tar: &[u8], to: &Path) -> Result<Unpacked, UnpackError> {
    unpack(&mut &*tar, &open(to), &UnpackOptions::default())
}

/// How the user who runs the tests unpacks a layer of which something belongs to root, as do
/// directories that only entries in them imply.
pub(crate) fn options() -> UnpackOptions {
    let mut options = UnpackOptions::default();
    if me().0 != 0 {
        options.ownership = Ownership::Squash;
    }
    options
}

/// Applies an entry that is to be refused because of a mount point, and returns what the error
/// calls it.
#[track_caller]
pub(crate) fn refused_for_mount(tree: &Path, entry: &str) -> String {
    match apply_roots(&layer(&[entry]), tree) {
        Err(UnpackError::Entry { path, source }) => {
            assert_eq!(source.kind(), io::ErrorKind::CrossesDevices, "{source:?}");
            path
        }
        other => panic!("{entry}: {other:?}"),
    }
}

/// Applies entries to an empty tree, with so many steps at the most.
pub(crate) fn apply_in_steps(steps: u64, entries: &[String]) -> Result<Unpacked, UnpackError> {
    let entries: Vec<&str> = entries.iter().map(String::as_str).collect();
    let directory = tree(&[]);
    let mut options = options();
    options.limits.steps = steps;
    unpack(&mut &*layer(&entries), &open(directory.path()), &options)
}

/// Applies a layer of which something belongs to root.
pub(crate) fn apply_roots(tar: &[u8], to: &Path) -> Result<Unpacked, UnpackError> {
    unpack(&mut &*tar, &open(to), &options())
}

/// A layer during which something happens.
pub(crate) struct Interrupted<'a, F> {
    first: &'a [u8],
    /// Runs when all of `first` has been unpacked.
    then: Option<F>,
    second: &'a [u8],
}

impl<'a, F: FnOnce()> Interrupted<'a, F> {
    pub(crate) fn new(tar: &'a [u8], at: usize, then: F) -> Interrupted<'a, F> {
        let (first, second) = tar.split_at(at);
        let then = Some(then);
        Interrupted {
            first,
            then,
            second,
        }
    }
}

impl<F: FnOnce()> Read for Interrupted<'_, F> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if !self.first.is_empty() {
            return self.first.read(buffer);
        }
        if let Some(then) = self.then.take() {
            then();
        }
        self.second.read(buffer)
    }
}

/// Makes a tree of lines.
pub(crate) fn tree(lines: &[&str]) -> TempDir {
    let directory = TempDir::new().expect("a temporary directory");
    let set = fs::set_permissions(
        directory.path(),
        std::os::unix::fs::PermissionsExt::from_mode(0o755),
    );
    set.expect("it is ours");
    apply_roots(&layer(lines), directory.path()).expect("a plain tree");
    directory
}

/// Describes a tree, sorted by path.
pub(crate) fn lines(path: &Path) -> Vec<String> {
    let mut lines = Vec::new();
    for line in listing_of(path).lines().skip(1) {
        let fields: Vec<&str> = line.split('\t').collect();
        let [name, kind, .., first, _] = fields[..] else {
            panic!("a line has eight fields")
        };
        lines.push(match kind {
            "d" => format!("{name}/"),
            "l" => format!("{name} -> {}", fields[4]),
            "f" if first != "-" => format!("{name} => {first}"),
            "f" => {
                let text = fs::read(path.join(name)).expect("a file without odd names");
                format!("{name} = {}", String::from_utf8_lossy(&text))
            }
            kind => format!("{name} {kind}"),
        });
    }
    lines
}

pub(crate) fn listing_of(path: &Path) -> String {
    listing_of_view(&view(path))
}

pub(crate) fn listing_of_view(view: &View) -> String {
    let mut text = Vec::new();
    listing(view, &mut text).expect("the tree can be read");
    String::from_utf8(text).expect("a listing is ASCII")
}

/// Applies a layer to a tree and compares what comes of it, however it is kept.
#[track_caller]
pub(crate) fn check_unpack(before: &[&str], entries: &[&str], after: &[&str]) {
    let directory = tree(before);
    apply_roots(&layer(entries), directory.path()).expect("a good layer");
    assert_eq!(lines(directory.path()), after, "{before:?} and {entries:?}");
    let lower = tree(before);
    let plain = view(directory.path()).with_ownership(options().ownership);
    let expected = listing_of_view(&plain);
    for is_known in [true, false] {
        let upper = unpack_over(&[lower.path()], &layer(entries), is_known);
        let union = union(&[upper.path(), lower.path()]);
        let when = format!("{before:?} below, known first: {is_known}, and {entries:?}");
        assert_eq!(listing_of_view(&union), expected, "{when}");
    }
}

/// The dialect of whiteouts that the user who runs the tests may write.
pub(crate) fn dialect() -> Dialect {
    match me().0 {
        0 => Dialect::Overlay,
        _ => Dialect::OverlayUser,
    }
}

/// Unites layers, the uppermost first.
pub(crate) fn union(layers: &[&Path]) -> View {
    let layers = layers.iter().map(|layer| open(layer)).collect();
    View::union(layers, dialect()).with_ownership(options().ownership)
}

/// Unpacks a layer to a directory of its own, over others.
pub(crate) fn unpack_over(below: &[&Path], tar: &[u8], is_known: bool) -> TempDir {
    let below = union(below);
    if is_known {
        return unpack_known(&below, tar);
    }
    let upper = tree(&[]);
    let dir = open(upper.path());
    let done = unpack(&mut &*tar, Place::detached(&dir), &options());
    let settled = done.and_then(|done| {
        let unsettled = done.unsettled.expect("it is detached");
        unsettled.settle(&dir, &below)
    });
    match settled {
        Ok(()) => upper,
        // It depends on them, and is unpacked once more.
        Err(UnpackError::Below { .. }) => unpack_known(&below, tar),
        Err(other) => panic!("{other:?}"),
    }
}

fn unpack_known(below: &View, tar: &[u8]) -> TempDir {
    let upper = tree(&[]);
    let dir = open(upper.path());
    let root = below.root().expect("it is there");
    dir.set_mode(OsStr::new("."), root.metadata().mode)
        .expect("it is ours");
    let done = unpack(&mut &*tar, Place::over(&dir, below), &options());
    done.expect("a good layer");
    upper
}

/// Applies a layer that must be refused, and returns the message.
#[track_caller]
pub(crate) fn check_refused(before: &[&str], tar: &[u8]) -> String {
    let directory = tree(before);
    let error = apply(tar, directory.path()).expect_err("it must be refused");
    layergraph_tests::error_chain(&error)
}

/// Lists the changes between two trees.
pub(crate) fn changes_between(upper: &Path, lower: Option<&Path>) -> Vec<String> {
    let lower = lower.map(view);
    let changes = changes(&view(upper), lower.as_ref(), &CompareOptions::default());
    changes
        .expect("trees that can be read")
        .iter()
        .map(ToString::to_string)
        .collect()
}

/// Packs what makes `upper` of `lower`.
pub(crate) fn pack_of(upper: &Path, lower: Option<&Path>) -> Vec<u8> {
    let (upper, lower) = (view(upper), lower.map(view));
    let changes =
        changes(&upper, lower.as_ref(), &CompareOptions::default()).expect("readable trees");
    let mut layer = Vec::new();
    pack(&upper, &changes, &mut layer).expect("a tree that a layer can hold");
    layer
}

/// Copies a tree with everything.
pub(crate) fn copy(path: &Path) -> TempDir {
    let directory = TempDir::new().expect("a temporary directory");
    let parent = open(path.parent().expect("a tree in a directory"));
    let name = path.file_name().expect("a tree with a name");
    let to = open(directory.path());
    layergraph_fs::copy_tree(&parent, name, &to, OsStr::new("copy")).expect("a copy");
    directory
}
