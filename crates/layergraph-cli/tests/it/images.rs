//! Images: loaded, listed, inspected, named, saved, removed.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use layergraph::digest::{Algorithm, Digest};
use layergraph::image::oci::{Descriptor, Index, Manifest, MediaType};
use layergraph_tests::{require, run as run_for};
use serde_json::{Value, json};

use crate::support::{AMPLE, Layer, Result, Store, good_layer, run};

/// Puts a blob into a layout.
fn blob(layout: &Path, media_type: &str, bytes: &[u8]) -> io::Result<Descriptor> {
    let digest = Digest::of(Algorithm::Sha256, bytes);
    fs::create_dir_all(layout.join("blobs/sha256"))?;
    fs::write(layout.join("blobs/sha256").join(digest.hex()), bytes)?;
    Ok(Descriptor::new(media_type, digest, bytes.len() as u64))
}

/// Makes an OCI layout with one image of these plain layers, by this tag.
pub(crate) fn layout(layout: &Path, tag: &str, layers: &[Vec<u8>]) -> io::Result<()> {
    let mut blobs = Vec::new();
    for layer in layers {
        blobs.push(blob(layout, MediaType::LAYER, layer)?);
    }
    let diff_ids: Vec<String> = blobs.iter().map(|blob| blob.digest.to_string()).collect();
    let steps = layers.iter().map(|_| json!({"created_by": "a step"}));
    let mut history: Vec<Value> = steps.collect();
    history.push(json!({"created_by": "a setting", "empty_layer": true}));
    let config = json!({
        "architecture": "amd64",
        "os": "linux",
        "created": "2015-06-01T00:00:00Z",
        "config": {"Cmd": ["/bin/tool"]},
        "rootfs": {"type": "layers", "diff_ids": diff_ids},
        "history": history,
    });
    let config = blob(layout, MediaType::CONFIG, config.to_string().as_bytes())?;
    let manifest = Manifest::new(config, blobs).encode();
    let mut manifest = blob(layout, MediaType::MANIFEST, &manifest)?;
    let name = "org.opencontainers.image.ref.name".to_owned();
    manifest.annotations.insert(name, tag.to_owned());
    fs::write(
        layout.join("index.json"),
        Index::new(vec![manifest]).encode(),
    )?;
    fs::write(
        layout.join("oci-layout"),
        r#"{"imageLayoutVersion":"1.0.0"}"#,
    )
}

fn layers() -> Vec<Vec<u8>> {
    let top = Layer::new()
        .file("bin/.wh.tool", "")
        .file("new", "on top")
        .finish();
    vec![good_layer(), top]
}

/// A store with one image, and the layout it came from.
fn loaded() -> io::Result<(Store, PathBuf)> {
    let store = Store::new()?;
    let place = store.home.path("layout");
    layout(&place, "v1", &layers())?;
    store
        .say(&[&"load", &"--name", &"user/app:v1", &place])?
        .done();
    Ok((store, place))
}

#[test]
fn what_was_loaded_is_listed_inspected_and_read() -> Result {
    let (store, place) = loaded()?;
    let images = store.json(&[&"images"])?;
    let image = &images[0];
    assert_eq!(image["name"], "docker.io/user/app:v1");
    assert_eq!(
        (&image["layers"], &image["created"]),
        (&json!(2), &json!("2015-06-01T00:00:00Z"))
    );
    assert_eq!(image["size"], image["unique_size"]);
    let id = image["image_id"].as_str().ok_or("an id")?;
    for text in ["user/app:v1", id, &id["sha256:".len()..][..12]] {
        let inspected = store.json(&[&"inspect", &text])?;
        assert_eq!(inspected["manifest_digest"], image["manifest_digest"]);
        assert_eq!(inspected["config"]["config"]["Cmd"], json!(["/bin/tool"]));
    }
    let history = store.json(&[&"history", &"user/app:v1"])?;
    let empty: Vec<_> = history
        .as_array()
        .ok_or("a list")?
        .iter()
        .map(|step| step["empty_layer"].clone())
        .collect();
    assert_eq!(empty, [json!(true), json!(false), json!(false)]);
    // Once more, and nothing is read.
    let again = store.json(&[&"load", &place])?;
    assert!(
        again[0]["layers"]
            .as_array()
            .ok_or("a list")?
            .iter()
            .all(|layer| layer["reused"] == true)
    );
    let shown = store.say(&[&"images"])?.done();
    assert!(shown.text().contains("user/app:v1"), "{}", shown.text());
    Ok(())
}

#[test]
fn an_image_is_mounted_by_its_name() -> Result {
    require!(overlay_mount);
    let (store, _) = loaded()?;
    let path = store
        .say(&[&"mount", &"user/app:v1"])?
        .done()
        .text()
        .trim_end()
        .to_owned();
    assert_eq!(fs::read_to_string(Path::new(&path).join("new"))?, "on top");
    assert!(!Path::new(&path).join("bin/tool").exists());
    store.say(&[&"unmount", &path])?.done();
    Ok(())
}

#[test]
fn what_is_saved_is_loaded_as_the_same_image_in_every_form() -> Result {
    let (store, _) = loaded()?;
    let before = store.json(&[&"inspect", &"user/app:v1"])?;
    for (format, is_same) in [
        ("docker-archive", false),
        ("oci-archive", true),
        ("oci", true),
    ] {
        let file = store.home.path(format);
        let args: [crate::support::Arg<'_>; 6] =
            [&"save", &"--format", &format, &"-o", &file, &"user/app:v1"];
        store.say(&args)?.done();
        let other = Store::with_driver("vfs")?;
        let said = other.json(&[&"load", &file])?;
        assert_eq!(said[0]["name"], "docker.io/user/app:v1", "{format}");
        assert_eq!(said[0]["image_id"], before["image_id"]);
        // A docker-archive has no manifest of that kind.
        let manifest = said[0]["manifest_digest"] == before["manifest_digest"];
        assert!(manifest || !is_same, "{format}");
        // From a pipe as well.
        if format != "oci" {
            let mut command = Store::with_driver("vfs")?.command(&[&"load", &"-"]);
            run_for(command.stdin(fs::File::open(&file)?), AMPLE)?;
        }
    }
    Ok(())
}

#[test]
fn names_come_and_go_and_the_last_takes_the_image_along() -> Result {
    let (store, _) = loaded()?;
    store.say(&[&"tag", &"user/app:v1", &"other"])?.done();
    let said = store.json(&[&"rm", &"other"])?;
    assert_eq!(
        said,
        json!({"removed": [], "untagged": ["docker.io/library/other:latest"]})
    );
    store.say(&[&"tag", &"user/app:v1", &"other"])?.done();
    store.say(&[&"untag", &"user/app:v1"])?.done();
    assert_eq!(store.say(&[&"inspect", &"user/app:v1"])?.status, Some(3));
    let said = store.json(&[&"rm", &"other"])?;
    assert_eq!(said["removed"].as_array().map(Vec::len), Some(1));
    assert_eq!(store.json(&[&"images", &"--all"])?, json!([]));
    assert_eq!(store.json(&[&"layers"])?, json!([]));
    assert_eq!(
        store.json(&[&"gc"])?,
        json!({"removed": [], "freed": 0, "kept": []})
    );
    Ok(())
}

#[test]
fn an_image_goes_when_all_its_names_are_given_at_once() -> Result {
    let (store, _) = loaded()?;
    store.say(&[&"tag", &"user/app:v1", &"other"])?.done();
    let said = store.json(&[&"rm", &"other", &"user/app:v1", &"other"])?;
    assert_eq!(said["removed"].as_array().map(Vec::len), Some(1));
    assert_eq!(store.json(&[&"images", &"--all"])?, json!([]));
    Ok(())
}

#[test]
fn an_image_that_cannot_be_read_is_removed_by_its_name_or_digest() -> Result {
    for by_digest in [false, true] {
        let (store, _) = loaded()?;
        let images = store.json(&[&"images"])?;
        let digest = images[0]["manifest_digest"].as_str().ok_or("a digest")?;
        let record = store.root().join("images").join(&digest["sha256:".len()..]);
        fs::write(record, "{")?;
        let text = if by_digest { digest } else { "user/app:v1" };
        assert_eq!(store.say(&[&"inspect", &text])?.status, Some(8));
        let said = store.json(&[&"rm", &text])?;
        let expected = json!({"removed": [digest], "untagged": ["docker.io/user/app:v1"]});
        assert_eq!(said, expected);
        assert_eq!(store.json(&[&"layers"])?, json!([]));
    }
    Ok(())
}

#[test]
fn an_image_that_is_mounted_loses_its_layers_when_it_no_longer_is() -> Result {
    require!(overlay_mount);
    let (store, _) = loaded()?;
    let path = store
        .say(&[&"mount", &"user/app:v1"])?
        .done()
        .text()
        .trim_end()
        .to_owned();
    store.say(&[&"rm", &"user/app:v1"])?.done();
    assert_eq!(store.json(&[&"images", &"--all"])?, json!([]));
    assert_eq!(fs::read_to_string(Path::new(&path).join("new"))?, "on top");
    store.say(&[&"unmount", &path])?.done();
    store.say(&[&"gc"])?.done();
    assert_eq!(store.json(&[&"layers"])?, json!([]));
    Ok(())
}

#[test]
fn what_cannot_be_loaded_says_why_and_leaves_the_store_as_it_was() -> Result {
    let (store, place) = loaded()?;
    let before = store.json(&[&"images", &"--all"])?;
    let none = store.home.path("none");
    assert_eq!(store.say(&[&"load", &none])?.status, Some(3));
    let text = store.home.file("text", "no archive")?;
    assert_eq!(store.say(&[&"load", &text])?.status, Some(7));
    assert_eq!(
        store.say(&[&"load", &"--name", &"UPPER", &place])?.status,
        Some(2)
    );
    // A layer that was changed.
    let other = store.home.path("changed");
    layout(&other, "v2", &[Layer::new().file("f", "text").finish()])?;
    let blobs = fs::read_dir(other.join("blobs/sha256"))?;
    let blobs: io::Result<Vec<_>> = blobs.map(|entry| entry.map(|entry| entry.path())).collect();
    let is_largest = |path: &PathBuf| fs::metadata(path).map_or(0, |found| found.len());
    let largest = blobs?
        .into_iter()
        .max_by_key(is_largest)
        .ok_or("there are some")?;
    let mut bytes = fs::read(&largest)?;
    bytes[600] ^= 1;
    fs::write(&largest, bytes)?;
    let said = store.say(&[&"load", &other])?;
    assert_eq!(said.status, Some(7), "{}", said.stderr);
    assert!(
        said.stderr.contains("refused the layer sha256:"),
        "{}",
        said.stderr
    );
    assert_eq!(store.json(&[&"images", &"--all"])?, before);
    assert_eq!(
        run(&mut store.command(&[&"save", &"-o", &none, &"no/such"]))?.status,
        Some(3)
    );
    assert!(!none.exists());
    Ok(())
}
