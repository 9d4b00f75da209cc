//! Untrusted paths: what they lead to, and that it is inside (R1).
//!
//! The two ways of a [`Root`] are held against a model, and against the kernel's own resolution
//! with links, which neither of them uses.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use layergraph_fs::{Dir, FsError, Root};
use proptest::prelude::*;
use rustix::fs::{Mode, OFlags, ResolveFlags, fstat, openat2};
use rustix::io::Errno;

use crate::processes::as_ordinary_user;
use crate::support::{Home, Result, assert_same, errno, os, searches_all, untimed};
use crate::trees::{MAX_LINKS, MODES, Model, model, path};

type Way = fn(Dir) -> Root;
const WAYS: [Way; 2] = [Root::new, Root::without_openat2];

/// What a path led to: an inode, or an error.
type Found = Result<u64, Errno>;

fn opened(error: &FsError) -> Errno {
    Errno::from_raw_os_error(error.errno().expect("the kernel gave the reason"))
}

/// What the kernel finds; `None` if it has no such call.
fn by_kernel(top: &Dir, path: &str) -> Option<Found> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let path = if path.is_empty() { "/" } else { path };
    loop {
        match openat2(top, path, flags, Mode::empty(), ResolveFlags::IN_ROOT) {
            // Something was renamed somewhere on the machine, and `..` is not certain.
            Err(Errno::AGAIN) => std::thread::yield_now(),
            Err(Errno::NOSYS | Errno::PERM) => return None,
            Err(errno) => return Some(Err(errno)),
            Ok(fd) => return Some(fstat(fd).map(|stat| stat.st_ino)),
        }
    }
}

/// Checks what each way finds, and what it calls the place, against the model and the kernel.
fn check(model: &Model, paths: &[String], searches_all: bool) -> Result<(), TestCaseError> {
    let home = Home::in_memory()?;
    let top = home.directory("top").map_err(io::Error::other)?;
    // What is not to be met.
    for name in ["a", "b", "c"] {
        home.directory(name)?;
    }
    let place = |path: &Path| home.path("top").join(path);
    model.make(&home.path("top"))?;
    let mut roots = WAYS.map(|way| top.try_clone().map(way).expect("there are handles left"));
    for path in paths {
        let expected = model.resolve(path, searches_all);
        let inode = expected.clone().map(|path| inode_of(&home, &path));
        if let Some(kernel) = by_kernel(&top, path) {
            prop_assert_eq!(kernel, inode, "the kernel: {:?}", path);
        }
        for root in &mut roots {
            // A second time from memory.
            for _ in 0..2 {
                let found = root.directory(path.as_bytes());
                let found = found.as_ref().map_err(opened);
                let found = found.map(|dir| {
                    let inode = dir.metadata_here().expect("it is open").inode;
                    (inode, dir.path().to_owned())
                });
                let expected =
                    inode.and_then(|inode| expected.clone().map(|path| (inode, place(&path))));
                prop_assert_eq!(found, expected, "{:?}", path);
            }
        }
    }
    layergraph_fs::remove_tree(&home.dir, os("top")).map_err(io::Error::from)?;
    Ok(())
}

/// By handle: on the way there may be directories that the user may not search.
fn inode_of(home: &Home, path: &Path) -> u64 {
    let mut place = home.path("top");
    let mut closed = Vec::new();
    for name in path {
        let mode = fs::metadata(&place).expect("its parents are open").mode() & 0o777;
        closed.push((place.clone(), mode));
        set_mode(&place, 0o700);
        place.push(name);
    }
    let inode = fs::metadata(&place).expect("its parents are open").ino();
    for (place, mode) in closed.iter().rev() {
        set_mode(place, *mode);
    }
    inode
}

fn set_mode(path: &Path, mode: u32) {
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("it is ours");
}

fn config() -> ProptestConfig {
    ProptestConfig {
        cases: 200,
        failure_persistence: None,
        ..ProptestConfig::default()
    }
}

fn check_many() -> Result {
    let all = searches_all()?;
    let strategy = (model(MODES), prop::collection::vec(path(), 1..12));
    let mut runner = proptest::test_runner::TestRunner::new(config());
    Ok(runner.run(&strategy, |(model, paths)| check(&model, &paths, all))?)
}

#[test]
fn r1_both_ways_find_what_the_model_and_the_kernel_find() -> Result {
    check_many()
}

#[test]
fn r1_both_ways_find_it_with_the_permissions_of_an_ordinary_user() -> Result {
    as_ordinary_user!();
    check_many()
}

proptest! {
    #![proptest_config(config())]

    /// What was missing is made as directories, inside, and nothing else happens.
    #[test]
    fn r1_what_is_made_is_inside_and_is_then_found(
        model in model(&[0o700]),
        path in path(),
        walked in any::<bool>(),
    ) {
        let home = Home::in_memory()?;
        home.file("canary", "outside")?;
        let top = home.directory("top")?;
        model.make(&home.path("top"))?;
        let before = untimed(home.top())?;
        let mut root = WAYS[usize::from(walked)](top.try_clone().map_err(io::Error::from)?);
        let mut made = Vec::new();
        let found = root.directory_or_make::<FsError>(path.as_bytes(), &mut |dir, name| {
            made.push(dir.path().join(name));
            dir.make_dir(name, 0o700)
        });
        let mut after = untimed(home.top())?;
        for path in &made {
            let path = path.strip_prefix(home.top()).map_err(io::Error::other)?;
            prop_assert!(path.starts_with("top"), "{}", path.display());
            prop_assert_eq!(after.remove(path).map(|object| object.kind), Some('d'));
        }
        prop_assert_eq!(&before, &after);
        let again = |way: Way| {
            let top = Dir::open(&home.path("top"))?;
            way(top).directory(path.as_bytes())?.metadata_here()
        };
        match found {
            Ok(dir) => {
                let inode = dir.metadata_here().map_err(io::Error::from)?.inode;
                for way in WAYS {
                    prop_assert_eq!(again(way).map_err(io::Error::from)?.inode, inode);
                }
            }
            // Only what may be missing can be made.
            Err(error) => prop_assert!(matches!(opened(&error), Errno::NOTDIR | Errno::LOOP)),
        }
    }
}

/// A name in the tree that a chain of `links` links leads to.
fn chain(home: &Home, links: usize) -> io::Result<()> {
    home.directory("end")?;
    for link in 0..links {
        let target = match link {
            0 => "end".to_owned(),
            _ => format!("l{}", link - 1),
        };
        home.link(&format!("l{link}"), &target)?;
    }
    Ok(())
}

#[test]
fn as_many_links_are_followed_as_the_kernel_follows() -> Result {
    let home = Home::new()?;
    chain(&home, MAX_LINKS + 1)?;
    home.link("self", "self")?;
    home.link("ping", "pong")?;
    home.link("pong", "/ping")?;
    let end = home.dir.open_dir(os("end"))?.metadata_here()?.inode;
    for (path, expected) in [
        (format!("l{}", MAX_LINKS - 1), Ok(end)),
        (format!("l{MAX_LINKS}"), Err(Errno::LOOP)),
        // The count is of the whole path.
        (format!("l20/../l{}", MAX_LINKS - 22), Ok(end)),
        (format!("l20/../l{}", MAX_LINKS - 21), Err(Errno::LOOP)),
        ("self/x".to_owned(), Err(Errno::LOOP)),
        ("ping".to_owned(), Err(Errno::LOOP)),
    ] {
        if let Some(kernel) = by_kernel(&home.dir, &path) {
            assert_eq!(kernel, expected, "the kernel: {path}");
        }
        for way in WAYS {
            let found = way(home.dir.try_clone()?).directory(path.as_bytes());
            let inode = found.map(|dir| dir.metadata_here().expect("it is open").inode);
            assert_eq!(inode.map_err(|error| opened(&error)), expected, "{path}");
        }
    }
    Ok(())
}

/// Each component is a step, and links could make 80,000 of one path.
#[test]
fn r31_a_path_of_too_many_components_is_refused() -> Result {
    let home = Home::new()?;
    home.directory("d/d")?;
    // A way of 1,000 components, and links to ever more of it.
    home.link("l1", &"d/../".repeat(500))?;
    for (link, before) in [("l2", "l1"), ("l3", "l2"), ("l4", "l3"), ("l5", "l4")] {
        home.link(link, &format!("{before}/{}", "d/../".repeat(500)))?;
    }
    // What says nothing is not counted.
    home.link("dots", &format!("l4/{}.", "./".repeat(2000)))?;
    home.link("down", &format!("l4/{}", "d/".repeat(2)))?;
    for way in WAYS {
        let mut root = way(home.dir.try_clone()?);
        let here = home.dir.metadata_here()?.inode;
        for path in ["l1", "l4", "dots"] {
            let found = root.directory(path.as_bytes())?;
            assert_eq!(found.metadata_here()?.inode, here, "{path}");
        }
        assert_eq!(root.directory(b"down")?.path(), home.path("d/d"));
        for path in ["l5", "l5/d", "l5/missing", "l5"] {
            assert_eq!(errno(root.directory(path.as_bytes())), Errno::LOOP);
            let made = root.directory_or_make::<FsError>(path.as_bytes(), &mut |dir, name| {
                dir.make_dir(name, 0o700)
            });
            assert_eq!(errno(made), Errno::LOOP);
        }
    }
    assert_eq!(home.names()?.len(), 8);
    Ok(())
}

/// Deeper than directories are held open, and back.
#[test]
fn the_way_back_from_the_depth_is_found() -> Result {
    let home = Home::new()?;
    let mut deep = home.path("top");
    deep.extend(["d"; 150]);
    fs::create_dir_all(&deep)?;
    home.link("top/down", &"d/".repeat(150))?;
    for way in WAYS {
        let mut root = way(Dir::open(&home.path("top"))?);
        for up in [1, 30, 33, 100, 149, 150, 500] {
            let path = format!("down/{}", "../".repeat(up));
            let mut expected = home.path("top");
            expected.extend(vec!["d"; 150usize.saturating_sub(up)]);
            let found = root.directory(path.as_bytes())?;
            assert_eq!(found.path(), expected);
            assert_eq!(found.metadata_here()?.inode, fs::metadata(&expected)?.ino());
        }
    }
    Ok(())
}

#[test]
fn long_names_and_paths_are_refused_as_the_kernel_refuses_them() -> Result {
    let home = Home::new()?;
    home.directory("d")?;
    let slashes = "/".repeat(4096);
    for (path, expected) in [
        ("x".repeat(256), Some(Errno::NAMETOOLONG)),
        (format!("d{}", &slashes[..4094]), None),
        (format!("d{}", &slashes[..4095]), Some(Errno::NAMETOOLONG)),
    ] {
        for way in WAYS {
            let found = way(home.dir.try_clone()?).directory(path.as_bytes());
            assert_eq!(found.err().map(|error| opened(&error)), expected);
        }
    }
    Ok(())
}

#[test]
fn r21_a_nul_in_a_path_is_refused() -> Result {
    let home = Home::new()?;
    home.directory("a")?;
    for way in WAYS {
        let mut root = way(home.dir.try_clone()?);
        for path in [&b"a\0"[..], b"\0", b"a/\0/..", b"a\0/../.."] {
            assert_eq!(errno(root.directory(path)), Errno::INVAL);
        }
        let made =
            root.directory_or_make::<FsError>(b"b/\0", &mut |dir, name| dir.make_dir(name, 0o700));
        assert_eq!(errno(made), Errno::INVAL);
    }
    Ok(())
}

#[test]
fn an_error_names_a_path_below_the_root() -> Result {
    let home = Home::new()?;
    home.link("l", "/missing")?;
    for way in WAYS {
        let mut root = way(home.dir.try_clone()?);
        for path in ["/missing", "///missing", "/l", "../missing"] {
            let error = root.directory(path.as_bytes()).expect_err("it is missing");
            let path = error.path();
            assert!(path.starts_with(home.top()), "{}", path.display());
        }
    }
    Ok(())
}

#[test]
fn a_directory_is_remembered_until_it_is_to_be_forgotten() -> Result {
    let home = Home::new()?;
    home.directory("d")?;
    let mut root = Root::new(home.dir.try_clone()?);
    let old = root.directory(b"d")?.metadata_here()?.inode;
    fs::rename(home.path("d"), home.path("e"))?;
    home.directory("d")?;
    assert_eq!(root.directory(b"d")?.metadata_here()?.inode, old);
    root.forget();
    assert_ne!(root.directory(b"d")?.metadata_here()?.inode, old);
    // More of them than are remembered.
    for number in 0..300 {
        home.directory(&format!("n{number}"))?;
    }
    for number in (0..300).chain(0..300) {
        let name = format!("n{number}");
        let found = root.directory(name.as_bytes())?;
        assert_eq!(found.path(), PathBuf::from(home.top()).join(name));
    }
    Ok(())
}

#[test]
fn a_path_that_had_to_be_walked_leads_nowhere_until_that_is_to_be_forgotten() -> Result {
    for way in WAYS {
        let home = Home::new()?;
        home.directory("d")?;
        home.file("f", "content")?;
        for (link, target) in [("l", "missing"), ("no", "f"), ("circle", "circle")] {
            home.link(link, target)?;
        }
        let mut root = way(home.dir.try_clone()?);
        let cases = [
            ("l/x", Errno::NOENT),
            ("no/x", Errno::NOTDIR),
            ("circle/x", Errno::LOOP),
        ];
        for again in [false, true] {
            for (path, expected) in cases {
                let error = root.directory(path.as_bytes()).expect_err(path);
                assert_eq!(opened(&error), expected, "{path}");
                assert_eq!(error.call(), "openat");
                assert!(error.path().starts_with(home.top()));
            }
            if !again {
                // A link that leads elsewhere is one of the changes that are to be told.
                for name in ["l", "no", "circle"] {
                    fs::remove_file(home.path(name))?;
                    home.link(name, "d")?;
                }
                home.directory("d/x")?;
            }
        }
        root.forget();
        for (path, _) in cases {
            assert_eq!(root.directory(path.as_bytes())?.path(), home.path("d/x"));
        }
    }
    Ok(())
}

/// What is made where nothing was, by whomever, need not be told.
#[test]
fn a_path_leads_to_what_was_made_since() -> Result {
    for way in WAYS {
        let home = Home::new()?;
        home.directory("elsewhere/y")?;
        home.link("l", "a/b")?;
        let mut root = way(home.dir.try_clone()?);
        assert_eq!(errno(root.directory(b"l/y")), Errno::NOENT);
        home.directory("a")?;
        assert_eq!(errno(root.directory(b"l/y")), Errno::NOENT);
        home.file("a/b", "in the way")?;
        assert_eq!(errno(root.directory(b"l/y")), Errno::NOTDIR);
        fs::remove_file(home.path("a/b"))?;
        assert_eq!(errno(root.directory(b"l/y")), Errno::NOENT);
        home.link("a/b", "/elsewhere")?;
        assert_eq!(root.directory(b"l/y")?.path(), home.path("elsewhere/y"));
        root.forget();
        fs::remove_file(home.path("a/b"))?;
        assert_eq!(errno(root.directory(b"l/y")), Errno::NOENT);
        root.directory_or_make::<FsError>(b"l/y", &mut |dir, name| dir.make_dir(name, 0o700))?;
        assert_eq!(root.directory(b"l/y")?.path(), home.path("a/b/y"));
    }
    Ok(())
}

/// From there, and not from the root: it may be far down.
#[test]
fn what_is_missing_is_made_from_the_directory_that_is_remembered() -> Result {
    for way in WAYS {
        let home = Home::new()?;
        home.directory("a/b/c")?;
        home.link("l", "a/b/c")?;
        home.link("a/b/c/back", "../../..")?;
        let mut root = way(home.dir.try_clone()?);
        let mut make = |path: &str| {
            let mut made = Vec::new();
            let found = root.directory_or_make::<FsError>(path.as_bytes(), &mut |dir, name| {
                made.push(dir.path().join(name));
                dir.make_dir(name, 0o700)
            })?;
            assert_eq!(
                made.last().map_or(found.path(), PathBuf::as_path),
                found.path()
            );
            Result::<_, FsError>::Ok(made.len())
        };
        assert_eq!((make("a/b/c")?, make("l/one/two")?), (0, 2));
        // Nobody was told; so it counts as being where it was.
        fs::rename(home.path("a/b/c"), home.path("moved"))?;
        assert_eq!((make("a/b/c/new//")?, make("l/one/new")?), (1, 1));
        assert!(home.path("moved/new").is_dir() && home.path("moved/one/new").is_dir());
        fs::rename(home.path("moved"), home.path("a/b/c"))?;
        // Through a link, and up.
        assert_eq!((make("a/b/c/back/x")?, make("l/new/../../y")?), (1, 1));
        assert!(home.path("x").is_dir() && home.path("a/b/y").is_dir());
    }
    Ok(())
}

#[test]
fn a_link_to_the_machines_root_leads_to_the_root() -> Result {
    let home = Home::new()?;
    home.directory("top")?;
    home.link("top/up", "../../../../../../../..")?;
    home.link("top/slash", "/")?;
    home.link("top/machine", "/proc/self/root")?;
    home.file("canary", "outside")?;
    let before = untimed(home.top())?;
    for way in WAYS {
        let top = Dir::open(&home.path("top"))?;
        let here = top.metadata_here()?.inode;
        let mut root = way(top);
        for path in ["up", "slash", "/", "", "..", "up/slash/up/.."] {
            let found = root.directory(path.as_bytes())?;
            assert_eq!(found.metadata_here()?.inode, here, "{path}");
        }
        assert_eq!(errno(root.directory(b"machine")), Errno::NOENT);
    }
    assert_same(&before, &untimed(home.top())?, "looking");
    Ok(())
}
