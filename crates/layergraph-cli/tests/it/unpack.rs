//! `unpack` into directories that are there and that are not.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};

use layergraph_tests::require;

use crate::support::{
    BAD, Home, Layer, Result, bad_layer, good_layer, layergraph, run, say, stdin,
};
use crate::support::{listing, names};

#[test]
fn the_example_of_the_readme_is_true() -> Result {
    require!(program "cp", "gzip", "sh");
    let home = Home::new()?;
    let base = Layer::new()
        .file("etc/motd", "welcome")
        .file("usr/share/doc/readme", "read")
        .file("usr/bin/tool", "a tool")
        .hard_link("usr/bin/alias", "usr/bin/tool")
        .link("bin", "usr/bin")
        .finish();
    let base = home.file("base.tar", base)?;
    let script = "
        set -e
        cd \"$1\"
        PATH=$(dirname \"$0\"):$PATH
        gzip base.tar
        layergraph unpack base.tar.gz old
        cp -a old new
        echo hello > new/greeting && rm -r new/usr/share/doc
        layergraph pack new --against old -o next.tar
        layergraph unpack next.tar old
        # An ordinary user's tree has its owners beside it.
        [ \"$(id -u)\" = 0 ] && how=preserve || how=squash
        layergraph listing --ownership $how old > old.listing
        layergraph listing --ownership $how new > new.listing
        cat old.listing
        cmp old.listing new.listing";
    let said =
        crate::support::shell(script, &[&base.parent().expect("it is in a directory")])?.done();
    let paths: Vec<&str> = said
        .text()
        .lines()
        .filter_map(|line| line.split('\t').next())
        .collect();
    let expected = "\
. bin etc etc/motd greeting usr usr/bin usr/bin/alias usr/bin/tool usr/share";
    assert_eq!(paths.join(" "), expected);
    Ok(())
}

#[test]
fn a_missing_directory_is_made_but_not_the_one_it_is_to_be_in() -> Result {
    let home = Home::new()?;
    let layer = home.file("layer.tar", good_layer())?;
    say(&[&"unpack", &layer, &home.path("new/")])?.done();
    assert_eq!(names(&home.path("new"))?, ["bin", "usr"]);
    let mode = fs::metadata(home.path("new"))?.permissions().mode();
    assert_eq!(mode & 0o7777, 0o755);

    let below = home.path("no/new");
    let said = say(&[&"unpack", &layer, &below])?;
    let line = format!(
        "layergraph: unpack {} to {}: there is no directory {}",
        layer.display(),
        below.display(),
        home.path("no").display()
    );
    said.failed(3, &line);
    assert_eq!(said.hint(), Some("make it first"));
    Ok(())
}

#[test]
fn after_an_error_a_directory_that_was_missing_is_missing() -> Result {
    let home = Home::new()?;
    let layer = home.file("layer.tar", bad_layer())?;
    let said = say(&[&"unpack", &layer, &home.path("new")])?;
    let (layer, new) = (layer.display(), home.path("new"));
    said.failed(
        7,
        &format!("layergraph: unpack {layer} to {}: {BAD}", new.display()),
    );
    assert_eq!(home.names()?, ["layer.tar"]);
    Ok(())
}

#[test]
fn after_an_error_a_directory_keeps_what_was_unpacked_and_the_hint_says_so() -> Result {
    let home = Home::new()?;
    let layer = home.file("layer.tar", bad_layer())?;
    let dir = home.dir("dir")?;
    let said = say(&[&"unpack", &layer, &dir])?;
    assert_eq!(said.status, Some(7));
    let hint = said.hint().unwrap_or_default();
    assert!(hint.contains("--atomic"), "{hint}");
    assert_eq!(names(&dir)?, ["first"]);
    Ok(())
}

#[test]
fn a_link_to_the_directory_is_followed() -> Result {
    let home = Home::new()?;
    let layer = home.file("layer.tar", good_layer())?;
    home.dir("dir")?;
    symlink("dir", home.path("link"))?;
    for option in ["--quiet", "--atomic"] {
        let link = home.path("link");
        say(&[&"unpack", &option, &layer, &link])?.done();
        assert!(fs::symlink_metadata(&link)?.is_symlink());
        assert_eq!(names(&home.path("dir"))?, ["bin", "usr"]);
        fs::remove_dir_all(home.path("dir"))?;
        fs::create_dir(home.path("dir"))?;
    }
    Ok(())
}

#[test]
fn a_layer_comes_from_stdin_too() -> Result {
    let home = Home::new()?;
    let layer = home.file("layer.tar", good_layer())?;
    let (a, b) = (home.dir("a")?, home.dir("b")?);
    say(&[&"unpack", &layer, &a])?.done();
    let mut command = layergraph(&[&"unpack", &"-", &b]);
    run(command.stdin(stdin(&layer)?))?.done();
    assert_eq!(listing(&a)?, listing(&b)?);
    Ok(())
}

#[test]
fn json_says_what_was_done_and_nothing_else_is_on_stdout() -> Result {
    let home = Home::new()?;
    let layer = Layer::new()
        .file("f", "12345")
        .attribute("user.overlay.redirect", b"/x")
        .file("g", "123")
        .finish();
    let layer = home.file("layer.tar", layer)?;
    let dir = home.path("dir");
    let said = say(&[&"unpack", &"--json", &layer, &dir])?.done();
    assert_eq!(
        said.text(),
        "{\"entries\":2,\"size\":8,\"dropped_xattrs\":1,\"recorded_nodes\":0}\n"
    );
    let said = say(&[&"unpack", &layer, &dir])?.done();
    assert_eq!(said.text(), "");
    Ok(())
}

#[test]
fn notes_say_what_is_not_as_in_the_layer_unless_quiet() -> Result {
    let home = Home::new()?;
    let layer = Layer::new()
        .attribute("user.overlay.redirect", b"/x")
        .file("f", "")
        .device("null")
        .finish();
    let layer = home.file("layer.tar", layer)?;
    let command =
        |dir: &str| layergraph(&[&"unpack", &"--ownership=squash", &layer, &home.path(dir)]);
    let said = run(&mut command("a"))?.done();
    assert_eq!(
        said.stderr,
        "\
layergraph: note: 1 extended attribute was left out: of overlayfs, or such as only root may set
layergraph: note: 1 device or named pipe was recorded and not made
"
    );
    let said = run(command("b").arg("--quiet"))?.done();
    assert_eq!(said.stderr, "");
    assert_eq!(listing(&home.path("a"))?, listing(&home.path("b"))?);
    Ok(())
}
