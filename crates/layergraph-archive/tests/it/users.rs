//! What an ordinary user may unpack who keeps owners as they are, because they are his.

use std::io;
use std::os::unix::fs::PermissionsExt;

use layergraph_archive::recipe::{NewRecipe, assemble, unpack_with_recipe};
use layergraph_archive::{View, unpack};
use layergraph_tar::{Kind, NewMember};
use layergraph_tests::{is_user, require, this_test};

use crate::support::{Layer, open, options};

#[test]
fn a_directory_that_its_mode_closes_gives_out_what_the_layer_put_there_when_it_goes()
-> io::Result<()> {
    require!(user);
    if !is_user(&this_test!())? {
        return Ok(());
    }
    for mode in [0o300, 0o700] {
        let (directory, home) = (tempfile::tempdir()?, tempfile::tempdir()?);
        let closed = directory.path().join("d");
        std::fs::create_dir_all(closed.join("e"))?;
        std::fs::set_permissions(&closed, PermissionsExt::from_mode(mode))?;
        let mut layer = Layer::new();
        for line in ["d/f = 1", "d/e/g = 22", "d = 333"] {
            layer.line(line);
        }
        let tar = layer.finish();
        let (tree, home) = (open(directory.path()), open(home.path()));
        let name = "recipe".as_ref();
        let recipe = NewRecipe { home: &home, name };
        unpack_with_recipe(&mut tar.as_slice(), &tree, &options(), recipe)
            .map_err(io::Error::other)?;
        let mut again = Vec::new();
        assemble(home.open_file(name)?, &View::new(tree), &mut again).map_err(io::Error::other)?;
        assert!(again == tar, "{mode:o}");
    }
    Ok(())
}

#[test]
fn what_its_mode_keeps_the_user_from_writing_to_gets_its_attributes() -> io::Result<()> {
    require!(user);
    if !is_user(&this_test!())? {
        return Ok(());
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
