//! R1, R6, R7, R8 and R9: names, metadata and hard links stay inside, and a refusal leaves nothing.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::MetadataExt;

use layergraph_archive::{UnpackError, unpack_atomic};
use layergraph_fs::Durability;
use layergraph_tar::{Kind, NewMember};

use super::{LINKS, links, on_all_sides};
use crate::sandbox::Sandbox;
use crate::support::{Layer, apply, layer, lines, listing_of, moment, open, options, tree};

#[test]
fn r1_no_name_goes_through_a_link_to_what_is_outside() {
    for link in LINKS {
        for entry in [
            format!("{link}/pwn = x"),
            format!("{link}/secret = x"),
            format!("{link}/dir/"),
            format!("{link}/dir/pwn = x"),
            format!("{link}/a/b/c = x"),
            format!("{link}/pwn -> x"),
            format!("./{link}//../{link}/pwn = x"),
            format!("{link} = x"),
            format!("{link}/"),
        ] {
            let sides = on_all_sides(&[], &entry, |layer| layer.line(&entry));
            // Where the links come from makes no difference to what they lead to.
            for pair in sides.chunks(2) {
                let [below, own] = [&pair[0], &pair[1]].map(|side| {
                    let lines = side.result.is_ok().then(|| side.lines().join("\n"));
                    lines.map(|text| text.replace(&side.sandbox.name(), "sandbox"))
                });
                assert_eq!(below, own, "{entry}: {}", pair[0].name());
            }
        }
    }
}

#[test]
fn r1_a_link_that_leads_up_leads_to_the_root_of_the_tree() {
    for link in ["up", "parent"] {
        let entry = format!("{link}/pwn = x");
        for side in on_all_sides(&[], &entry, |layer| layer.line(&entry)) {
            let name = side.name();
            side.result.expect("it lands inside");
            let landed = fs::read_to_string(side.sandbox.root().join("pwn"));
            assert_eq!(landed.ok().as_deref(), Some("x"), "{name}");
        }
    }
}

#[test]
fn r6_metadata_is_set_on_what_is_inside_and_never_through_a_link() {
    let xattrs = [(b"user.pwn".to_vec(), b"1".to_vec())];
    for link in LINKS {
        let inner = format!("{link}/dir");
        let mut cases = vec![
            (link.as_bytes(), Kind::Directory, &b""[..]),
            (link.as_bytes(), Kind::Symlink, b"nowhere"),
            (inner.as_bytes(), Kind::Directory, b""),
            (b"hard", Kind::HardLink, link.as_bytes()),
        ];
        if *link == "deep/down" {
            // A hard link of the same object to itself, by another name.
            cases.push((b"deep/./again", Kind::HardLink, b"deep/down"));
        }
        for (path, kind, target) in cases {
            let xattrs = if kind == Kind::Directory {
                &xattrs[..]
            } else {
                &[]
            };
            on_all_sides(&[], &format!("{kind:?} {link}"), |layer| {
                let member = layer.member(path, kind);
                let member = NewMember {
                    mode: 0o7777,
                    mtime: moment(),
                    link: target,
                    xattrs,
                    ..member
                };
                layer.add(&member, b"");
            });
        }
    }
}

#[test]
fn r7_no_hard_link_goes_to_what_is_outside() {
    for link in LINKS {
        for target in [
            format!("{link}/secret"),
            format!("{link}/../outside/secret"),
            format!("/{link}/dir"),
        ] {
            let entry = format!("h => {target}");
            for side in on_all_sides(&[], &entry, |layer| layer.line(&entry)) {
                let refused = matches!(side.result, Err(UnpackError::HardLink { .. }));
                assert!(refused, "{entry}: {}", side.name());
            }
        }
    }
}

/// A name of a layer below may be one more of a file outside: the next entry takes the name and
/// does not write to the file.
#[test]
fn r7_r45_what_has_a_name_outside_is_replaced_and_not_written_to() {
    let kinds = [
        (Kind::File, &b""[..]),
        (Kind::Symlink, b"nowhere"),
        (Kind::HardLink, b"other"),
        (Kind::Fifo, b""),
        (Kind::Directory, b""),
    ];
    for (kind, link) in kinds {
        for times in [1, 2] {
            let sandbox = Sandbox::new();
            let secret = sandbox.root().join("../outside/secret");
            fs::hard_link(&secret, sandbox.root().join("name")).expect("a free name");
            let state = || {
                let metadata = fs::metadata(&secret).expect("it is there");
                let text = fs::read_to_string(&secret).expect("it can be read");
                (
                    metadata.mode(),
                    metadata.ino(),
                    metadata.modified().ok(),
                    text,
                )
            };
            let before = state();
            let mut layer = Layer::new();
            layer.line("other = x");
            for _ in 0..times {
                let member = NewMember {
                    mode: 0o4777,
                    link,
                    ..layer.member(b"name", kind)
                };
                layer.add(&member, if kind == Kind::File { b"new" } else { b"" });
            }
            apply(&layer.finish(), &sandbox.root()).expect("a good layer");
            assert_eq!(state(), before, "{kind:?}");
            assert_eq!(fs::metadata(&secret).expect("it is there").nlink(), 1);
        }
    }
}

#[test]
fn r8_a_refusal_leaves_a_tree_with_links_as_it_was() {
    let place = tree(&["outside/", "outside/secret = SECRET", "root/", "root/f = 1"]);
    let outside = place.path().join("outside");
    let links = links(outside.to_str().expect("UTF-8"));
    let links: Vec<&str> = links.iter().map(String::as_str).collect();
    let (parent, name) = (open(place.path()), OsStr::new("root"));
    let unpack =
        |tar: &[u8]| unpack_atomic(&mut &*tar, &parent, name, &options(), Durability::None);
    unpack(&layer(&links)).expect("links alone do no harm");
    let before = listing_of(place.path());
    for link in LINKS {
        // The first two may be good; the last is not.
        let (file, sign) = (format!("{link}/pwn = x"), format!(".wh.{link}"));
        let entries = [&*file, "f = 2", &sign, "h => missing"];
        unpack(&layer(&entries)).expect_err("there is nothing to link to");
        assert_eq!(listing_of(place.path()), before, "{link}");
    }
}

#[test]
fn r9_the_root_stays_a_directory_over_a_layer_too() {
    for path in [".", "up/..", "./a/../."] {
        for kind in [Kind::File, Kind::Symlink, Kind::HardLink, Kind::Fifo] {
            let what = format!("{path} {kind:?}");
            for side in on_all_sides(&["kept = 1"], &what, |layer| {
                let member = NewMember {
                    link: b"abs",
                    ..layer.member(path.as_bytes(), kind)
                };
                layer.add(&member, b"");
            }) {
                let refused = matches!(side.result, Err(UnpackError::Root { .. }));
                assert!(refused, "{what}: {}", side.name());
                assert!(lines(&side.sandbox.root()).contains(&"kept = 1".to_owned()));
            }
        }
    }
}
