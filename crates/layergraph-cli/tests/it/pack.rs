//! `pack` to stdout and to files.

use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::UnixListener;
use std::path::Path;

use layergraph_tests::require;

use crate::support::{Home, Result, listing, names, say, shell};

#[test]
fn the_same_tree_gives_the_same_bytes_on_stdout_and_in_a_file() -> Result {
    let home = Home::new()?;
    let tree = home.dir("tree")?;
    fs::write(tree.join("f"), "content")?;
    let stdout = say(&[&"pack", &tree])?.done().stdout;
    let dash = say(&[&"pack", &tree, &"-o", &"-"])?.done().stdout;
    let file = home.path("layer.tar");
    let said = say(&[&"pack", &tree, &"-o", &file])?.done();
    assert_eq!(said.text(), "");
    assert!(stdout.len() > 1024);
    assert_eq!(stdout, dash);
    assert_eq!(stdout, fs::read(&file)?);
    assert_eq!(home.names()?, ["layer.tar", "tree"]);
    Ok(())
}

#[test]
fn a_whole_tree_comes_back() -> Result {
    let home = Home::new()?;
    let tree = home.dir("tree")?;
    fs::create_dir(tree.join("d"))?;
    fs::write(tree.join("d/f"), "content")?;
    fs::hard_link(tree.join("d/f"), tree.join("g"))?;
    std::os::unix::fs::symlink("g", tree.join("l"))?;
    let (layer, again) = (home.path("layer.tar"), home.path("again"));
    let how = "--ownership=squash";
    say(&[&"pack", &how, &tree, &"-o", &layer])?.done();
    say(&[&"unpack", &how, &layer, &again])?.done();
    let list = |dir: &Path| say(&[&"listing", &how, &dir]);
    assert_eq!(list(&again)?.done().text(), list(&tree)?.done().text());
    Ok(())
}

#[test]
fn a_file_has_mode_0644_less_the_umask() -> Result {
    require!(program "sh");
    let home = Home::new()?;
    let tree = home.dir("tree")?;
    let layer = home.path("layer.tar");
    for (umask, mode) in [("022", 0o644), ("027", 0o640), ("0", 0o644)] {
        let script = format!("umask {umask}; exec \"$0\" pack \"$1\" -o \"$2\"");
        shell(&script, &[&tree, &layer])?.done();
        assert_eq!(fs::metadata(&layer)?.permissions().mode() & 0o7777, mode);
    }
    Ok(())
}

#[test]
fn sockets_are_named_in_notes_and_json() -> Result {
    let home = Home::new()?;
    let tree = home.dir("tree")?;
    fs::create_dir(tree.join("run"))?;
    let _plain = UnixListener::bind(tree.join("run/s"))?;
    let _odd = UnixListener::bind(tree.join(std::ffi::OsStr::from_bytes(b"t\xff")))?;
    let layer = home.path("layer.tar");
    let how = "--ownership=squash";
    let said = say(&[&"pack", &"--json", &how, &tree, &"-o", &layer])?.done();
    let size = fs::metadata(&layer)?.len();
    let expected = format!(
        "{{\"entries\":1,\"size\":{size},\"sockets\":[{{\"path\":\"/run/s\"}},\
         {{\"path\":\"/t\u{fffd}\",\"path_b64\":\"L3T/\"}}]}}\n"
    );
    // The root is listed only if it is not as a new directory would be.
    let entries = if said.text().contains("\"entries\":2") {
        "2"
    } else {
        "1"
    };
    let expected = expected.replacen('1', entries, 1);
    assert_eq!(said.text(), expected);
    assert_eq!(
        said.stderr,
        "\
layergraph: note: left out the socket run/s
layergraph: note: left out the socket t\u{fffd}
"
    );
    Ok(())
}

#[test]
fn names_that_a_layer_cannot_hold_leave_no_output() -> Result {
    let home = Home::new()?;
    let tree = home.dir("tree")?;
    fs::write(tree.join("a"), "before")?;
    fs::write(tree.join(".wh.x"), "")?;
    let layer = home.file("layer.tar", "of before")?;
    let said = say(&[&"pack", &tree, &"-o", &layer])?;
    let line = format!(
        "layergraph: pack {}: cannot pack .wh.x: in a layer its name is that of a whiteout",
        tree.display()
    );
    said.failed(7, &line);
    assert_eq!(fs::read_to_string(&layer)?, "of before");
    assert_eq!(home.names()?, ["layer.tar", "tree"]);

    let said = say(&[&"pack", &tree])?;
    said.failed(7, &line);
    assert!(said.stdout.is_empty());
    Ok(())
}

#[test]
fn a_layer_does_not_become_a_part_of_what_it_is_made_of() -> Result {
    require!(program "sh");
    let home = Home::new()?;
    let (tree, old) = (home.dir("tree")?, home.dir("old")?);
    fs::create_dir(tree.join("d"))?;
    let before = listing(&tree)?;
    let why = "the result would be a part of what it is about: write it elsewhere";
    for file in [
        tree.join("layer.tar"),
        tree.join("d/layer.tar"),
        old.join("layer.tar"),
    ] {
        let said = say(&[&"pack", &tree, &"--against", &old, &"-o", &file])?;
        let (tree, old) = (tree.display(), old.display());
        said.failed(2, &format!("layergraph: pack {tree} against {old}: {why}"));
    }

    assert_eq!(listing(&tree)?, before);

    // What the shell has opened is there, and stays empty.
    let said = shell("cd \"$1\"; exec \"$0\" pack . > layer.tar", &[&tree])?;
    said.failed(2, &format!("layergraph: pack .: {why}"));
    assert_eq!(fs::metadata(tree.join("layer.tar"))?.len(), 0);
    Ok(())
}

#[test]
fn a_terminal_is_no_place_for_a_layer() -> Result {
    require!(program "script", "sh");
    let home = Home::new()?;
    let tree = home.dir("tree")?;
    let script = "export PROGRAM=\"$0\" TREE=\"$1\"; \
        exec script -qec 'exec \"$PROGRAM\" pack \"$TREE\"' /dev/null";
    let said = shell(script, &[&tree])?;
    assert_eq!(said.status, Some(2), "{said:?}");
    // It is a terminal, and stderr is the same.
    let text = String::from_utf8_lossy(&said.stdout);
    let error = "the result is not for a terminal: give -o FILE";
    assert!(text.trim_end().ends_with(error), "{text}");
    Ok(())
}

#[test]
fn a_device_as_output_stays_a_device() -> Result {
    let home = Home::new()?;
    let tree = home.dir("tree")?;
    say(&[&"pack", &tree, &"-o", &"/dev/null"])?.done();
    assert!(fs::metadata("/dev/null")?.file_type().is_char_device());
    Ok(())
}

#[test]
fn a_link_as_output_has_its_target_replaced() -> Result {
    let home = Home::new()?;
    let tree = home.dir("tree")?;
    let real = home.file("real.tar", "of before")?;
    let link = home.path("link.tar");
    std::os::unix::fs::symlink("real.tar", &link)?;
    say(&[&"pack", &tree, &"-o", &link])?.done();
    assert!(fs::symlink_metadata(&link)?.is_symlink());
    assert!(fs::metadata(&real)?.len() >= 1024);
    assert_eq!(names(&tree)?, Vec::<String>::new());
    Ok(())
}
