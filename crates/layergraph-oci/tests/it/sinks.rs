//! What sinks refuse, and what is left then.

use std::fs;
use std::io::{self, Read};

use layergraph_archive::codec::DecodeOptions;
use layergraph_digest::VerifyError;
use layergraph_fs::{Dir, Durability};
use layergraph_image::oci::{Descriptor, Index, Manifest, MediaType};
use layergraph_image::transfer::{ImageSink, Offered};
use layergraph_oci::{ArchiveWriter, DockerWriter, LayoutWriter, OciError};
use tempfile::TempDir;

use crate::support::{Result, describe, image, names, send};

/// Gives each kind of sink to `check`; nothing may be left afterwards.
fn each_sink(check: impl Fn(&mut dyn ImageSink) -> Result) -> Result {
    let directory = TempDir::new()?;
    let spool = Dir::open(directory.path())?;
    let layout = directory.path().join("layout");
    check(&mut LayoutWriter::new(&layout, Durability::None)?)?;
    check(&mut ArchiveWriter::new(io::sink(), &spool)?)?;
    check(&mut DockerWriter::new(
        io::sink(),
        &spool,
        DecodeOptions::default(),
    )?)?;
    assert_eq!(fs::read_dir(directory.path())?.count(), 0);
    Ok(())
}

#[test]
fn a_blob_that_is_not_the_one_announced_is_not_taken() -> Result {
    let image = image(&["a"]);
    let (blob, bytes) = &image.blobs[2];
    let mut other = bytes.clone();
    other[600] ^= 1;
    each_sink(|sink| {
        for wrong in [&other[..], &bytes[1..], &[&bytes[..], b"x"].concat()] {
            let error = sink.put(blob, &mut &*wrong).expect_err("it is another");
            let Some(OciError::Blob { source, .. }) = error.downcast_ref() else {
                panic!("{error:?}");
            };
            let inner = source.get_ref().expect("an error of verification");
            assert!(inner.is::<VerifyError>(), "{inner:?}");
            assert!(!sink.has(blob)?);
        }
        sink.put(blob, &mut bytes.as_slice())
    })
}

#[test]
fn a_blob_that_cannot_be_read_is_not_taken() -> Result {
    struct Broken;
    impl Read for Broken {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            Err(io::ErrorKind::BrokenPipe.into())
        }
    }
    let image = image(&["a"]);
    let (blob, bytes) = &image.blobs[2];
    each_sink(|sink| {
        let error = sink
            .put(blob, &mut (&bytes[..9]).chain(Broken))
            .expect_err("it breaks");
        let is_it = |source: &io::Error| source.kind() == io::ErrorKind::BrokenPipe;
        assert!(matches!(
            error.downcast_ref(),
            Some(OciError::Blob { source, .. }) if is_it(source)
        ));
        assert!(!sink.has(blob)?);
        Ok(())
    })
}

#[test]
fn an_image_whose_manifest_was_not_taken_is_refused() -> Result {
    let image = image(&["a"]);
    each_sink(|sink| {
        let offered = Offered::new(image.root.clone(), names(&["x"]));
        let error = sink.add(&offered).expect_err("its manifest is missing");
        assert!(matches!(
            error.downcast_ref(),
            Some(OciError::NoBlob { .. })
        ));
        Ok(())
    })
}

#[test]
fn a_name_is_given_to_one_image_only() -> Result {
    let (first, second) = (image(&["a"]), image(&["b"]));
    each_sink(|sink| {
        send(&first, &["x:1"], sink)?;
        let error = send(&second, &["x:1"], sink).expect_err("it is taken");
        assert!(matches!(
            error.downcast_ref(),
            Some(OciError::Ambiguous { .. })
        ));
        Ok(())
    })
}

#[test]
fn docker_is_given_manifests_whose_layers_are_those_of_the_config() -> Result {
    let directory = TempDir::new()?;
    let spool = Dir::open(directory.path())?;
    let mut sink = DockerWriter::new(io::sink(), &spool, DecodeOptions::default())?;
    let (one, two) = (image(&["a"]), image(&["b", "c"]));
    send(&one, &[], &mut sink)?;
    send(&two, &[], &mut sink)?;
    let config = two.blobs[1].0.clone();
    let layer = |image: &crate::support::Image, at: usize| image.blobs[at].0.clone();
    for layers in [
        vec![layer(&two, 3), layer(&two, 2)],
        vec![layer(&two, 2)],
        vec![layer(&two, 2), layer(&one, 2)],
    ] {
        let manifest = Manifest::new(config.clone(), layers).encode();
        let error = refused(&mut sink, MediaType::MANIFEST, &manifest)?;
        assert!(matches!(error, OciError::Contradiction { .. }), "{error:?}");
    }
    let index = Index::new(vec![one.root.clone()]).encode();
    let error = refused(&mut sink, MediaType::INDEX, &index)?;
    assert!(matches!(error, OciError::Document { .. }), "{error:?}");
    Ok(())
}

fn refused(sink: &mut dyn ImageSink, media_type: &str, root: &[u8]) -> Result<OciError> {
    let blob: Descriptor = describe(media_type, root);
    sink.put(&blob, &mut &*root)?;
    let error = sink.add(&Offered::new(blob, Vec::new()));
    Ok(*error.expect_err("it cannot be").downcast::<OciError>()?)
}

#[test]
fn a_directory_that_appears_meanwhile_is_left_alone() -> Result {
    let directory = TempDir::new()?;
    let path = directory.path().join("layout");
    let mut sink = Box::new(LayoutWriter::new(&path, Durability::None)?);
    send(&image(&["a"]), &["x"], sink.as_mut())?;
    fs::create_dir(&path)?;
    sink.finish().expect_err("the name is taken");
    assert_eq!(fs::read_dir(&path)?.count(), 0);
    assert_eq!(fs::read_dir(directory.path())?.count(), 1);
    Ok(())
}
