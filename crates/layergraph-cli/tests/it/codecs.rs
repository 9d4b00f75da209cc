//! Layers in every codec, packed by the tools that people pack with.

use std::fs::Permissions;
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::PermissionsExt;
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
fn r3_no_program_is_run_to_unpack_whatever_is_in_the_path() -> Result {
    require!(program "gzip", "zstd", "xz", "bzip2", "sh");
    let home = Home::new()?;
    let (programs, ran) = (home.dir("programs")?, home.path("ran"));
    let script = format!("#!/bin/sh\necho \"$0\" >> {}\nexit 1\n", ran.display());
    for name in [
        "gzip",
        "gunzip",
        "zcat",
        "pigz",
        "unpigz",
        "igzip",
        "zstd",
        "unzstd",
        "xz",
        "unxz",
        "bzip2",
        "bunzip2",
        "lbzip2",
        "tar",
        "sh",
        "layergraph",
        "getent",
        "newuidmap",
    ] {
        let program = home.file(&format!("programs/{name}"), &script)?;
        std::fs::set_permissions(program, Permissions::from_mode(0o755))?;
    }
    let plain = home.file("plain", good_layer())?;
    for codec in ["gzip", "zstd", "xz", "bzip2"] {
        let mut command = Command::new(codec);
        command.arg("-c").stdin(stdin(&plain)?);
        let packed = layergraph_tests::run(&mut command, AMPLE)?.stdout;
        let packed = home.file(codec, packed)?;
        let mut command = layergraph(&[&"unpack", &packed, &home.path("new")]);
        run(command.env("PATH", &programs).current_dir(&programs))?.done();
        assert!(
            !ran.exists(),
            "{codec}: {:?}",
            std::fs::read_to_string(&ran)
        );
    }
    // One that is run leaves a mark.
    let status = Command::new(programs.join("gzip")).status()?;
    assert!(!status.success() && ran.exists());
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

/// Where the layer is, for this test run once more in a process of its own.
const WITHIN: &str = "LAYERGRAPH_TESTS_LAYER";

/// The command starts from a small process with no other children: so the peak is its own, and not
/// that of the tests that run beside this one, or of zstd, which packed the layer.
#[test]
fn r30_a_layer_of_150_000_directories_and_a_window_fits_into_64_mib() -> Result {
    require!(program "zstd");
    // In memory, where directories are made fast.
    let home = tempfile::TempDir::new_in("/dev/shm")?;
    if let Some(layer) = std::env::var_os(WITHIN) {
        say(&[&"unpack", &layer, &home.path().join("new")])?.done();
        let peak = layergraph_tests::peak_memory_of_children()?;
        assert!(peak <= 64 << 20, "{peak}");
        return Ok(());
    }
    let layer = home.path().join("layer");
    // The window of zstd -19; the length is not known to it, as it comes through a pipe.
    let mut zstd = Command::new("zstd")
        .args(["-q", "-1", "--zstd=wlog=23", "-o"])
        .arg(&layer)
        .stdin(Stdio::piped())
        .spawn()?;
    let pipe = zstd.stdin.take().ok_or("it is piped")?;
    write_directories(150_000, pipe)?;
    assert!(zstd.wait()?.success());

    let name = "codecs::r30_a_layer_of_150_000_directories_and_a_window_fits_into_64_mib";
    let mut again = Command::new(std::env::current_exe()?);
    again.args(["--exact", name]).env(WITHIN, layer);
    let again = layergraph_tests::run(again.stdin(Stdio::null()), AMPLE)?;
    assert!(again.status.success(), "{again:?}");
    let said = String::from_utf8(again.stdout)?;
    assert!(said.contains("test result: ok. 1 passed"), "{said}");
    Ok(())
}

/// Writes a layer of directories, 500 in each.
fn write_directories(count: u32, output: impl Write) -> Result {
    let mut layer = tar::Builder::new(BufWriter::new(output));
    for i in 0..count {
        let mut header = tar::Header::new_ustar();
        header.set_path(format!("usr/share/directories/{:03}/{i:06}/", i / 500))?;
        header.set_entry_type(tar::EntryType::Directory);
        header.set_mode(0o755);
        header.set_uid(0);
        header.set_gid(0);
        header.set_size(0);
        header.set_cksum();
        layer.append(&header, io::empty())?;
    }
    layer.into_inner()?.flush()?;
    Ok(())
}

#[test]
fn r32_a_large_window_may_follow_a_small_frame_but_not_a_usual_one() -> Result {
    require!(program "zstd", "sh");
    let home = Home::new()?;
    let layer = home.file("plain", good_layer())?;
    let (first, rest) = (home.path("first"), home.path("rest"));
    let (packed, new) = (home.path("packed"), home.path("new"));
    for (log, status) in [(10, 0), (20, 0), (23, 7)] {
        // The first block in a frame of its own, as in zstd:chunked; then a window of 32 MiB.
        let script = "
            head -c 512 \"$1\" | zstd -q -c --zstd=wlog=$5 >\"$2\"
            tail -c +513 \"$1\" | cat | zstd -q -c --zstd=wlog=25 >\"$3\"
            cat \"$2\" \"$3\" >\"$4\"";
        let log = log.to_string();
        crate::support::shell(script, &[&layer, &first, &rest, &packed, &log])?.done();
        let said = say(&[&"unpack", &packed, &new])?;
        assert_eq!(said.status, Some(status), "{log}: {}", said.stderr);
        if status == 0 {
            std::fs::remove_dir_all(&new)?;
        } else {
            assert!(said.stderr.contains("bytes of memory"), "{}", said.stderr);
            assert!(!new.exists());
        }
    }
    Ok(())
}
