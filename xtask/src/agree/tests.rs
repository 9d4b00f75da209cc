//! A small image with all that a layer can say, and images that are none.

use layergraph::digest::{Algorithm, Digest};
use layergraph::tar::{Kind, NewMember, Writer};
use layergraph_tests::{names, require};
use serde_json::json;
use tempfile::TempDir;

use super::*;

/// An OCI layout that is being made.
struct Image {
    directory: TempDir,
    layers: Vec<(Digest, u64)>,
}

impl Image {
    fn new() -> Result<Image> {
        let directory = tempfile::tempdir()?;
        fs::create_dir_all(directory.path().join("blobs/sha256"))?;
        let version = json!({"imageLayoutVersion": "1.0.0"});
        fs::write(directory.path().join("oci-layout"), version.to_string())?;
        let layers = Vec::new();
        Ok(Image { directory, layers })
    }

    fn blob(&self, bytes: &[u8]) -> Result<(Digest, u64)> {
        let digest = Digest::of(Algorithm::Sha256, bytes);
        let blobs = self.directory.path().join("blobs/sha256");
        fs::write(blobs.join(digest.hex()), bytes)?;
        Ok((digest, bytes.len() as u64))
    }

    fn layer(&mut self, members: &[NewMember<'_>]) -> Result {
        let mut writer = Writer::new(Vec::new());
        for member in members {
            let content = vec![b'x'; usize::try_from(member.size)?];
            writer.append(member, &content[..])?;
        }
        let layer = self.blob(&writer.finish()?)?;
        self.layers.push(layer);
        Ok(())
    }

    /// Writes the documents, and returns how the image is called.
    fn finish(&self) -> Result<String> {
        let ids: Vec<String> = self.layers.iter().map(|(id, _)| id.to_string()).collect();
        let config = json!({"architecture": "amd64", "os": "linux", "config": {},
            "rootfs": {"type": "layers", "diff_ids": ids}});
        let described = |kind: &str, (digest, size): (Digest, u64)| {
            let media_type = format!("application/vnd.oci.image.{kind}");
            json!({"mediaType": media_type, "digest": digest.to_string(), "size": size})
        };
        let config = described("config.v1+json", self.blob(config.to_string().as_bytes())?);
        let layers = self.layers.iter();
        let layers: Vec<_> = layers.map(|it| described("layer.v1.tar", *it)).collect();
        let manifest = json!({"schemaVersion": 2, "config": config, "layers": layers});
        let manifest = self.blob(manifest.to_string().as_bytes())?;
        let mut manifest = described("manifest.v1+json", manifest);
        manifest["annotations"] = json!({"org.opencontainers.image.ref.name": "small"});
        let index = json!({"schemaVersion": 2, "manifests": [manifest]});
        let path = self.directory.path();
        fs::write(path.join("index.json"), index.to_string())?;
        Ok(format!("{}:small", path.display()))
    }
}

fn directory(path: &str) -> NewMember<'_> {
    NewMember {
        mode: 0o755,
        mtime: at(1_400_000_000),
        ..NewMember::new(path.as_bytes(), Kind::Directory)
    }
}

fn file(path: &str) -> NewMember<'_> {
    NewMember {
        mode: 0o644,
        size: 3,
        mtime: at(1_500_000_000),
        ..NewMember::new(path.as_bytes(), Kind::File)
    }
}

fn shadow() -> NewMember<'static> {
    NewMember {
        mode: 0o640,
        gid: 42,
        ..file("etc/shadow")
    }
}

fn symlink<'a>(path: &'a str, target: &'a str) -> NewMember<'a> {
    NewMember {
        link: target.as_bytes(),
        mode: 0o777,
        mtime: at(1_450_000_000),
        ..NewMember::new(path.as_bytes(), Kind::Symlink)
    }
}

/// One more name of a file, as tar programs write it: with all that the file has.
fn also<'a>(path: &'a str, file: &NewMember<'a>) -> NewMember<'a> {
    NewMember {
        path: path.as_bytes(),
        kind: Kind::HardLink,
        link: file.path,
        size: 0,
        ..*file
    }
}

fn at(seconds: u64) -> std::time::SystemTime {
    std::time::UNIX_EPOCH + std::time::Duration::new(seconds, 0)
}

/// What is deleted, replaced, hidden, linked and changed by the layer above is in here.
fn base(image: &mut Image, xattrs: &[(Vec<u8>, Vec<u8>)]) -> Result {
    let passwd = file("etc/passwd");
    let program = NewMember {
        mode: 0o4755,
        xattrs,
        ..file("usr/bin/program")
    };
    let null = NewMember {
        mode: 0o666,
        mtime: at(1_500_000_000),
        device: (1, 3),
        ..NewMember::new(b"dev/null", Kind::CharDevice)
    };
    let pipe = NewMember {
        mode: 0o600,
        uid: 1000,
        ..NewMember::new(b"dev/pipe", Kind::Fifo)
    };
    let temporary = NewMember {
        mode: 0o1777,
        ..directory("tmp")
    };
    image.layer(&[
        directory("usr"),
        directory("usr/bin"),
        program,
        directory("usr/lib"),
        file("usr/lib/library"),
        symlink("lib", "usr/lib"),
        directory("etc"),
        shadow(),
        passwd,
        also("etc/passwd-", &passwd),
        directory("dev"),
        null,
        pipe,
        temporary,
        directory("gone"),
        file("gone/file"),
        directory("hidden"),
        file("hidden/file"),
        directory("turns"),
        file("turns/file"),
        file("other"),
    ])
}

fn top(image: &mut Image) -> Result {
    image.layer(&[
        file("lib/new"),
        file("etc/.wh.passwd"),
        also("etc/shadow-", &shadow()),
        file(".wh.gone"),
        directory("hidden"),
        file("hidden/.wh..wh..opq"),
        file("hidden/new"),
        file("turns"),
        directory("other"),
        file("other/below"),
    ])
}

#[test]
fn an_image_of_all_that_layers_can_say_makes_the_tree_that_umoci_makes() -> Result {
    require!(root);
    require!(overlay_mount);
    require!(program "umoci");
    let mut image = Image::new()?;
    let capability = b"\x01\x00\x00\x02\x00\x20\x00\x00\0\0\0\0\0\0\0\0\0\0\0\0".to_vec();
    let xattrs = [
        (b"security.capability".to_vec(), capability),
        (b"user.note".to_vec(), b"kept".to_vec()),
    ];
    base(&mut image, &xattrs)?;
    top(&mut image)?;
    let agreement = compare(&image.finish()?)?;
    assert_eq!(agreement.differences, [""; 0]);
    assert_eq!((agreement.layers, agreement.objects), (2, 21));
    // No layer says anything of the root.
    assert_eq!(agreement.times.len(), 1, "{:?}", agreement.times);
    assert!(agreement.times[0].starts_with("/: "));
    Ok(())
}

/// The owner, mode and time that a hard link states are those of the file from then on, as with
/// Docker; umoci passes over them.
#[test]
fn a_hard_link_that_says_other_things_than_its_file_is_the_known_difference() -> Result {
    require!(root);
    require!(overlay_mount);
    require!(program "umoci");
    let mut image = Image::new()?;
    let file = file("file");
    let other = NewMember {
        mode: 0o600,
        uid: 7,
        ..also("link", &file)
    };
    image.layer(&[file, other])?;
    let found = compare(&image.finish()?)?.differences;
    let said: Vec<&str> = found.iter().flat_map(|line| line.split('\t')).collect();
    assert_eq!(found.len(), 2, "{found:?}");
    assert!(said.contains(&"7:0") && said.contains(&"0600"), "{found:?}");
    Ok(())
}

#[test]
fn what_only_one_of_two_trees_has_is_a_difference() -> Result {
    let home = tempfile::tempdir()?;
    let [ours, theirs] = ["ours", "theirs"].map(|name| home.path().join(name));
    for tree in [&ours, &theirs] {
        fs::create_dir(tree)?;
        fs::create_dir(tree.join("same"))?;
    }
    fs::write(ours.join("a"), "1")?;
    fs::create_dir(theirs.join("b"))?;
    for (tree, text) in [(&ours, "1"), (&theirs, "2")] {
        fs::write(tree.join("c"), text)?;
    }
    let found = differences(&lines(&ours)?, &lines(&theirs)?);
    let paths: Vec<&str> = found.iter().map(|line| &line[..2]).collect();
    assert_eq!(paths, ["a:", "c:", "b:"]);
    assert!(found[0].ends_with("; umoci: nothing"), "{found:?}");
    assert!(found[2].starts_with("b: nothing; umoci: d"), "{found:?}");

    let time = File::open(theirs.join("same"))?;
    time.set_modified(at(1))?;
    let found = differences(&times(&ours)?, &times(&theirs)?);
    let same = found.iter().find(|line| line.starts_with("/same: "));
    assert!(
        same.is_some_and(|line| line.ends_with("; umoci: 1.000000000")),
        "{found:?}"
    );
    Ok(())
}

#[test]
fn what_is_no_image_is_refused() -> Result {
    let refused = |image: &str| Layout::open(image).map_err(|error| error.to_string()).err();
    let mut image = Image::new()?;
    image.layer(&[file("file")])?;
    let name = image.finish()?;
    let directory = image.directory.path();
    assert_eq!(Layout::open(&name)?.layers.len(), 1);
    let path = directory.display().to_string();
    assert_eq!(
        refused(&path),
        Some(format!("{path} has no image \"latest\""))
    );
    // What is there is not what the index says.
    let index = fs::read_to_string(directory.join("index.json"))?;
    fs::write(
        directory.join("index.json"),
        index.replace("\"size\":", "\"size\":1"),
    )?;
    assert!(refused(&name).is_some_and(|why| why.contains("bytes")));
    fs::remove_file(directory.join("index.json"))?;
    assert!(refused(&name).is_some());
    assert_eq!(names(directory)?, ["blobs", "oci-layout"]);
    Ok(())
}
