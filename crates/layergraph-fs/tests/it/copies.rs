//! Copies: that they are the same in everything, and share nothing with the original.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;
use std::time::{Duration, SystemTime};

use layergraph_fs::{Device, Dir, FileKind, copy_file, copy_into, copy_tree, replace_by_copy};
use layergraph_tests::{USER, partner_home, require, this_test};
use proptest::prelude::*;
use rustix::fs::{SeekFrom, seek};
use rustix::io::Errno;

use crate::processes::{
    as_ordinary_user, partner_as_user, require_settled, succeed, while_mounted,
};
use crate::support::{Home, Result, Tree, assert_same, difference, errno, os, tree};

/// A time with nanoseconds, other than those of other numbers.
///
/// The time of access lies so far ahead that looking does not change it (`relatime` in mount(8)).
fn times(number: u64) -> (Option<SystemTime>, Option<SystemTime>) {
    let at = |seconds, nanos| Some(SystemTime::UNIX_EPOCH + Duration::new(seconds + number, nanos));
    (
        at(4_000_000_000, 123_456_789),
        at(1_000_000_000, 987_654_321),
    )
}

/// Sets the times of all objects below `home`, from below.
fn set_times(home: &Home, paths: &Tree) -> Result {
    for (number, path) in (0..).zip(paths.keys().rev()) {
        let full = home.path("from").join(path);
        let parent = Dir::open(full.parent().expect("it is below the home"))?;
        let (accessed, modified) = times(number);
        parent.set_times(full.file_name().expect("it has a name"), accessed, modified)?;
    }
    Ok(())
}

fn set_attribute(home: &Home, path: &str, key: &str, value: &[u8]) -> Result {
    let (parent, name) = path.rsplit_once('/').expect("it is in a directory");
    Ok(home
        .directory(parent)?
        .set_xattr(os(name), os(key), value)?)
}

/// Everything that an ordinary user can make.
fn plain_tree(home: &Home) -> Result {
    home.file("from/a/f", "content")?;
    home.file("from/a/empty", "")?;
    home.file("from/a/large", vec![7; 300_000])?;
    home.file("from/b/deep/down/f", "another")?;
    home.directory("from/b/nothing")?;
    home.link("from/a/l", "f")?;
    home.link("from/b/dangling", "/no/such\nplace")?;
    let a = home.directory("from/a")?;
    a.make_node(os("fifo"), FileKind::Fifo, 0o640, Device::default())?;
    a.make_node(os("socket"), FileKind::Socket, 0o600, Device::default())?;
    // Within a directory, from one to another, and of what is no file.
    for (original, further) in [
        ("a/f", "a/g"),
        ("a/f", "b/g"),
        ("b/deep/down/f", "h"),
        ("a/l", "k"),
        ("a/fifo", "b/fifo"),
    ] {
        fs::hard_link(
            home.path("from").join(original),
            home.path("from").join(further),
        )?;
    }
    set_attribute(home, "from/a/f", "user.key", b"value")?;
    set_attribute(home, "from/a/f", "user.empty", b"")?;
    set_attribute(home, "from/a/f", "user.binary", &[0, 255, 10])?;
    set_attribute(home, "from/b", "user.of-a-directory", &[7; 2000])?;
    for (path, mode) in [
        ("a/f", 0o4711),
        ("a/empty", 0o444),
        ("a/large", 0o2750),
        ("a/fifo", 0o602),
        ("b/nothing", 0o1777),
        ("b/deep", 0o2755),
        ("b/deep/down", 0o555),
        ("a", 0o500),
    ] {
        home.set_mode(&format!("from/{path}"), mode)?;
    }
    set_times(home, &tree(&home.path("from"))?)
}

/// And what root can.
fn root_tree(home: &Home) -> Result {
    plain_tree(home)?;
    let from = home.directory("from")?;
    let devices = [
        ("c", FileKind::CharDevice, 0o620, 1, 3),
        ("w", FileKind::CharDevice, 0, 0, 0),
        ("e", FileKind::BlockDevice, 0o4600, 259, 0xf_ffff),
    ];
    for (name, kind, mode, major, minor) in devices {
        from.make_node(os(name), kind, 0o600, Device { major, minor })?;
        from.set_owner(os(name), 5, 6)?;
        from.set_mode(os(name), mode)?;
        from.set_xattr(os(name), os("trusted.key"), name.as_bytes())?;
    }
    from.open_dir(os("a"))?
        .set_xattr(os("l"), os("trusted.of-a-link"), b"value")?;
    let a = home.directory("from/a")?;
    a.set_owner(os("l"), 7, 8)?;
    a.set_owner(os("f"), 1000, u32::MAX - 1)?;
    // A capability goes with the owner, as the mode's set-uid does.
    let capability = [1, 0, 0, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    set_attribute(home, "from/a/large", "security.capability", &capability)?;
    a.set_mode(os("f"), 0o6755)?;
    home.directory("from/b")?.set_owner(os("deep"), 9, 10)?;
    home.set_mode("from/b/deep", 0o7777)?;
    set_times(home, &tree(&home.path("from"))?)
}

fn check_copy(home: &Home) -> Result {
    let original = tree(&home.path("from"))?;
    copy_tree(&home.dir, os("from"), &home.dir, os("to"))?;
    assert_same(&original, &tree(&home.path("to"))?, "the copy");
    assert_same(&original, &tree(&home.path("from"))?, "the original");
    let inodes = |place: &str| -> io::Result<BTreeSet<u64>> {
        let paths = original.keys().map(|path| home.path(place).join(path));
        paths
            .map(|path| Ok(fs::symlink_metadata(path)?.ino()))
            .collect()
    };
    assert!(
        inodes("from")?.is_disjoint(&inodes("to")?),
        "an object is in both"
    );
    Ok(())
}

#[test]
fn a_copy_is_the_same_in_everything() -> Result {
    require!(root);
    let home = Home::new()?;
    root_tree(&home)?;
    check_copy(&home)
}

#[test]
fn a_copy_by_an_ordinary_user_is_the_same_in_everything_that_is_his() -> Result {
    as_ordinary_user!();
    let home = Home::new()?;
    plain_tree(&home)?;
    check_copy(&home)
}

#[test]
fn a_copy_of_one_object_is_the_same_in_everything() -> Result {
    require!(root);
    let home = Home::new()?;
    root_tree(&home)?;
    let from = home.directory("from")?;
    for (name, expected) in tree(&home.path("from"))? {
        if name.components().count() == 1 && expected.kind != 'd' {
            copy_tree(&from, name.as_os_str(), &home.dir, name.as_os_str())?;
            let mut copy = tree(&home.path("").join(&name))?;
            let mut copy = copy.remove(Path::new("")).expect("it is there");
            copy.first_name.clone_from(&expected.first_name);
            assert_eq!(copy, expected, "{}", name.display());
        }
    }
    Ok(())
}

#[test]
fn a_copy_of_somebody_elses_files_is_the_copiers_without_their_powers() -> Result {
    if let Some(home) = partner_home() {
        let dir = Dir::open(&home)?;
        let own = dir.open_dir(os("own"))?;
        copy_tree(&dir, os("from"), &own, os("to"))?;
        for name in ["to/f", "to/d"] {
            let copy = fs::metadata(home.join("own").join(name))?;
            assert_eq!(copy.mode() & 0o7777, 0o1755, "{name}");
            assert_eq!(copy.uid(), USER);
        }
        assert!(crate::support::xattrs(&home.join("own/to/f"))?.is_empty());
        return Ok(());
    }
    require!(root);
    require_settled!(user);
    let home = Home::new()?;
    home.set_mode(".", 0o755)?;
    home.file("from/f", "content")?;
    home.directory("from/d")?;
    let capability = [1, 0, 0, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    set_attribute(&home, "from/f", "security.capability", &capability)?;
    for name in ["from/f", "from/d"] {
        home.set_mode(name, 0o7755)?;
    }
    home.directory("own")?;
    std::os::unix::fs::chown(home.path("own"), Some(USER), None)?;
    Ok(partner_as_user(&this_test!(), home.top())?)
}

/// Access control lists of a directory go to what is made in it, but not to what is copied there.
#[test]
fn a_copy_inherits_nothing_from_where_it_is() -> Result {
    require!(program "setfacl");
    let home = Home::new()?;
    home.file("from/d/f", "content")?;
    home.directory("place")?;
    home.set_mode("place", 0o2777)?;
    let mut command = std::process::Command::new("setfacl");
    let command = command.args(["-m", "d:u:0:rwx"]).arg(home.path("place"));
    succeed(command)?;
    let place = home.directory("place")?;
    place.make_dir(os("made"), 0o700)?;
    assert!(
        !crate::support::xattrs(&home.path("place/made"))?.is_empty(),
        "no list is inherited"
    );
    let from = home.directory("from")?;
    from.make_node(os("fifo"), FileKind::Fifo, 0o640, Device::default())?;
    home.link("from/link", "d")?;
    copy_tree(&home.dir, os("from"), &place, os("to"))?;
    // Objects by themselves too.
    for name in ["d/f", "fifo", "link"] {
        let (parent, name) = name.rsplit_once('/').unwrap_or((".", name));
        let parent = Dir::open(&home.path("from").join(parent))?;
        copy_tree(&parent, os(name), &place, os(name))?;
    }
    for (original, copy) in [("", "to"), ("d/f", "f"), ("fifo", "fifo"), ("link", "link")] {
        let original = untimed(tree(&home.path("from").join(original))?);
        let copied = untimed(tree(&home.path("place").join(copy))?);
        assert_eq!(difference(&original, &copied), None, "{copy}");
    }
    Ok(())
}

/// Without the times of access, which looking changes.
fn untimed(mut tree: Tree) -> Tree {
    for object in tree.values_mut() {
        object.accessed = (0, 0);
    }
    tree
}

#[test]
fn what_is_there_is_not_overwritten() -> Result {
    let home = Home::new()?;
    home.file("from/f", "new")?;
    home.file("file", "old")?;
    home.file("dir/f", "old")?;
    for name in ["from", "from/f"] {
        let dir = home.directory(if name == "from" { "." } else { "from" })?;
        let name = name.rsplit('/').next().expect("it has a name");
        for taken in ["file", "dir"] {
            let copied = copy_tree(&dir, os(name), &home.dir, os(taken));
            assert_eq!(errno(copied), Errno::EXIST, "{name} to {taken}");
        }
    }
    assert_eq!(fs::read(home.path("file"))?, b"old");
    assert_eq!(fs::read(home.path("dir/f"))?, b"old");
    Ok(())
}

/// It would have no end.
#[test]
fn a_directory_is_not_copied_into_itself() -> Result {
    let home = Home::new()?;
    home.file("d/below/f", "content")?;
    for place in ["d", "d/below"] {
        let place = home.directory(place)?;
        let copied = copy_tree(&home.dir, os("d"), &place, os("copy"));
        assert_eq!(errno(copied), Errno::INVAL);
        layergraph_fs::remove_tree(&place, os("copy"))?;
    }
    Ok(())
}

#[test]
fn a_mount_in_the_tree_is_named_and_not_copied() -> Result {
    require!(root);
    require!(program "mount", "umount");
    let home = Home::new()?;
    home.directory("from/mount")?;
    let copied = while_mounted(&["-t", "tmpfs", "none"], &home.path("from/mount"), || {
        copy_tree(&home.dir, os("from"), &home.dir, os("to"))
    })?;
    let error = copied.expect_err("something is mounted there");
    assert_eq!(error.errno(), Some(Errno::XDEV.raw_os_error()));
    assert_eq!(error.path(), home.path("from/mount"));
    Ok(())
}

#[test]
fn a_link_is_copied_and_not_what_it_leads_to() -> Result {
    let home = Home::new()?;
    home.file("outside/f", "outside")?;
    home.directory("from")?;
    home.link("from/l", "../outside")?;
    home.link("from/up", "/")?;
    copy_tree(&home.dir, os("from"), &home.dir, os("to"))?;
    assert_eq!(fs::read_link(home.path("to/l"))?, Path::new("../outside"));
    assert_eq!(fs::read_link(home.path("to/up"))?, Path::new("/"));
    Ok(())
}

#[test]
fn what_is_in_a_directory_is_copied_with_what_is_known_about_itself() -> Result {
    let home = Home::new()?;
    plain_tree(&home)?;
    let original = tree(&home.path("from"))?;
    let to = home.directory("to")?;
    copy_into(&home.directory("from")?, &to)?;
    assert_same(&original, &tree(&home.path("to"))?, "the copy");
    Ok(())
}

#[test]
fn a_hard_link_is_broken_and_nothing_else_is_changed() -> Result {
    let home = Home::new()?;
    plain_tree(&home)?;
    if layergraph_tests::need::root().is_ok() {
        home.directory("from/b")?.set_owner(os("g"), 3, 4)?;
        home.directory("from/b")?.set_mode(os("g"), 0o4711)?;
        set_times(&home, &tree(&home.path("from"))?)?;
    }
    for (path, further) in [("a/f", "b/g"), ("a/l", "k"), ("a/fifo", "b/fifo")] {
        let mut expected = tree(&home.path("from"))?;
        let parent = Path::new(further).parent().expect("it has a parent");
        // The directory is changed, and the object has another name no more.
        let modified = expected[parent].modified;
        if let Some(object) = expected.get_mut(Path::new(further)) {
            object.first_name = further.into();
        }
        let full = home.path("from").join(further);
        let inode = fs::symlink_metadata(home.path("from").join(path))?.ino();
        let dir = Dir::open(full.parent().expect("it has a parent"))?;
        replace_by_copy(&dir, full.file_name().expect("it has a name"))?;
        let mut actual = tree(&home.path("from"))?;
        if let Some(parent) = actual.get_mut(parent) {
            assert_ne!(parent.modified, modified);
            parent.modified = modified;
        }
        assert_same(&expected, &actual, further);
        assert_ne!(fs::symlink_metadata(&full)?.ino(), inode);
    }
    let replaced = replace_by_copy(&home.dir, os("from"));
    assert_eq!(errno(replaced), Errno::ISDIR);
    Ok(())
}

/// Where there is data, in bytes.
fn data(path: &Path) -> io::Result<Vec<(u64, u64)>> {
    let file = File::open(path)?;
    let mut found = Vec::new();
    let mut end = 0;
    loop {
        let start = match seek(&file, SeekFrom::Data(end)) {
            Err(Errno::NXIO) => return Ok(found),
            result => result?,
        };
        end = seek(&file, SeekFrom::Hole(start))?;
        found.push((start, end));
    }
}

/// Makes a file of pieces of data; what lies between is a hole.
fn sparse(home: &Home, pieces: &[(u64, usize)], size: u64) -> io::Result<()> {
    let file = File::create(home.path("from"))?;
    file.set_len(size)?;
    for (number, &(start, length)) in (1..).zip(pieces) {
        let length = length.min(usize::try_from(size.saturating_sub(start)).unwrap_or(0));
        file.write_all_at(&vec![number; length], start)?;
    }
    Ok(())
}

fn check_sparse(home: &Home) -> Result {
    copy_tree(&home.dir, os("from"), &home.dir, os("to"))?;
    let (from, to) = (home.path("from"), home.path("to"));
    assert!(fs::read(&from)? == fs::read(&to)?, "the content differs");
    assert_eq!(data(&from)?, data(&to)?, "where there is data");
    assert_eq!(fs::metadata(&to)?.len(), fs::metadata(&from)?.len());
    fs::remove_file(to)?;
    Ok(())
}

#[test]
fn holes_stay_holes() -> Result {
    let home = Home::new()?;
    let pieces: [&[(u64, usize)]; 6] = [
        &[],
        &[(0, 10)],
        &[(1 << 20, 4096)],
        &[(0, 4096), (1 << 20, 70_000), (3 << 20, 1)],
        &[((4 << 20) - 1, 1)],
        &[(0, 4 << 20)],
    ];
    for pieces in pieces {
        sparse(&home, pieces, 4 << 20)?;
        check_sparse(&home)?;
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_copied_file_has_the_same_content_and_holes_by_whatever_way(
        pieces in prop::collection::vec((0..1_000_000u64, 0..50_000usize), 0..5),
        size in 0..1_100_000u64,
    ) {
        let home = Home::in_memory()?;
        sparse(&home, &pieces, size)?;
        in_each_way(|| check_sparse(&home)).map_err(|error| TestCaseError::fail(error.to_string()))?;
    }
}

/// Runs `work` with each way of copying that the kernel and the file system have, and without.
#[cfg(feature = "faults")]
fn in_each_way(work: impl Fn() -> Result) -> Result {
    for lacking in [
        &[][..],
        &["ioctl_ficlone"],
        &["ioctl_ficlone", "copy_file_range"],
    ] {
        let log = layergraph_fs::faults::FaultLog::new();
        for call in lacking {
            log.lack(call);
        }
        log.during(&work)?;
    }
    Ok(())
}

#[cfg(not(feature = "faults"))]
fn in_each_way(work: impl Fn() -> Result) -> Result {
    work()
}

#[test]
fn a_file_is_copied_wherever_its_position_is() -> Result {
    let home = Home::new()?;
    let path = home.file("from", vec![3; 200_000])?;
    let from = File::open(&path)?;
    seek(&from, SeekFrom::Start(100_000))?;
    in_each_way(|| {
        let mut to = home.dir.create_file(os("to"), 0o600)?;
        copy_file(&from, &mut to)?;
        assert!(fs::read(home.path("to"))? == fs::read(&path)?);
        Ok(home.dir.remove_file(os("to"))?)
    })
}
