//! The command in the hands of an ordinary user.

use layergraph_tests::{as_user, require, user_directory};
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use crate::support::{Layer, Result, Said, installed, layergraph, run};

/// Runs a command line as an ordinary user, in `home`, which is the user's.
fn say(home: &Path, args: &[&str]) -> std::io::Result<Said> {
    let (_bin, mut command) = installed()?;
    run(as_user(&mut command).args(args).current_dir(home))
}

fn layer() -> Vec<u8> {
    Layer::new()
        .file("etc/shadow", "secret")
        .device("dev/null")
        .finish()
}

#[test]
fn an_ordinary_user_squashes_and_is_told_so() -> Result {
    require!(root);
    require!(user);
    let home = user_directory()?;
    fs::write(home.path().join("layer.tar"), layer())?;
    let said = say(home.path(), &["unpack", "layer.tar", "dir"])?.done();
    assert_eq!(
        said.stderr,
        "\
layergraph: note: not root, so ownership is squashed: owners, modes and devices are recorded in \
extended attributes (--ownership)
layergraph: note: 1 device or named pipe was recorded and not made
"
    );
    // What was asked for needs no telling.
    let args = [
        "unpack",
        "--ownership",
        "squash",
        "layer.tar",
        "again",
        "--quiet",
    ];
    assert_eq!(say(home.path(), &args)?.done().stderr, "");

    // The true tree is the one that root unpacks.
    let list = |dir: &str| say(home.path(), &["listing", "--ownership", "squash", dir]);
    let squashed = list("dir")?.done();
    assert_eq!(squashed.text(), list("again")?.done().text());
    let roots = tempfile::tempdir()?;
    let tree = roots.path().join("tree");
    let layer = home.path().join("layer.tar");
    run(&mut layergraph(&[&"unpack", &layer, &tree]))?.done();
    assert_eq!(squashed.text(), crate::support::listing(&tree)?);
    Ok(())
}

#[test]
fn what_is_packed_from_a_squashed_tree_has_the_true_owners() -> Result {
    require!(root);
    require!(user);
    let home = user_directory()?;
    fs::write(home.path().join("layer.tar"), layer())?;
    say(home.path(), &["unpack", "layer.tar", "dir"])?.done();
    let said = say(home.path(), &["pack", "dir", "-o", "again.tar"])?.done();
    assert!(
        said.stderr.starts_with("layergraph: note: not root"),
        "{}",
        said.stderr
    );

    let (a, b) = (home.path().join("a"), home.path().join("b"));
    for (layer, tree) in [("layer.tar", &a), ("again.tar", &b)] {
        let layer = home.path().join(layer);
        run(&mut layergraph(&[&"unpack", &layer, &tree]))?.done();
    }
    assert_eq!(crate::support::listing(&a)?, crate::support::listing(&b)?);
    Ok(())
}

/// Root may set attributes on any file, an ordinary user only on what the user may write.
#[test]
fn an_ordinary_user_unpacks_read_only_files_and_names_them_again() -> Result {
    require!(root);
    require!(user);
    let home = user_directory()?;
    let base = Layer::new()
        .read_only_file("d/f", "content")
        .hard_link("d/g", "d/f")
        .finish();
    fs::write(home.path().join("base.tar"), base)?;
    let next = Layer::new().hard_link("d/h", "d/f").finish();
    fs::write(home.path().join("next.tar"), next)?;
    for option in ["--quiet", "--atomic"] {
        for layer in ["base.tar", "next.tar", "base.tar"] {
            say(
                home.path(),
                &["unpack", option, layer, option.trim_matches('-')],
            )?
            .done();
        }
    }
    let list = |dir: &str| say(home.path(), &["listing", "--ownership", "squash", dir]);
    assert_eq!(list("quiet")?.done().text(), list("atomic")?.done().text());
    Ok(())
}

#[test]
fn status_10_is_not_permitted() -> Result {
    require!(root);
    require!(user);
    let home = user_directory()?;
    fs::write(home.path().join("layer.tar"), layer())?;
    let said = say(
        home.path(),
        &["unpack", "--ownership", "preserve", "layer.tar", "dir"],
    )?;
    assert_eq!(said.status, Some(10), "{}", said.stderr);
    let line = "layergraph: unpack layer.tar to dir: cannot make the entry etc/shadow: ";
    assert!(said.stderr.starts_with(line), "{}", said.stderr);
    assert!(
        said.stderr.contains(": Operation not permitted\n"),
        "{}",
        said.stderr
    );
    assert_eq!(said.hint(), Some("run as root, or with --ownership squash"));
    assert!(!home.path().join("dir").exists());

    let roots = tempfile::tempdir()?;
    let closed = roots.path().join("dir").display().to_string();
    let said = say(home.path(), &["unpack", "layer.tar", &closed])?;
    assert_eq!(said.status, Some(10), "{}", said.stderr);
    assert!(
        said.stderr.contains(": Permission denied"),
        "{}",
        said.stderr
    );
    Ok(())
}

/// A leftover with something of root's in it cannot be removed: no reason not to work.
#[test]
fn a_sweep_that_fails_is_a_warning() -> Result {
    require!(root);
    require!(user);
    let home = user_directory()?;
    fs::write(home.path().join("layer.tar"), layer())?;
    let left = home.path().join(".layergraph-0123456789abcdef");
    let tree = left.join("tree");
    fs::create_dir_all(tree.join("of-root"))?;
    for dir in [&left, &tree] {
        fs::set_permissions(dir, std::os::unix::fs::PermissionsExt::from_mode(0o700))?;
    }
    let user = fs::metadata(home.path())?;
    std::os::unix::fs::chown(&left, Some(user.uid()), Some(user.gid()))?;
    let said = say(home.path(), &["unpack", "--quiet", "layer.tar", "dir"])?.done();
    assert!(
        said.stderr
            .starts_with("layergraph: warning: remove leftovers in "),
        "{}",
        said.stderr
    );
    assert_eq!(said.stderr.lines().count(), 1);
    assert!(tree.join("of-root").exists());
    assert!(home.path().join("dir/etc").exists());
    Ok(())
}
