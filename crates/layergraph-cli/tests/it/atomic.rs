//! `unpack --atomic`: all or nothing, and nothing beside it.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use layergraph_tests::require;

use crate::support::{AMPLE, BAD, Home, Layer, Result, Said, bad_layer, good_layer};
use crate::support::{layergraph, listing, names, say, shell};

fn unpack(layer: &Path, dir: &Path) -> std::io::Result<Said> {
    say(&[&"unpack", &"--atomic", &layer, &dir])
}

#[test]
fn a_directory_is_replaced_as_a_whole() -> Result {
    let home = Home::new()?;
    let dir = home.dir("dir")?;
    fs::write(dir.join("old"), "of before")?;
    let layer = Layer::new().file("new", "of the layer").finish();
    let layer = home.file("layer.tar", layer)?;
    let before = fs::metadata(&dir)?.ino();
    unpack(&layer, &dir)?.done();
    assert_eq!(names(&dir)?, ["new", "old"]);
    assert_ne!(fs::metadata(&dir)?.ino(), before);
    assert_eq!(home.names()?, ["dir", "layer.tar"]);
    Ok(())
}

#[test]
fn r8_after_a_refusal_the_directory_is_as_it_was_and_nothing_is_beside_it() -> Result {
    let home = Home::new()?;
    let dir = home.dir("dir")?;
    fs::write(dir.join("first"), "of before")?;
    let (before, inode) = (listing(&dir)?, fs::metadata(&dir)?.ino());
    let layer = home.file("layer.tar", bad_layer())?;
    let line = format!(
        "layergraph: unpack {} to {}: {BAD}",
        layer.display(),
        dir.display()
    );
    unpack(&layer, &dir)?.failed(7, &line);
    assert_eq!(listing(&dir)?, before);
    assert_eq!(fs::metadata(&dir)?.ino(), inode);
    assert_eq!(home.names()?, ["dir", "layer.tar"]);
    Ok(())
}

#[test]
fn a_file_over_the_limit_of_sizes_is_an_error_and_no_death() -> Result {
    let home = Home::new()?;
    let layer = Layer::new().file("large", &"x".repeat(100_000)).finish();
    let layer = home.file("layer.tar", layer)?;
    let dir = home.path("dir");
    // In units of 512 or 1,024 bytes, as the shell likes; a message is shorter than that.
    let script = "ulimit -f 8; exec \"$0\" unpack --atomic \"$1\" \"$2\"";
    let said = shell(script, &[&layer, &dir])?;
    assert_eq!(said.status, Some(9), "{said:?}");
    assert!(said.stderr.contains("File too large"), "{}", said.stderr);
    assert_eq!(
        said.hint(),
        Some("raise the limit of file sizes (ulimit -f)")
    );
    assert_eq!(home.names()?, ["layer.tar"]);
    Ok(())
}

#[test]
fn what_a_killed_run_leaves_the_next_one_removes() -> Result {
    let home = Home::new()?;
    let dir = home.dir("dir")?;
    fs::write(dir.join("old"), "of before")?;
    let before = listing(&dir)?;

    // Half a layer, and then nothing more: the first run waits in the middle of its work.
    let layer = Layer::new().file("new", &"x".repeat(4000)).finish();
    let mut command = layergraph(&[&"unpack", &"--atomic", &"--quiet", &"-", &dir]);
    let mut child = command.stdin(Stdio::piped()).spawn()?;
    let mut pipe = child.stdin.take().expect("it is piped");
    pipe.write_all(&layer[..2048])?;
    let start = Instant::now();
    while home.names()?.len() == 1 && start.elapsed() < AMPLE {
        std::thread::sleep(Duration::from_millis(2));
    }
    child.kill()?;
    child.wait()?;
    assert_eq!(listing(&dir)?, before);
    let left = home.names()?;
    assert!(
        left.len() == 2 && left[0].starts_with(".layergraph-"),
        "{left:?}"
    );

    let layer = home.file("layer.tar", good_layer())?;
    let said = unpack(&layer, &dir)?.done();
    assert_eq!(home.names()?, ["dir", "layer.tar"]);
    assert!(
        said.stderr
            .contains("removed 1 leftover of killed runs in "),
        "{}",
        said.stderr
    );
    Ok(())
}

#[test]
fn a_run_that_is_alive_is_not_swept() -> Result {
    let home = Home::new()?;
    let (slow, quick) = (home.path("slow"), home.path("quick"));
    let layer = Layer::new().file("new", "of the slow run").finish();
    let mut command = layergraph(&[&"unpack", &"--quiet", &"-", &slow]);
    let mut child = command.stdin(Stdio::piped()).spawn()?;
    let mut pipe = child.stdin.take().expect("it is piped");
    pipe.write_all(&layer[..600])?;
    let start = Instant::now();
    while home.names()?.is_empty() && start.elapsed() < AMPLE {
        std::thread::sleep(Duration::from_millis(2));
    }

    let other = home.file("layer.tar", good_layer())?;
    unpack(&other, &quick)?.done();
    pipe.write_all(&layer[600..])?;
    drop(pipe);
    assert!(child.wait()?.success());
    assert_eq!(names(&slow)?, ["new"]);
    Ok(())
}

#[test]
fn what_cannot_be_replaced_is_refused_before_anything_is_done() -> Result {
    let home = Home::new()?;
    let layer = home.file("layer.tar", good_layer())?;
    for (dir, why) in [
        ("/", "the root directory cannot be replaced"),
        ("/proc", "a mount point cannot be replaced"),
    ] {
        let said = unpack(&layer, Path::new(dir))?;
        let layer = layer.display();
        said.failed(10, &format!("layergraph: unpack {layer} to {dir}: {why}"));
        assert_eq!(said.hint(), Some("unpack without --atomic"));
    }
    Ok(())
}

#[test]
fn a_directory_that_is_mounted_from_the_same_file_system_is_left_alone() -> Result {
    require!(root);
    require!(program "mount", "unshare");
    let home = Home::new()?;
    let layer = home.file("layer.tar", good_layer())?;
    let (dir, other) = (home.dir("dir")?, home.dir("other")?);
    let script = "
        unshare --mount sh -c 'mount --bind \"$3\" \"$2\" && exec \"$0\" unpack --atomic \"$1\" \"$2\"' \\
            \"$0\" \"$1\" \"$2\" \"$3\"";
    let said = shell(script, &[&layer, &dir, &other])?;
    assert_eq!(said.status, Some(10), "{}", said.stderr);
    let hint = "a mount point cannot be replaced: unpack without --atomic";
    assert_eq!(said.hint(), Some(hint), "{}", said.stderr);
    assert_eq!(home.names()?, ["dir", "layer.tar", "other"]);
    assert!(names(&dir)?.is_empty() && names(&other)?.is_empty());
    Ok(())
}

#[test]
fn content_of_the_old_directory_is_open_to_who_has_it_open() -> Result {
    let home = Home::new()?;
    let dir = home.dir("dir")?;
    let mut file = File::open(home.file("dir/f", "of before")?)?;
    let layer = Layer::new().file("f", "of the layer").finish();
    unpack(&home.file("layer.tar", layer)?, &dir)?.done();
    let mut old = String::new();
    file.read_to_string(&mut old)?;
    assert_eq!(
        (old.as_str(), fs::read_to_string(dir.join("f"))?),
        ("of before", "of the layer".into())
    );
    Ok(())
}
