//! Owners that ranges of ids map: other ones on disk, the same ones in every layer.

use std::env;
use std::error::Error;
use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use layergraph_archive::recipe::{NewRecipe, assemble, unpack_with_recipe};
use layergraph_archive::{
    CompareOptions, Ownership, PackError, UnpackError, UnpackOptions, View, changes, pack, unpack,
    unpack_atomic,
};
use layergraph_fs::Durability;
use layergraph_tar::{Kind, NewMember};
use layergraph_tests::{again, has_passed, installed, require, run, this_test};
use tempfile::TempDir;

use crate::support::{Layer, layer, lines, listing_of, listing_of_view, open, tree};

type Outcome = Result<(), Box<dyn Error>>;

/// What is set for one object.
type Stated = (u32, u32, u32, Vec<(Vec<u8>, Vec<u8>)>);

/// As a container has it: its root is somebody, and the others are many.
fn mapped() -> Ownership {
    let users = ["0:1000000:1", "1:2000000:65535"].map(str::parse);
    let users: Result<Vec<_>, _> = users.into_iter().collect();
    let groups = "0:3000000:65536".parse().map(|range| [range]);
    let mapped = Ownership::mapped(users.expect("ranges"), groups.expect("a range"));
    mapped.expect("they do not overlap")
}

fn on_disk(path: &Path) -> (u32, u32) {
    let metadata = fs::symlink_metadata(path).expect("it was made");
    (metadata.uid(), metadata.gid())
}

fn options(ownership: Ownership) -> UnpackOptions {
    let mut options = UnpackOptions::default();
    options.ownership = ownership;
    options
}

/// Makes a tree for ranges of ids: its root belongs to their root.
fn mapped_tree(lines: &[&str]) -> TempDir {
    let directory = tree(&[]);
    chown(directory.path(), Some(1_000_000), Some(3_000_000)).expect("we are root");
    if !lines.is_empty() {
        apply(&layer(lines), directory.path()).expect("a plain tree");
    }
    directory
}

fn apply(tar: &[u8], to: &Path) -> Result<(), UnpackError> {
    unpack(&mut &*tar, &open(to), &options(mapped())).map(|_| ())
}

fn mapped_view(path: &Path) -> View {
    View::new(open(path)).with_ownership(mapped())
}

fn packed(view: &View) -> Result<Vec<u8>, PackError> {
    let changes = changes(view, None, &CompareOptions::default())?;
    let mut layer = Vec::new();
    pack(view, &changes, &mut layer)?;
    Ok(layer)
}

/// `CAP_NET_RAW` for the root of a namespace, or in the older form for any.
fn capability(root: Option<u32>) -> Vec<u8> {
    let revision = if root.is_some() { 3 } else { 2 };
    let mut value = vec![
        1, 0, 0, revision, 0, 0x20, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
    ];
    value.extend(root.unwrap_or_default().to_le_bytes());
    value.truncate(if root.is_some() { 24 } else { 20 });
    value
}

/// A list by which a user and a group may read.
fn acl(user: u32, group: u32) -> Vec<u8> {
    let nobody = u32::MAX;
    let mut list = vec![2, 0, 0, 0];
    for (tag, permission, id) in [
        (0x01, 6, nobody),
        (0x02, 4, user),
        (0x04, 4, nobody),
        (0x08, 4, group),
        (0x10, 4, nobody),
        (0x20, 4, nobody),
    ] {
        list.extend_from_slice(&[tag, 0, permission, 0]);
        list.extend_from_slice(&u32::to_le_bytes(id));
    }
    list
}

fn with(key: &str, value: Vec<u8>) -> Vec<(Vec<u8>, Vec<u8>)> {
    vec![(key.into(), value)]
}

fn add(layer: &mut Layer, path: &str, kind: Kind, (uid, gid, mode, xattrs): &Stated) {
    let member = layer.member(path.as_bytes(), kind);
    let link: &[u8] = match kind {
        Kind::HardLink => b"d/set-uid",
        Kind::Symlink => b"nowhere",
        _ => b"",
    };
    let device = match kind {
        Kind::CharDevice | Kind::BlockDevice => (7, 300),
        _ => (0, 0),
    };
    let content = if kind == Kind::File {
        path.as_bytes()
    } else {
        b""
    };
    let (uid, gid, mode) = (*uid, *gid, *mode);
    let member = NewMember {
        uid,
        gid,
        mode,
        link,
        device,
        xattrs,
        ..member
    };
    layer.add(&member, content);
}

/// A layer with one of each, and with devices if root of the first namespace makes them.
fn one_of_each(has_devices: bool) -> Vec<u8> {
    let mut layer = Layer::new();
    for (path, kind, (uid, gid, mode)) in [
        ("./", Kind::Directory, (5, 6, 0o751)),
        ("d/", Kind::Directory, (1, 65_535, 0o2750)),
        ("d/set-uid", Kind::File, (65_535, 1, 0o6711)),
        ("d/link", Kind::HardLink, (65_535, 1, 0o6711)),
        ("implied/of-root", Kind::File, (0, 0, 0o600)),
        ("symbolic", Kind::Symlink, (7, 8, 0o777)),
        ("fifo", Kind::Fifo, (9, 10, 0o640)),
    ] {
        add(&mut layer, path, kind, &(uid, gid, mode, Vec::new()));
    }
    let capable = with("security.capability", capability(None));
    add(&mut layer, "capable", Kind::File, &(11, 12, 0o755, capable));
    let capable = with("security.capability", capability(Some(500)));
    add(
        &mut layer,
        "capable-for-500",
        Kind::File,
        &(0, 0, 0o755, capable),
    );
    let listed = with("system.posix_acl_access", acl(13, 14));
    add(&mut layer, "listed", Kind::File, &(15, 16, 0o644, listed));
    let bequeathed = with("system.posix_acl_default", acl(17, 18));
    add(
        &mut layer,
        "listed-d/",
        Kind::Directory,
        &(0, 1, 0o755, bequeathed),
    );
    if has_devices {
        for (path, kind) in [("char", Kind::CharDevice), ("block", Kind::BlockDevice)] {
            add(&mut layer, path, kind, &(3, 4, 0o660, Vec::new()));
        }
    }
    layer.finish()
}

#[test]
fn r23_r42_a_mapped_tree_is_shown_packed_and_put_together_as_a_preserved_one() -> Outcome {
    require!(root);
    let tar = one_of_each(true);
    let (preserved, mapped_to, home) = (tree(&[]), mapped_tree(&[]), TempDir::new()?);
    unpack(
        &mut &*tar,
        &open(preserved.path()),
        &options(Ownership::Preserve),
    )?;
    let recipe = NewRecipe {
        home: &open(home.path()),
        name: OsStr::new("recipe"),
    };
    let dir = open(mapped_to.path());
    unpack_with_recipe(&mut &*tar, &dir, &options(mapped()), recipe)?;

    let view = mapped_view(mapped_to.path());
    assert_eq!(listing_of_view(&view), listing_of(preserved.path()));
    for (path, owner) in [
        ("", (2_000_004, 3_000_006)),
        ("d", (2_000_000, 3_065_535)),
        ("d/link", (2_065_534, 3_000_001)),
        ("implied", (1_000_000, 3_000_000)),
        ("implied/of-root", (1_000_000, 3_000_000)),
        ("symbolic", (2_000_006, 3_000_008)),
        ("fifo", (2_000_008, 3_000_010)),
        ("block", (2_000_002, 3_000_004)),
    ] {
        assert_eq!(on_disk(&mapped_to.path().join(path)), owner, "{path}");
    }
    let value = |name: &str, key: &str| dir.xattr(name.as_ref(), key.as_ref());
    assert_eq!(
        value("capable", "security.capability")?,
        Some(capability(Some(1_000_000)))
    );
    let for_500 = value("capable-for-500", "security.capability")?;
    assert_eq!(for_500, Some(capability(Some(2_000_499))));
    let list = value("listed", "system.posix_acl_access")?;
    assert_eq!(list, Some(acl(2_000_012, 3_000_014)));

    let plain = View::new(open(preserved.path()));
    assert!(packed(&view)? == packed(&plain)?);
    // Nothing has changed between the two, in the ids of layers.
    assert_eq!(
        changes(&view, Some(&plain), &CompareOptions::default())?,
        []
    );
    let mut again = Vec::new();
    assemble(
        fs::File::open(home.path().join("recipe"))?,
        &view,
        &mut again,
    )?;
    assert!(again == tar);

    // And what was packed of it makes the same tree.
    let twice = mapped_tree(&[]);
    apply(&packed(&view)?, twice.path())?;
    assert_eq!(listing_of(twice.path()), listing_of(mapped_to.path()));
    Ok(())
}

#[test]
fn r23_an_owner_in_no_range_is_refused_before_anything_is_made() {
    require!(root);
    let ok = (0, 0, 0o755, Vec::new());
    let many = 65_536;
    for kind in [
        Kind::File,
        Kind::Directory,
        Kind::Symlink,
        Kind::HardLink,
        Kind::Fifo,
        Kind::CharDevice,
    ] {
        for (uid, gid, said) in [
            (many, 0, "no range has the uid 65536"),
            (0, many, "no range has the gid 65536"),
            (u32::MAX - 1, 0, "no range has the uid 4294967294"),
        ] {
            let directory = mapped_tree(&["old = 1", "d/", "d/set-uid = 1"]);
            let before = listing_of(directory.path());
            for path in ["new", "old"] {
                let mut layer = Layer::new();
                add(&mut layer, path, kind, &(uid, gid, 0o755, Vec::new()));
                check_refused(&layer.finish(), directory.path(), (path, said));
                assert_eq!(listing_of(directory.path()), before, "{kind:?} {path}");
            }
        }
        // With others all is well.
        let directory = mapped_tree(&["d/", "d/set-uid = 1"]);
        let mut layer = Layer::new();
        add(&mut layer, "new", kind, &ok);
        apply(&layer.finish(), directory.path()).expect("an owner who is mapped");
    }
}

#[track_caller]
fn check_refused(tar: &[u8], to: &Path, (path, said): (&str, &str)) {
    let refused = apply(tar, to).expect_err("it must be refused");
    let UnpackError::Entry {
        path: found,
        source,
    } = &refused
    else {
        panic!("{refused:?}");
    };
    assert_eq!(found.trim_end_matches('/'), path);
    let reason = Error::source(source).expect("there is a reason");
    assert_eq!((reason.to_string().as_str(), source.errno()), (said, None));
}

#[test]
fn r23_capabilities_and_lists_for_whom_no_range_has_are_refused_before_anything_is_made() {
    require!(root);
    for (key, value, said) in [
        (
            "security.capability",
            capability(Some(70_000)),
            "no range has the uid 70000",
        ),
        (
            "system.posix_acl_access",
            acl(70_000, 0),
            "no range has the uid 70000",
        ),
        (
            "system.posix_acl_default",
            acl(0, 70_000),
            "no range has the gid 70000",
        ),
    ] {
        let kind = if key.ends_with("default") {
            Kind::Directory
        } else {
            Kind::File
        };
        let directory = mapped_tree(&["old = 1"]);
        let before = listing_of(directory.path());
        for path in ["new", "old"] {
            let mut layer = Layer::new();
            add(
                &mut layer,
                path,
                kind,
                &(0, 0, 0o755, with(key, value.clone())),
            );
            check_refused(&layer.finish(), directory.path(), (path, said));
            assert_eq!(listing_of(directory.path()), before, "{key}");
        }
    }
}

#[test]
fn r23_a_root_of_an_owner_in_no_range_is_refused_before_anything_is_made() {
    require!(root);
    let directory = mapped_tree(&[]);
    let mut layer = Layer::new();
    add(
        &mut layer,
        "./",
        Kind::Directory,
        &(0, 65_536, 0o755, Vec::new()),
    );
    layer.line("f = 1");
    let refused = apply(&layer.finish(), directory.path()).expect_err("it must be refused");
    assert_eq!(lines(directory.path()), [""; 0]);
    let mut text = String::new();
    let mut error: Option<&(dyn Error + 'static)> = Some(&refused);
    while let Some(here) = error {
        text = format!("{text}: {here}");
        error = here.source();
    }
    assert!(text.ends_with(": no range has the gid 65536"), "{text}");
    assert_eq!(on_disk(directory.path()), (1_000_000, 3_000_000));
}

#[test]
fn a_hard_link_to_a_file_below_parts_it_from_its_other_names_and_keeps_its_owner() -> Outcome {
    require!(root);
    let directory = mapped_tree(&["d/", "d/set-uid = 1"]);
    let outside = TempDir::new_in(directory.path().parent().ok_or("it is in a directory")?)?;
    let other = outside.path().join("other");
    fs::hard_link(directory.path().join("d/set-uid"), &other)?;
    let mut layer = Layer::new();
    add(
        &mut layer,
        "again",
        Kind::HardLink,
        &(20, 30, 0o4711, Vec::new()),
    );
    apply(&layer.finish(), directory.path())?;
    assert_eq!(
        lines(directory.path()),
        ["again = 1", "d/", "d/set-uid => again"]
    );
    assert_eq!(
        on_disk(&directory.path().join("again")),
        (2_000_019, 3_000_030)
    );
    assert_eq!(on_disk(&other), (1_000_000, 3_000_000));
    assert_eq!(fs::metadata(&other)?.permissions().mode() & 0o7777, 0o644);
    Ok(())
}

#[test]
fn a_file_that_is_stated_again_belongs_to_whom_the_last_entry_says() -> Outcome {
    require!(root);
    for last in [(1, 1), (2, 3)] {
        let directory = mapped_tree(&[]);
        let mut layer = Layer::new();
        for (uid, gid) in [(1, 1), (1, 1), last] {
            add(&mut layer, "f", Kind::File, &(uid, gid, 0o644, Vec::new()));
        }
        apply(&layer.finish(), directory.path())?;
        let owner = (1_999_999 + last.0, 3_000_000 + last.1);
        assert_eq!(on_disk(&directory.path().join("f")), owner);
    }
    Ok(())
}

#[test]
fn an_atomic_unpack_keeps_mapped_owners_and_after_a_refusal_the_old_tree() -> Outcome {
    require!(root);
    let place = tree(&[]);
    let (parent, name) = (open(place.path()), OsStr::new("tree"));
    let atomically = |tar: &[u8]| {
        let done = unpack_atomic(
            &mut &*tar,
            &parent,
            name,
            &options(mapped()),
            Durability::None,
        );
        done.map(|_| ())
    };
    let path = place.path().join(name);
    atomically(&one_of_each(true))?;
    let plain = mapped_tree(&[]);
    apply(&one_of_each(true), plain.path())?;
    assert_eq!(listing_of(&path), listing_of(plain.path()));

    atomically(&layer(&["more = 1", ".wh.d"]))?;
    apply(&layer(&["more = 1", ".wh.d"]), plain.path())?;
    let before = listing_of(&path);
    assert_eq!(before, listing_of(plain.path()));

    let mut refused = Layer::new();
    refused.line("more = 2");
    add(
        &mut refused,
        "f",
        Kind::File,
        &(65_536, 0, 0o644, Vec::new()),
    );
    assert!(atomically(&refused.finish()).is_err());
    assert_eq!(listing_of(&path), before);
    assert_eq!(layergraph_tests::names(place.path())?, ["tree"]);
    Ok(())
}

#[test]
fn a_directory_that_an_atomic_unpack_makes_belongs_to_the_root_of_the_ranges() -> Outcome {
    require!(root);
    let place = tree(&[]);
    let (parent, name) = (open(place.path()), OsStr::new("tree"));
    let tar = layer(&["f = 1"]);
    let options = options(mapped());
    unpack_atomic(&mut &*tar, &parent, name, &options, Durability::None)?;
    assert_eq!(on_disk(&place.path().join(name)), (1_000_000, 3_000_000));
    Ok(())
}

#[test]
fn who_is_in_no_range_is_shown_as_by_the_kernel_listed_as_changed_and_not_packed() -> Outcome {
    require!(root);
    let directory = mapped_tree(&["f = 1", "d/", "d/g = 1"]);
    let copy = mapped_tree(&["f = 1", "d/", "d/g = 1"]);
    for path in [directory.path(), copy.path()] {
        // In layers it is that of the user nobody.
        chown(path.join("f"), Some(1_999_999 + 65_534), None)?;
    }
    let options = CompareOptions::default();
    let (view, below) = (mapped_view(directory.path()), mapped_view(copy.path()));
    assert_eq!(changes(&view, Some(&below), &options)?, []);
    let listed = listing_of_view(&view);

    // Which is what the kernel shows of the host's users, too.
    chown(directory.path().join("f"), Some(0), None)?;
    assert_eq!(listing_of_view(&view), listed);
    let differences = changes(&view, Some(&below), &options)?;
    let printed: Vec<String> = differences.iter().map(ToString::to_string).collect();
    assert_eq!(printed, ["C /f"]);
    let refused = pack(&view, &differences, &mut Vec::new()).expect_err("no layer names him");
    let PackError::Owner { path, source } = &refused else {
        panic!("{refused:?}");
    };
    assert_eq!(path, Path::new("f"));
    assert_eq!(source.to_string(), "no range has the uid 0 of the disk");

    for (path, said) in [("d", "d"), ("", ".")] {
        let directory = mapped_tree(&["f = 1", "d/", "d/g = 1"]);
        chown(directory.path().join(path), None, Some(5))?;
        let refused = packed(&mapped_view(directory.path())).expect_err("no layer names it");
        assert_eq!(refused.to_string(), format!("cannot pack {said}"));
    }
    Ok(())
}

#[test]
fn r42_a_capability_of_the_host_s_root_does_not_get_into_a_layer() -> Outcome {
    require!(root);
    let directory = mapped_tree(&["f = 1"]);
    let dir = open(directory.path());
    dir.set_xattr(
        "f".as_ref(),
        "security.capability".as_ref(),
        &capability(None),
    )?;
    let refused = packed(&mapped_view(directory.path())).expect_err("it is none of theirs");
    let PackError::Fs(error) = &refused else {
        panic!("{refused:?}");
    };
    let reason = Error::source(error).ok_or("there is a reason")?.to_string();
    assert_eq!(
        (error.call(), reason.as_str()),
        ("getxattr", "no range has the uid 0 of the disk")
    );
    Ok(())
}

/// A user namespace with the ranges of [`mapped`].
struct Namespace(Child);

impl Namespace {
    fn new() -> std::io::Result<Namespace> {
        let mut sleeper = Command::new("unshare");
        // It ends with its stdin.
        sleeper.args(["--user", "sh", "-c", "echo; read x"]);
        let mut child = sleeper
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let mut line = [0];
        if let Some(stdout) = &mut child.stdout {
            std::io::Read::read_exact(stdout, &mut line)?;
        }
        let proc = format!("/proc/{}", child.id());
        fs::write(format!("{proc}/uid_map"), "0 1000000 1\n1 2000000 65535\n")?;
        fs::write(format!("{proc}/gid_map"), "0 3000000 65536\n")?;
        Ok(Namespace(child))
    }

    /// Runs a test of this program again, as root of the namespace.
    fn run(&self, test: &str, variables: &[(&str, &Path)]) -> std::io::Result<()> {
        let (_directory, program) = installed(&env::current_exe()?)?;
        let mut command = Command::new("nsenter");
        command.args(["--user", "--target", &self.0.id().to_string()]);
        command.args(["--setuid", "0", "--setgid", "0"]);
        let inside = again(command.arg(program), test).envs(variables.iter().copied());
        has_passed(&run(inside, Duration::from_secs(60))?)
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        drop(self.0.stdin.take());
        let _ = self.0.wait();
    }
}

const TREE: &str = "LAYERGRAPH_TEST_TREE";
const LISTING: &str = "LAYERGRAPH_TEST_LISTING";

/// What the kernel does in a namespace is the reference: who unpacks there makes the same tree on
/// disk, to the byte of each attribute, and who looks from there sees the same.
#[test]
fn r42_a_mapped_tree_is_what_a_namespace_of_the_ranges_makes_and_shows() -> Outcome {
    let tar = one_of_each(false);
    if let (Some(tree), Some(listing)) = (env::var_os(TREE), env::var_os(LISTING)) {
        let tree = Path::new(&tree);
        unpack(
            &mut &*tar,
            &open(&tree.join("inside")),
            &options(Ownership::Preserve),
        )?;
        let expected = fs::read_to_string(listing)?;
        for place in ["outside", "inside"] {
            assert_eq!(listing_of(&tree.join(place)), expected, "{place}");
        }
        return Ok(());
    }
    require!(root);
    require!(program "unshare", "nsenter", "sh");
    let place = tree(&[]);
    for name in ["outside", "inside"] {
        let path = place.path().join(name);
        fs::create_dir(&path)?;
        chown(&path, Some(1_000_000), Some(3_000_000))?;
    }
    let outside = place.path().join("outside");
    apply(&tar, &outside)?;
    let listing = place.path().join("listing");
    fs::write(&listing, listing_of_view(&mapped_view(&outside)))?;
    fs::set_permissions(&listing, fs::Permissions::from_mode(0o644))?;
    let namespace = Namespace::new()?;
    let variables = [(TREE, place.path()), (LISTING, &listing)];
    namespace.run(&this_test!(), &variables)?;
    assert_eq!(
        listing_of(&place.path().join("inside")),
        listing_of(&outside)
    );
    Ok(())
}
