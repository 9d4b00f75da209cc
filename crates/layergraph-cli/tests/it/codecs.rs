//! Layers in every codec, packed by the tools that people pack with.

use std::process::{Command, Stdio};

use layergraph_tests::require;

use crate::support::{AMPLE, Home, Result, good_layer, layergraph, listing, run, say, stdin};

#[test]
fn every_codec_gives_the_same_tree_from_a_file_and_from_stdin() -> Result {
    require!(program "gzip", "zstd", "xz", "bzip2");
    let home = Home::new()?;
    let plain = home.file("plain", good_layer())?;
    let expected = home.path("expected");
    say(&[&"unpack", &plain, &expected])?.done();
    for codec in ["gzip", "zstd", "xz", "bzip2"] {
        let mut command = Command::new(codec);
        command.arg("-c").stdin(stdin(&plain)?);
        let packed = layergraph_tests::run(&mut command, AMPLE)?.stdout;
        let packed = home.file(codec, packed)?;
        let (a, b) = (home.path("a"), home.path("b"));
        say(&[&"unpack", &packed, &a])?.done();
        let mut command = layergraph(&[&"unpack", &"-", &b]);
        run(command.stdin(stdin(&packed)?))?.done();
        for dir in [a, b] {
            assert_eq!(listing(&dir)?, listing(&expected)?, "{codec}");
            std::fs::remove_dir_all(dir)?;
        }
    }
    Ok(())
}

#[test]
fn r25_packed_data_that_is_cut_off_is_refused() -> Result {
    require!(program "gzip", "zstd", "xz", "bzip2");
    let home = Home::new()?;
    for codec in ["gzip", "zstd", "xz", "bzip2"] {
        let plain = home.file("plain", good_layer())?;
        let mut command = Command::new(codec);
        command.arg("-c").stdin(stdin(&plain)?);
        let packed = layergraph_tests::run(&mut command, AMPLE)?.stdout;
        let layer = home.file("layer", &packed[..packed.len() - 5])?;
        let new = home.path("new");
        let said = say(&[&"unpack", &layer, &new])?;
        assert_eq!(said.status, Some(7), "{}", said.stderr);
        assert!(
            said.stderr.contains(&format!("{codec} data is ")),
            "{}",
            said.stderr
        );
        assert_eq!(said.hint(), Some("fetch the layer again: it is damaged"));
        assert!(!new.exists());
    }
    Ok(())
}

#[test]
fn r32_data_that_asks_for_too_much_memory_is_refused() -> Result {
    require!(program "zstd", "sh");
    let home = Home::new()?;
    // A window of 128 MiB; from a pipe, so that the length is not known and the window stays.
    let script = "head -c 1000 /dev/zero | zstd -c --long=27 > \"$1\"";
    let layer = home.path("layer");
    crate::support::shell(script, &[&layer])?.done();
    let said = say(&[&"unpack", &layer, &home.path("new")])?;
    assert_eq!(said.status, Some(7), "{}", said.stderr);
    assert!(said.stderr.contains("bytes of memory"), "{}", said.stderr);
    assert_eq!(
        said.hint(),
        Some("pack it again for less memory, as by xz -8 or zstd -19")
    );
    Ok(())
}

#[test]
fn an_input_that_fails_is_told_from_one_that_is_bad() -> Result {
    let home = Home::new()?;
    let dir = home.dir("dir")?;
    // A directory can be opened and not read.
    let mut command = layergraph(&[&"unpack", &dir, &dir]);
    let said = run(command.stdin(Stdio::null()))?;
    let dir = dir.display();
    said.failed(
        1,
        &format!("layergraph: unpack {dir} to {dir}: cannot read the layer: Is a directory"),
    );
    Ok(())
}
