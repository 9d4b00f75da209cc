//! Layouts that are there already, and get further images.

use std::fs;
use std::path::Path;

use layergraph_digest::{Algorithm, Digest};
use layergraph_fs::Durability;
use layergraph_image::oci::Descriptor;
use layergraph_image::transfer::ImageSink;
use layergraph_oci::{LayoutWriter, OciError, SourceOptions, open};
use tempfile::TempDir;

use crate::support::{
    Found, Result, image, images_of, packed_image, read_all, send, tree, write_layout,
};

fn found(path: &Path) -> Result<Vec<Found>> {
    read_all(&images_of(open(path, &SourceOptions::default())?))
}

#[test]
fn images_are_added_to_those_that_are_there() -> Result {
    let directory = TempDir::new()?;
    let path = directory.path();
    let (first, second) = (image(&["a", "b"]), packed_image(&["a", "c"]));
    // An empty directory becomes a layout.
    write_layout(path, &[(&first, &["x:1"])])?;
    assert_eq!(found(path)?, [first.found(&["x:1"])]);
    let mut sink = Box::new(LayoutWriter::new(path, Durability::Full)?);
    assert!(sink.has(&first.blobs[2].0)?);
    send(&second, &["y:1"], sink.as_mut())?;
    assert_eq!(found(path)?, [first.found(&["x:1"])], "not before the end");
    sink.finish()?;
    assert_eq!(
        found(path)?,
        [first.found(&["x:1"]), second.found(&["y:1"])]
    );
    let entries = fs::read_dir(path)?.count();
    assert_eq!(entries, 3, "blobs, index.json, oci-layout");
    Ok(())
}

#[test]
fn an_image_takes_the_name_of_another() -> Result {
    let directory = TempDir::new()?;
    let (first, second) = (image(&["a"]), image(&["b"]));
    write_layout(directory.path(), &[(&first, &["x:1", "y:1"])])?;
    write_layout(directory.path(), &[(&second, &["x:1"])])?;
    assert_eq!(
        found(directory.path())?,
        [first.found(&["y:1"]), second.found(&["x:1"])]
    );
    Ok(())
}

#[test]
fn an_image_without_a_name_is_listed_once() -> Result {
    let directory = TempDir::new()?;
    let image = image(&["a"]);
    for _ in 0..2 {
        write_layout(directory.path(), &[(&image, &[])])?;
        let index = fs::read_to_string(directory.path().join("index.json"))?;
        assert_eq!(index.matches("digest").count(), 1, "{index}");
    }
    Ok(())
}

#[test]
fn what_an_index_says_beside_is_kept() -> Result {
    let directory = TempDir::new()?;
    let path = directory.path();
    let first = image(&["a"]);
    write_layout(path, &[(&first, &["x:1"])])?;
    let index = path.join("index.json");
    let text = fs::read_to_string(&index)?;
    let text = text.replacen('{', r#"{"unknown":[1,{"a":null}],"#, 1);
    let text = text.replace(r#""digest""#, r#""data":"e30=","digest""#);
    fs::write(&index, text)?;
    write_layout(path, &[(&image(&["b"]), &["y:1"])])?;
    let text = fs::read_to_string(&index)?;
    assert!(text.contains(r#""unknown":[1,{"a":null}]"#), "{text}");
    assert!(text.contains(r#""data":"e30=""#), "{text}");
    Ok(())
}

#[test]
fn a_writer_that_does_not_finish_leaves_a_layout_as_it_was() -> Result {
    let directory = TempDir::new()?;
    let path = directory.path();
    write_layout(path, &[(&image(&["a"]), &["x:1"])])?;
    let before = tree(path)?;
    let mut sink = LayoutWriter::new(path, Durability::None)?;
    send(&image(&["b"]), &["y:1"], &mut sink)?;
    drop(sink);
    assert_eq!(tree(path)?, before);
    // And one that fails at the very end.
    for index in ["{", r#"{"schemaVersion":2,"manifests":[],"layers":[]}"#] {
        fs::write(path.join("index.json"), index)?;
        let before = tree(path)?;
        let mut sink = Box::new(LayoutWriter::new(path, Durability::None)?);
        send(&image(&["b"]), &["y:1"], sink.as_mut())?;
        sink.finish().expect_err("the index cannot be read");
        assert_eq!(tree(path)?, before);
    }
    Ok(())
}

#[test]
fn blobs_are_taken_back_when_others_have_no_place() -> Result {
    let directory = TempDir::new()?;
    let path = directory.path();
    write_layout(path, &[(&image(&["a"]), &["x:1"])])?;
    fs::write(path.join("blobs/sha512"), "in the way")?;
    let before = tree(path)?;
    let mut sink = Box::new(LayoutWriter::new(path, Durability::None)?);
    send(&image(&["b"]), &["y:1"], sink.as_mut())?;
    // Its directory comes after the other.
    let blob = Descriptor::new("text/plain", Digest::of(Algorithm::Sha512, "text"), 4);
    sink.put(&blob, &mut &b"text"[..])?;
    sink.finish().expect_err("there is no place for it");
    assert_eq!(tree(path)?, before);
    Ok(())
}

#[test]
fn a_directory_for_something_else_is_left_alone() -> Result {
    let directory = TempDir::new()?;
    fs::write(directory.path().join("letter"), "text")?;
    let writer = LayoutWriter::new(directory.path(), Durability::None);
    assert!(matches!(writer, Err(OciError::NoLayout { .. })));
    assert_eq!(fs::read_dir(directory.path())?.count(), 1);
    Ok(())
}

#[test]
fn a_damaged_blob_is_replaced() -> Result {
    let directory = TempDir::new()?;
    let path = directory.path();
    let image = image(&["a"]);
    write_layout(path, &[(&image, &["x:1"])])?;
    let layer = &image.blobs[2].0;
    fs::write(
        path.join(format!("blobs/sha256/{}", layer.digest.hex())),
        "",
    )?;
    found(path).expect_err("a layer is damaged");
    write_layout(path, &[(&image, &["x:1"])])?;
    assert_eq!(found(path)?, [image.found(&["x:1"])]);
    Ok(())
}
