//! What other tools write is read, and what is written here is read by them.

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use layergraph_oci::{SourceOptions, open};
use layergraph_tests::require;
use tempfile::TempDir;

use crate::support::{
    Found, Result, archive, docker_archive, image, images_of, packed_image, read_all, write_layout,
};

const AMPLE: Duration = Duration::from_secs(60);

fn run(command: &mut Command) -> Result {
    let output = layergraph_tests::run(command, AMPLE)?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(format!("{command:?}: {said}").into())
}

fn skopeo(from: &str, to: &str) -> Result {
    let mut command = Command::new("skopeo");
    run(command.args(["--insecure-policy", "copy", "--quiet", from, to]))
}

fn found(path: &Path) -> Result<Vec<Found>> {
    read_all(&images_of(open(path, &SourceOptions::default())?))
}

#[test]
fn what_is_written_here_skopeo_reads() -> Result {
    require!(program "skopeo");
    let directory = TempDir::new()?;
    let at = |name: &str| directory.path().join(name);
    let image = packed_image(&["a", "b", "b"]);
    write_layout(&at("layout"), &[(&image, &["x:1"])])?;
    fs::write(at("oci.tar"), archive(&[(&image, &["x:1"])])?)?;
    let docker = docker_archive(&[(&image, &["x:1"])])?;
    fs::write(at("docker.tar"), &docker)?;
    let dir = directory.path().display();
    for (form, from) in [
        ("oci", "layout:1"),
        ("oci-archive", "oci.tar:1"),
        ("docker-archive", "docker.tar:x:1"),
    ] {
        let copy = format!("copy-of-{form}");
        skopeo(
            &format!("{form}:{dir}/{from}"),
            &format!("oci:{dir}/{copy}:y/z:2"),
        )?;
        let found = found(&at(&copy))?;
        assert_eq!(found.len(), 1, "{form}");
        assert_eq!(found[0].config, image.blobs[1].0.digest, "{form}");
        assert_eq!(found[0].diff_ids, image.diff_ids, "{form}");
        assert_eq!(found[0].names, ["docker.io/y/z:2"], "{form}");
        // Nothing was made anew where the layers need not be packed for it.
        if form != "docker-archive" {
            assert_eq!(found[0].manifest, image.root.digest, "{form}");
        }
    }
    Ok(())
}

#[test]
fn what_skopeo_writes_is_read() -> Result {
    require!(program "skopeo");
    let directory = TempDir::new()?;
    let at = |name: &str| directory.path().join(name);
    let image = image(&["a", "b", "b"]);
    write_layout(&at("layout"), &[(&image, &["x:1"])])?;
    let dir = directory.path().display();
    let from = format!("oci:{dir}/layout:1");
    for (form, name, expected) in [
        ("oci", "copy:y:2", "docker.io/library/y:2"),
        ("oci-archive", "copy.tar:y:2", "docker.io/library/y:2"),
        ("docker-archive", "docker.tar:y:2", "docker.io/library/y:2"),
    ] {
        skopeo(&from, &format!("{form}:{dir}/{name}"))?;
        let (path, _) = name.split_once(':').ok_or("a name")?;
        let found = found(&at(path))?;
        assert_eq!(found.len(), 1, "{form}");
        assert_eq!(found[0].diff_ids, image.diff_ids, "{form}");
        assert_eq!(found[0].names, [expected], "{form}");
    }
    Ok(())
}

#[test]
fn umoci_unpacks_what_is_added_to_its_own_layout() -> Result {
    require!(root);
    require!(program "umoci");
    let directory = TempDir::new()?;
    let at = |name: &str| directory.path().join(name);
    run(Command::new("umoci")
        .arg("init")
        .arg("--layout")
        .arg(at("layout")))?;
    assert_eq!(found(&at("layout"))?, []);
    let image = packed_image(&["a"]);
    write_layout(&at("layout"), &[(&image, &["x:tag"])])?;
    let mut unpack = Command::new("umoci");
    unpack.args(["unpack", "--image"]);
    unpack.arg(format!("{}:tag", at("layout").display()));
    run(unpack.arg(at("bundle")))?;
    assert_eq!(fs::read(at("bundle/rootfs/file"))?, b"a");
    Ok(())
}

#[test]
fn what_tar_makes_of_a_layout_is_read() -> Result {
    require!(program "tar");
    let directory = TempDir::new()?;
    let at = |name: &str| directory.path().join(name);
    let image = packed_image(&["a"]);
    write_layout(&at("layout"), &[(&image, &["x:1"])])?;
    let mut tar = Command::new("tar");
    tar.arg("-cf")
        .arg(at("oci.tar"))
        .arg("-C")
        .arg(at("layout"));
    run(tar.arg("."))?;
    assert_eq!(found(&at("oci.tar"))?, [image.found(&["x:1"])]);
    // Several archives in one, as `cat` makes of them, are the first of them.
    let first = fs::read(at("oci.tar"))?;
    let mut file = fs::OpenOptions::new().append(true).open(at("oci.tar"))?;
    file.write_all(&first)?;
    assert_eq!(found(&at("oci.tar"))?, [image.found(&["x:1"])]);
    Ok(())
}
