//! Archives that are compressed or come as a stream.

use std::io::{self, Read};

use layergraph_fs::Dir;
use layergraph_oci::{OciError, SourceOptions, open, open_reader};
use tempfile::TempDir;

use crate::support::{
    Result, archive, docker_archive, gzip, image, images_of, open_bytes, open_bytes_with,
    open_stream, read_all,
};

#[test]
fn a_stream_gives_what_the_file_gives_compressed_or_not() -> Result {
    let image = image(&["a", "b"]);
    for plain in [
        archive(&[(&image, &["x"])])?,
        docker_archive(&[(&image, &["x"])])?,
    ] {
        let packed = gzip(&plain);
        let expected = [image.found(&["x"])];
        for bytes in [&plain, &packed] {
            let source = images_of(open_stream(bytes, 1 << 20)?);
            assert_eq!(read_all(&source)?, expected);
            assert_eq!(read_all(&images_of(open_bytes(bytes)?))?, expected);
        }
    }
    Ok(())
}

#[test]
fn a_compressed_archive_needs_a_place_to_be_kept() -> Result {
    let directory = TempDir::new()?;
    let path = directory.path().join("archive");
    std::fs::write(&path, gzip(&archive(&[(&image(&["a"]), &["x"])])?))?;
    let opened = open(&path, &SourceOptions::default());
    assert!(
        matches!(opened, Err(OciError::NeedsSpool { .. })),
        "{opened:?}"
    );
    Ok(())
}

#[test]
fn a_stream_that_need_not_end_is_read_up_to_the_limit() -> Result {
    let directory = TempDir::new()?;
    let spool = Dir::open(directory.path())?;
    let mut options = SourceOptions::default();
    options.spool = Some(&spool);
    options.limit = 1 << 20;
    let endless = io::repeat(b'x');
    // Members that decode to nothing.
    let packed_endless = gzip(b"").repeat(100_000);
    for input in [
        &mut endless.take(u64::MAX) as &mut dyn Read,
        &mut &packed_endless[..],
    ] {
        let opened = open_reader(input, &options);
        assert!(opened.is_err(), "{opened:?}");
        assert_eq!(std::fs::read_dir(directory.path())?.count(), 0);
    }
    Ok(())
}

#[test]
fn what_decodes_to_more_than_the_limit_is_refused() {
    let bomb = gzip(&vec![0; 8 << 20]);
    let opened = open_bytes_with(&bomb, |options| options.limit = 1 << 20);
    assert!(matches!(
        &opened,
        Err(OciError::Read { source, .. }) if source.kind() == io::ErrorKind::QuotaExceeded
    ));
}

#[test]
fn a_compressed_archive_that_is_cut_off_is_refused() -> Result {
    let packed = gzip(&archive(&[(&image(&["a"]), &["x"])])?);
    let opened = open_bytes(&packed[..packed.len() - 4]);
    assert!(matches!(opened, Err(OciError::Read { .. })), "{opened:?}");
    Ok(())
}

#[test]
fn no_cut_of_an_archive_gives_less_than_the_whole() -> Result {
    let image = image(&["a"]);
    for bytes in [
        archive(&[(&image, &["x"])])?,
        docker_archive(&[(&image, &["x"])])?,
    ] {
        let whole = [image.found(&["x"])];
        for end in (0..bytes.len()).step_by(256) {
            let read = open_stream(&bytes[..end], 1 << 20);
            let read = read
                .map_err(Into::into)
                .and_then(|opened| read_all(&images_of(opened)));
            assert!(
                read.is_err() || read.is_ok_and(|found| found == whole),
                "{end}"
            );
        }
    }
    Ok(())
}
