//! What is refused, and what it cannot touch: the requirements R1 to R45 at the surface of
//! [`unpack`](layergraph_archive::unpack).

use std::fs;
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::Path;

use layergraph_archive::{
    ChangeKind, CompareOptions, Limits, PackError, UnpackError, UnpackOptions, changes, pack,
    unpack,
};
use layergraph_tar::{Kind, NewMember};

use crate::sandbox::Sandbox;
use crate::support::{
    Layer, apply, apply_roots, check_refused, check_unpack, layer, lines, open, options, tree, view,
};

#[test]
fn r1_no_name_leads_out() {
    let sandbox = Sandbox::new();
    let absolute = format!("{}/new = x", sandbox.outside());
    for entry in [
        "../new = x",
        "a/../../new = x",
        "../outside/secret = x",
        &absolute,
    ] {
        sandbox.check(&[entry]).expect("it lands inside");
    }
    sandbox.check(&["../../../../d/"]).expect("it lands inside");
    assert!(sandbox.root().join("new").exists() && sandbox.root().join("d").exists());
}

#[test]
fn r1_r6_r7_no_link_leads_out() {
    let outside = Sandbox::new();
    let to = outside.outside();
    for target in [&to, "../outside", "../../../../../../../.."] {
        let link = format!("l -> {target}");
        for entry in [
            "l/new = x",
            "l/dir/",
            "l/.wh.secret",
            "l/.wh..wh..opq",
            "l/s -> x",
            "l/",
        ] {
            // A fault would empty this machine; the other targets tell as much.
            if target.starts_with("../..") && entry.ends_with(".wh..wh..opq") {
                continue;
            }
            let sandbox = Sandbox::new();
            // The path inside the root may not exist; nothing outside changes in any case.
            let _ = sandbox.check(&[&link, entry]);
        }
    }
    for entry in ["l = x", "l/", "h => l"] {
        let sandbox = Sandbox::new();
        let link = format!("l -> {}/secret", sandbox.outside());
        sandbox
            .check(&[&link, entry])
            .expect("the link itself is meant");
    }
}

#[test]
fn r1_a_link_of_a_layer_below_does_not_lead_out_either() {
    let sandbox = Sandbox::new();
    symlink(sandbox.outside(), sandbox.root().join("etc")).expect("a free name");
    let _ = sandbox.check(&["etc/secret = x", "etc/.wh.dir", "etc/dir/"]);
}

#[test]
fn r6_metadata_of_a_link_is_set_on_the_link() {
    let sandbox = Sandbox::new();
    let before = sandbox.state();
    let mut entries = Layer::new();
    let target = format!("{}/secret", sandbox.outside());
    let member = entries.member(b"l", Kind::Symlink);
    entries.add(
        &NewMember {
            link: target.as_bytes(),
            mode: 0o7777,
            ..member
        },
        b"",
    );
    apply(&entries.finish(), &sandbox.root()).expect("a good layer");
    assert_eq!(sandbox.state(), before);
}

#[test]
fn r7_a_hard_link_goes_to_an_object_inside_only() {
    for target in [
        "../outside/secret",
        "l/secret",
        "/etc/passwd",
        "none",
        "d",
        ".",
        "..",
        "h",
    ] {
        let sandbox = Sandbox::new();
        let link = format!("l -> {}", sandbox.outside());
        let refused = sandbox.check(&[&link, "d/", &format!("h => {target}")]);
        assert!(
            matches!(refused, Err(UnpackError::HardLink { .. })),
            "{target}: {refused:?}"
        );
    }
}

#[test]
fn r7_a_hard_link_through_a_file_goes_to_nothing() {
    let message = check_refused(&["f = 1"], &layer(&["h => f/g"]));
    assert!(message.contains("refused the hard link h"), "{message}");
}

#[test]
fn a_symbolic_link_has_a_target() {
    let mut entries = Layer::new();
    let member = entries.member(b"l", Kind::Symlink);
    entries.add(
        &NewMember {
            link: b"x",
            ..member
        },
        b"",
    );
    let tar = Layer::with_header(&entries.finish(), 157, b"\0");
    let refused = apply_roots(&tar, tree(&[]).path());
    assert!(
        matches!(&refused, Err(UnpackError::Symlink { path, .. }) if path == "l"),
        "{refused:?}"
    );
}

#[test]
fn r9_the_root_can_only_be_a_directory() {
    for path in [".", ""] {
        for kind in [Kind::File, Kind::Symlink, Kind::Fifo] {
            let mut entries = Layer::new();
            let path = if path.is_empty() { "a/.." } else { path };
            let member = entries.member(path.as_bytes(), kind);
            entries.add(
                &NewMember {
                    link: b"x",
                    ..member
                },
                b"",
            );
            let message = check_refused(&["f = 1"], &entries.finish());
            assert!(
                message.contains("root can only be a directory"),
                "{message}"
            );
        }
    }
    check_unpack(&["f = 1"], &["./", "g = 2"], &["f = 1", "g = 2"]);
    // GNU tar's dump of a directory is one.
    let mut entries = Layer::new();
    let member = entries.member(b"./", Kind::Directory);
    let mode = 0o751;
    entries.add(&NewMember { mode, ..member }, b"");
    let directory = tree(&["f = 1"]);
    let tar = Layer::with_header(&entries.finish(), 156, b"D");
    apply(&tar, directory.path()).expect("a good layer");
    let metadata = fs::metadata(directory.path()).expect("it is there");
    assert_eq!(metadata.mode() & 0o7777, 0o751);
}

#[test]
fn r12_a_whiteout_has_a_name_and_is_no_directory() {
    for path in [".wh.", "d/.wh..", ".wh...", ".wh.d/f = 1", "a/.wh.b/c/"] {
        let message = check_refused(&["d/", "d/f = 1"], &layer(&[path]));
        assert!(message.contains("refused the name"), "{message}");
    }
}

#[test]
fn r25_what_follows_the_end_is_not_applied_and_what_lacks_is_an_error() {
    let (first, second) = (layer(&["f = 1"]), layer(&["g = 2"]));
    let directory = tree(&[]);
    apply(&[&first[..], &second[..]].concat(), directory.path()).expect("a good layer");
    assert_eq!(lines(directory.path()), ["f = 1"]);
    // Without an end marker, and without the padding of the last member.
    let data = 1024 + 512 + 1;
    check_accepted(&first[..2048]);
    check_accepted(&first[..data]);
    for cut in [1, 100, 511, 512, data - 1] {
        check_refused(&[], &first[..cut]);
    }
    assert!(check_refused(&[], b"").contains("empty"));
}

#[track_caller]
fn check_accepted(tar: &[u8]) {
    let directory = tree(&[]);
    apply(tar, directory.path()).expect("a good layer");
    assert_eq!(lines(directory.path()), ["f = 1"]);
}

#[test]
fn r32_each_limit_is_kept_and_named() {
    let tar = layer(&["a/b/c/d = 12345", "e = 12345", "f = 1"]);
    let check = |limits: Limits, what: &str| {
        let directory = tree(&[]);
        let mut options = UnpackOptions::default();
        options.limits = limits;
        let refused = unpack(&mut tar.as_slice(), &open(directory.path()), &options);
        match refused {
            Err(UnpackError::Limit { what: named, .. }) => assert!(named.contains(what), "{named}"),
            other => panic!("{what}: {other:?}"),
        }
    };
    let limits = Limits::default;
    check(
        {
            let mut l = limits();
            l.entries = 2;
            l
        },
        "entries",
    );
    check(
        {
            let mut l = limits();
            l.unpacked_bytes = 10;
            l
        },
        "bytes",
    );
    check(
        {
            let mut l = limits();
            l.depth = 3;
            l
        },
        "directories",
    );
    check(
        {
            let mut l = limits();
            l.directory_bytes = 300;
            l
        },
        "memory",
    );
}

#[test]
fn r32_the_limit_of_memory_holds_within_one_entry() {
    // Each file is in one directory, and a whiteout of the topmost has to do with all of them.
    let (mut before, mut entries) = (Vec::new(), Vec::new());
    for number in 0..100 {
        let directory = format!("top/{number}{}", "/directory".repeat(30));
        before.push(format!("{directory}/old = 1"));
        entries.push(format!("{directory}/new = 1"));
    }
    let entries: Vec<&str> = entries.iter().map(String::as_str).collect();
    let before: Vec<&str> = before.iter().map(String::as_str).collect();
    let check = |entries: &[&str]| {
        let directory = tree(&before);
        let mut options = options();
        options.limits.directory_bytes = 200 << 10;
        let tar = layer(entries);
        unpack(&mut tar.as_slice(), &open(directory.path()), &options)
    };
    check(&entries).expect("a hundred directories take little");
    match check(&[&entries[..], &[".wh.top"]].concat()) {
        Err(UnpackError::Limit { what, .. }) => assert!(what.contains("memory"), "{what}"),
        other => panic!("{other:?}"),
    }
}

#[test]
fn r41_a_device_0_0_is_refused() {
    let mut entries = Layer::new();
    let member = entries.member(b"gone", Kind::CharDevice);
    entries.add(&member, b"");
    let message = check_refused(&["gone = 1"], &entries.finish());
    assert!(message.contains("whiteout"), "{message}");
}

#[test]
fn r43_a_device_number_that_linux_lacks_is_refused() {
    for device in [(1 << 12, 0), (0, 1 << 20)] {
        let mut entries = Layer::new();
        let member = entries.member(b"device", Kind::BlockDevice);
        entries.add(&NewMember { device, ..member }, b"");
        let message = check_refused(&[], &entries.finish());
        assert!(message.contains("there is no device"), "{message}");
    }
}

#[test]
fn r45_a_pipe_in_the_place_of_a_file_is_replaced_and_never_opened() {
    let mut entries = Layer::new();
    let member = entries.member(b"p", Kind::Fifo);
    entries.add(&member, b"");
    let directory = tree(&[]);
    apply(&entries.finish(), directory.path()).expect("a good layer");
    apply(&layer(&["p = data"]), directory.path()).expect("a good layer");
    assert_eq!(lines(directory.path()), ["p = data"]);
}

#[test]
fn names_that_a_layer_cannot_hold_are_not_packed_and_nothing_is_written() {
    for name in [".wh.x", ".wh..wh..opq", ".wh."] {
        let directory = tree(&["a = 1"]);
        fs::create_dir(directory.path().join("d")).expect("a free name");
        fs::write(directory.path().join("d").join(name), "").expect("a free name");
        let tree = view(directory.path());
        let list = changes(&tree, None, &CompareOptions::default()).expect("a readable tree");
        let mut out = Vec::new();
        let refused = pack(&tree, &list, &mut out);
        assert!(
            matches!(refused, Err(PackError::Name { .. })),
            "{name}: {refused:?}"
        );
        assert!(out.is_empty(), "{name}");
    }
}

#[test]
fn sockets_are_left_out_of_a_layer_and_named() {
    let directory = tree(&["f = 1"]);
    let path = directory.path().join("socket");
    let _socket = std::os::unix::net::UnixListener::bind(path).expect("a free name");
    let tree = view(directory.path());
    let list = changes(&tree, None, &CompareOptions::default()).expect("a readable tree");
    assert_eq!(
        list.iter()
            .filter(|change| change.kind == ChangeKind::Added)
            .count(),
        2
    );
    let packed = pack(&tree, &list, &mut Vec::new()).expect("the rest can be packed");
    assert_eq!(packed.sockets, [Path::new("socket")]);
    // The root is listed where it belongs to an ordinary user.
    assert_eq!(packed.entries, list.len() as u64 - 1);
}
