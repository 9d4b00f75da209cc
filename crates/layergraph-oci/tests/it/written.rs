//! What the sinks write, the sources read.

use std::fs;
use std::io::Read;

use layergraph_fs::Durability;
use layergraph_image::transfer::{ImageSink, ImageSource, Offered};
use layergraph_oci::{ArchiveWriter, LayoutWriter, OciError, SourceOptions, open};
use tempfile::TempDir;

use crate::support::{
    Result, archive, docker_archive, image, images_of, open_bytes, packed_image, read_all,
    read_bytes, send, tar,
};

const NAMES: &[&str] = &["example:1", "localhost:5000/some/thing:other"];

#[test]
fn a_layout_gives_the_images_that_were_written_to_it() -> Result {
    let directory = TempDir::new()?;
    let path = directory.path().join("layout");
    let (first, second) = (packed_image(&["a", "b"]), image(&["a", "c"]));
    for durability in [Durability::None, Durability::Full] {
        let mut sink = Box::new(LayoutWriter::new(&path, durability)?);
        send(&first, NAMES, sink.as_mut())?;
        send(&second, &[], sink.as_mut())?;
        assert!(!path.exists(), "nothing is there before the end");
        sink.finish()?;
        let source = images_of(open(&path, &SourceOptions::default())?);
        assert_eq!(read_all(&source)?, [first.found(NAMES), second.found(&[])]);
        let left: Vec<_> = fs::read_dir(directory.path())?.collect();
        assert_eq!(left.len(), 1, "{left:?}");
        fs::remove_dir_all(&path)?;
    }
    Ok(())
}

#[test]
fn an_archive_gives_the_images_that_were_written_to_it() -> Result {
    let (first, second) = (packed_image(&["a", "b"]), image(&["a", "c"]));
    let bytes = archive(&[(&first, NAMES), (&second, &[])])?;
    assert_eq!(read_bytes(&bytes)?, [first.found(NAMES), second.found(&[])]);
    Ok(())
}

#[test]
fn an_archive_depends_on_its_images_alone() -> Result {
    let image = packed_image(&["a", "b"]);
    let bytes = archive(&[(&image, NAMES)])?;
    let directory = TempDir::new()?;
    let mut output = Vec::new();
    let spool = layergraph_fs::Dir::open(directory.path())?;
    let mut sink = Box::new(ArchiveWriter::new(&mut output, &spool)?);
    // `send` goes the other way.
    for (blob, bytes) in &image.blobs {
        sink.put(blob, &mut bytes.as_slice())?;
    }
    let names = crate::support::names(NAMES);
    sink.add(&Offered::new(image.root.clone(), names))?;
    sink.finish()?;
    assert_eq!(output, bytes);
    Ok(())
}

#[test]
fn a_docker_archive_gives_the_configs_and_layers_that_were_written_to_it() -> Result {
    let (first, second) = (packed_image(&["a", "b"]), image(&["a", "c"]));
    let bytes = docker_archive(&[(&first, NAMES), (&second, &[])])?;
    // Manifests are made anew, over layers that are not packed, as those of the second are.
    let plain = image(&["a", "b"]);
    assert_eq!(read_bytes(&bytes)?, [plain.found(NAMES), second.found(&[])]);
    assert_eq!(docker_archive(&[(&plain, NAMES), (&second, &[])])?, bytes);
    Ok(())
}

#[test]
fn a_docker_archive_has_a_layer_once_that_images_share() -> Result {
    let (first, second) = (packed_image(&["shared", "b"]), image(&["shared", "c"]));
    let bytes = docker_archive(&[(&first, &["x"]), (&second, &["y"])])?;
    let mut reader = layergraph_tar::Reader::new(bytes.as_slice());
    let mut names = Vec::new();
    while let Some(member) = reader.next_member()? {
        names.push(String::from_utf8(member.path)?);
    }
    let layers = names.iter().filter(|name| name.ends_with("layer.tar"));
    assert_eq!(layers.count(), 3);
    assert_eq!(names.last().map(String::as_str), Some("manifest.json"));
    Ok(())
}

#[test]
fn one_config_under_two_manifests_is_one_image_to_docker() -> Result {
    let (packed, plain) = (packed_image(&["a"]), image(&["a"]));
    let bytes = docker_archive(&[(&packed, &["x:packed"]), (&plain, &["x:plain"])])?;
    assert_eq!(read_bytes(&bytes)?, [plain.found(&["x:packed", "x:plain"])]);
    Ok(())
}

#[test]
fn an_image_without_layers_is_written_and_read() -> Result {
    let empty = image(&[]);
    for bytes in [
        archive(&[(&empty, &["x"])])?,
        docker_archive(&[(&empty, &["x"])])?,
    ] {
        assert_eq!(read_bytes(&bytes)?, [empty.found(&["x"])]);
    }
    Ok(())
}

#[test]
fn several_threads_read_blobs_at_once() -> Result {
    let texts: Vec<String> = (0..4).map(|n| n.to_string().repeat(50_000)).collect();
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    let image = packed_image(&texts);
    for bytes in [
        archive(&[(&image, &["x"])])?,
        docker_archive(&[(&image, &["x"])])?,
    ] {
        let source = images_of(open_bytes(&bytes)?);
        std::thread::scope(|scope| -> Result {
            let read = || read_all(&source);
            let threads: Vec<_> = (0..4).map(|_| scope.spawn(read)).collect();
            for thread in threads {
                let found = thread.join().expect("no panic")?;
                assert_eq!(found[0].diff_ids, image.diff_ids);
            }
            Ok(())
        })?;
    }
    Ok(())
}

#[test]
fn a_blob_is_asked_for_by_its_true_size() -> Result {
    let image = image(&["a"]);
    for bytes in [
        archive(&[(&image, &["x"])])?,
        docker_archive(&[(&image, &["x"])])?,
    ] {
        let source = images_of(open_bytes(&bytes)?);
        for (blob, _) in &image.blobs {
            let mut other = blob.clone();
            other.size += 1;
            let error = source.open(&other).err().expect("another size");
            assert!(matches!(
                error.downcast_ref(),
                Some(OciError::Size { actual, .. }) if *actual == blob.size
            ));
        }
    }
    Ok(())
}

#[test]
fn an_archive_may_call_its_members_as_tar_does() -> Result {
    let image = image(&["a"]);
    let bytes = archive(&[(&image, &["x"])])?;
    let mut reader = layergraph_tar::Reader::new(bytes.as_slice());
    let mut files = Vec::new();
    while let Some(member) = reader.next_member()? {
        let mut data = Vec::new();
        while let chunk @ [_, ..] = reader.chunk()? {
            data.extend_from_slice(chunk);
            let count = chunk.len();
            reader.consume(count);
        }
        if member.kind == layergraph_tar::Kind::File {
            files.push((format!("./{}", String::from_utf8(member.path)?), data));
        }
    }
    let members: Vec<_> = files
        .iter()
        .map(|(name, data)| (name.as_str(), crate::support::File(data)))
        .collect();
    assert_eq!(read_bytes(&tar(&members))?, [image.found(&["x"])]);
    Ok(())
}

#[test]
fn a_path_may_be_a_link_to_an_archive_and_relative() -> Result {
    let directory = TempDir::new()?;
    let image = image(&["a"]);
    let below = directory.path().join("below");
    fs::create_dir(&below)?;
    fs::write(below.join("archive"), archive(&[(&image, &["x"])])?)?;
    std::os::unix::fs::symlink("below/second", directory.path().join("first"))?;
    std::os::unix::fs::symlink("archive", below.join("second"))?;
    let path = directory.path().join("first");
    let source = images_of(open(&path, &SourceOptions::default())?);
    assert_eq!(read_all(&source)?, [image.found(&["x"])]);
    Ok(())
}

#[test]
fn an_index_is_offered_as_it_is() -> Result {
    let directory = TempDir::new()?;
    let path = directory.path().join("layout");
    let (first, second) = (image(&["a"]), image(&["b"]));
    let index = layergraph_image::oci::Index::new(vec![first.root.clone(), second.root.clone()]);
    let index = index.encode();
    let root = crate::support::describe(layergraph_image::oci::MediaType::INDEX, &index);
    let mut sink = Box::new(LayoutWriter::new(&path, Durability::None)?);
    for (blob, bytes) in first.blobs.iter().chain(&second.blobs) {
        sink.put(blob, &mut bytes.as_slice())?;
    }
    sink.put(&root, &mut index.as_slice())?;
    sink.add(&Offered::new(root.clone(), crate::support::names(&["x"])))?;
    sink.finish()?;
    let source = images_of(open(&path, &SourceOptions::default())?);
    assert_eq!(source.images()?.len(), 1);
    let mut bytes = Vec::new();
    source.open(&root)?.read_to_end(&mut bytes)?;
    assert_eq!(bytes, index);
    let both = [first.found(&["x"]), second.found(&["x"])];
    assert_eq!(read_all(&source)?, both);
    Ok(())
}
