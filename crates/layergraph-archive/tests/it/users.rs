//! What an ordinary user may unpack who keeps owners as they are, because they are his.

use std::io;
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use layergraph_archive::unpack;
use layergraph_fs::effective_user;
use layergraph_tar::{Kind, NewMember};
use layergraph_tests::{
    again, as_user, has_passed, installed, require, run, this_test, user_directory,
};

use crate::support::{Layer, open};

#[test]
fn what_its_mode_keeps_the_user_from_writing_to_gets_its_attributes() -> io::Result<()> {
    require!(user);
    if effective_user() == 0 {
        let home = user_directory()?;
        let (_directory, program) = installed(&std::env::current_exe()?)?;
        let mut command = again(&program, &this_test!());
        as_user(&mut command).env("TMPDIR", home.path());
        return has_passed(&run(&mut command, Duration::from_secs(60))?);
    }
    let directory = tempfile::tempdir()?;
    let xattrs = [(b"user.kept".to_vec(), b"1".to_vec())];
    let mut layer = Layer::new();
    for (path, kind, mode) in [("d", Kind::Directory, 0o555), ("f", Kind::File, 0o444)] {
        let member = layer.member(path.as_bytes(), kind);
        let xattrs = &xattrs;
        layer.add(
            &NewMember {
                mode,
                xattrs,
                ..member
            },
            b"",
        );
    }
    let xattrs = [(b"user.more".to_vec(), b"2".to_vec())];
    let link = NewMember {
        mode: 0o444,
        link: b"f",
        xattrs: &xattrs,
        ..layer.member(b"g", Kind::HardLink)
    };
    layer.add(&link, b"");
    let tar = layer.finish();
    unpack(
        &mut tar.as_slice(),
        &open(directory.path()),
        &<_>::default(),
    )
    .map_err(io::Error::other)?;
    for (name, mode) in [("d", 0o555), ("f", 0o444)] {
        let dir = open(directory.path());
        let kept = dir.xattr(name.as_ref(), "user.kept".as_ref())?;
        assert_eq!(kept.as_deref(), Some(&b"1"[..]), "{name}");
        let metadata = directory.path().join(name).metadata()?;
        assert_eq!(metadata.permissions().mode() & 0o7777, mode, "{name}");
    }
    let of_link = open(directory.path()).xattr("f".as_ref(), "user.more".as_ref())?;
    assert_eq!(of_link.as_deref(), Some(&b"2"[..]));
    Ok(())
}
