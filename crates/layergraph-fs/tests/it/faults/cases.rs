//! The operations that lead from one state to another in one step.

use std::fs;

use layergraph_fs::{
    AtomicFile, Dir, Durability, FsError, RenameMode, Staging, copy_tree, replace_by_copy,
    write_atomic,
};

use super::{Case, Outcome};
use crate::support::{Home, Result, Tree, os, untimed};

pub(super) const CASES: &[Case] = &[
    Case {
        name: "a file is written",
        prepare: |_| Ok(()),
        work: |dir| done(write_atomic(dir, os("f"), 0o640, b"new", Durability::Full)),
        lacking: &[],
        is_final: true,
    },
    Case {
        name: "a file is replaced",
        prepare: |home| Ok(home.file("f", "old").map(|_| ())?),
        work: |dir| done(write_atomic(dir, os("f"), 0o640, b"new", Durability::Full)),
        lacking: &[],
        is_final: true,
    },
    Case {
        name: "a file is replaced in many pieces, not durably",
        prepare: |home| Ok(home.file("f", "old").map(|_| ())?),
        work: replace_in_pieces,
        lacking: &[],
        is_final: true,
    },
    Case {
        name: "a directory is published",
        prepare: |_| Ok(()),
        work: |dir| publish(dir, RenameMode::NoReplace, Durability::Full),
        lacking: &[],
        is_final: false,
    },
    Case {
        name: "a directory is published where syncfs is lacking",
        prepare: |_| Ok(()),
        work: |dir| publish(dir, RenameMode::NoReplace, Durability::Full),
        lacking: &["syncfs"],
        is_final: false,
    },
    Case {
        name: "a directory takes the place of an empty one",
        prepare: |home| Ok(home.directory("tree").map(|_| ())?),
        work: |dir| publish(dir, RenameMode::Replace, Durability::Full),
        lacking: &["syncfs"],
        is_final: true,
    },
    Case {
        name: "a directory is exchanged, not durably",
        prepare: old_tree,
        work: |dir| publish(dir, RenameMode::Exchange, Durability::None),
        lacking: &[],
        is_final: false,
    },
    Case {
        name: "a directory is exchanged",
        prepare: old_tree,
        work: |dir| publish(dir, RenameMode::Exchange, Durability::Full),
        lacking: &["syncfs"],
        is_final: false,
    },
    Case {
        name: "a directory takes the place of a link",
        prepare: |home| Ok(home.link("tree", "elsewhere")?),
        work: |dir| publish(dir, RenameMode::Exchange, Durability::Full),
        lacking: &[],
        is_final: false,
    },
    Case {
        name: "an entry is published",
        prepare: |_| Ok(()),
        work: |dir| publish_entry(dir, RenameMode::NoReplace),
        lacking: &[],
        is_final: false,
    },
    Case {
        name: "an entry is published after what is to be synced with it",
        prepare: |home| Ok(home.directory("other").map(|_| ())?),
        work: publish_after_other,
        lacking: &[],
        is_final: false,
    },
    Case {
        name: "an entry is exchanged",
        prepare: old_tree,
        work: |dir| publish_entry(dir, RenameMode::Exchange),
        lacking: &["syncfs"],
        is_final: false,
    },
    Case {
        name: "a file is published in the place of another",
        prepare: |home| Ok(home.file("f", "old").map(|_| ())?),
        work: |dir| {
            let staging = Staging::new(dir)?;
            let mut file = staging.dir().create_file(os("x"), 0o600)?;
            file.write_all(b"new")?;
            let (name, to) = (os("x"), os("f"));
            let published =
                staging.publish_entry(name, dir, to, RenameMode::Replace, Durability::Full)?;
            Ok(published.leftover)
        },
        lacking: &[],
        is_final: true,
    },
    Case {
        name: "a copy is published",
        prepare: old_tree,
        work: |dir| {
            let staging = Staging::new(dir)?;
            copy_tree(dir, os("tree"), staging.dir(), os("copy"))?;
            let (name, to) = (os("copy"), os("copy"));
            let published =
                staging.publish_entry(name, dir, to, RenameMode::NoReplace, Durability::Full)?;
            Ok(published.leftover)
        },
        lacking: &[],
        is_final: false,
    },
    Case {
        name: "a hard link is broken",
        prepare: |home| {
            home.file("f", "content")?;
            Ok(fs::hard_link(home.path("f"), home.path("g"))?)
        },
        work: |dir| done(replace_by_copy(dir, os("g"))),
        lacking: &["ioctl_ficlone", "copy_file_range"],
        is_final: true,
    },
];

fn done(result: layergraph_fs::Result<()>) -> Outcome {
    result.map(|()| None)
}

pub(super) fn old_tree(home: &Home) -> Result {
    home.file("tree/old/f", "old")?;
    fs::hard_link(home.path("tree/old/f"), home.path("tree/g"))?;
    home.link("tree/l", "old")?;
    home.dir.set_xattr(os("tree"), os("user.key"), b"value")?;
    Ok(home.set_mode("tree/old", 0o750)?)
}

/// A home with the old tree, and what that tree is like.
pub(super) fn home_with_old_tree() -> Result<(Home, Tree)> {
    let home = Home::in_memory()?;
    old_tree(&home)?;
    let before = untimed(&home.path("tree"))?;
    Ok((home, before))
}

fn replace_in_pieces(dir: &Dir) -> Outcome {
    let mut file = AtomicFile::create(dir, os("f"), 0o600)?;
    for piece in [&b"this "[..], b"is ", b"new"] {
        let write = std::io::Write::write_all(&mut file, piece);
        write.map_err(|error| error.downcast::<FsError>().expect("it says where"))?;
    }
    done(file.commit(Durability::None))
}

fn new_tree(dir: &Dir) -> layergraph_fs::Result<()> {
    dir.make_dir(os("d"), 0o755)?;
    let below = dir.open_dir(os("d"))?;
    below.create_file(os("f"), 0o600)?.write_all(b"new")?;
    below.make_symlink(os("l"), os("f"))?;
    dir.make_hard_link(os("h"), &below, os("f"))?;
    dir.set_mode(os("."), 0o755)
}

pub(super) fn publish(home: &Dir, mode: RenameMode, durability: Durability) -> Outcome {
    let staging = Staging::new(home)?;
    new_tree(staging.dir())?;
    Ok(staging
        .publish(home, os("tree"), mode, durability)?
        .leftover)
}

fn publish_entry(home: &Dir, mode: RenameMode) -> Outcome {
    let staging = Staging::new(home)?;
    staging.dir().make_dir(os("t"), 0o700)?;
    new_tree(&staging.dir().open_dir(os("t"))?)?;
    let published = staging.publish_entry(os("t"), home, os("tree"), mode, Durability::Full)?;
    Ok(published.leftover)
}

pub(super) fn publish_after_other(home: &Dir) -> Outcome {
    let mut staging = Staging::new(home)?;
    staging.dir().make_dir(os("t"), 0o700)?;
    new_tree(&staging.dir().open_dir(os("t"))?)?;
    staging.sync_with(&home.open_dir(os("other"))?)?;
    let (mode, durability) = (RenameMode::NoReplace, Durability::Full);
    let published = staging.publish_entry(os("t"), home, os("tree"), mode, durability)?;
    Ok(published.leftover)
}

pub(super) fn publish_read_only(home: &Dir, mode: RenameMode) -> Outcome {
    let staging = Staging::new(home)?;
    staging.dir().make_dir(os("t"), 0o700)?;
    let tree = staging.dir().open_dir(os("t"))?;
    new_tree(&tree)?;
    tree.set_mode(os("."), 0o500)?;
    let published = staging.publish_entry(os("t"), home, os("tree"), mode, Durability::Full)?;
    Ok(published.leftover)
}
