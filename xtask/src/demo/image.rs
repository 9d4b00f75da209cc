//! Layers of an image that the user names: where a docker-archive or an OCI layout has them.
//!
//! Only as much of these formats is read as it takes to find the layers, in order. An archive is
//! unpacked by the command that is demonstrated, and is a directory then.

use std::fs::{self, File};
use std::io::Read;
use std::path::{Component, Path, PathBuf};

use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::Result;

/// An image in a directory.
#[derive(Debug, PartialEq)]
pub(crate) struct Image {
    /// What the archive calls it.
    pub(crate) name: Option<String>,
    /// Its layers, lowest first, from the directory.
    pub(crate) layers: Vec<String>,
}

/// Finds the layers of the first image in a directory that is an unpacked docker-archive or an OCI
/// layout.
pub(crate) fn read(directory: &Path) -> Result<Image> {
    let directory = &fs::canonicalize(directory)?;
    let has = |name| directory.join(name).symlink_metadata().is_ok();
    let image = if has("manifest.json") {
        parse_docker(&read_document(directory, "manifest.json")?)?
    } else if has("index.json") {
        read_layout(directory, &read_document(directory, "index.json")?)?
    } else {
        return Err("neither manifest.json nor index.json is there: not an image".into());
    };
    for layer in &image.layers {
        find(directory, layer)?;
    }
    if image.layers.is_empty() {
        return Err("the image has no layers".into());
    }
    Ok(image)
}

/// Finds a file of an image. Old archives have links where a layer is that several images share;
/// what leads out of the image is refused.
fn find(directory: &Path, name: &str) -> Result<PathBuf> {
    let found = fs::canonicalize(directory.join(name))
        .map_err(|error| format!("{name} of the image is not there: {error}"))?;
    if !found.starts_with(directory) {
        return Err(format!("{name} is outside of the image").into());
    }
    if !found.is_file() {
        return Err(format!("{name} of the image is no file").into());
    }
    Ok(found)
}

/// Reads a document of an image.
fn read_document(directory: &Path, name: &str) -> Result<Vec<u8>> {
    /// Registries take no larger one.
    const MOST: u64 = 4 << 20;
    let mut text = Vec::new();
    let document = File::open(find(directory, name)?)?;
    document.take(MOST + 1).read_to_end(&mut text)?;
    if text.len() as u64 > MOST {
        return Err(format!("{name} of the image has more than {MOST} bytes").into());
    }
    Ok(text)
}

/// The `manifest.json` of a docker-archive is a list of these.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct DockerImage {
    repo_tags: Option<Vec<String>>,
    layers: Vec<String>,
}

fn parse_docker(json: &[u8]) -> Result<Image> {
    let images: Vec<DockerImage> = parse("manifest.json", json)?;
    let image = images
        .into_iter()
        .next()
        .ok_or("manifest.json has no image")?;
    for layer in &image.layers {
        let inside = |part| matches!(part, Component::Normal(_) | Component::CurDir);
        if !Path::new(layer).components().all(inside) {
            return Err(format!("the layer {layer:?} is outside of the image").into());
        }
    }
    Ok(Image {
        name: image.repo_tags.and_then(|tags| tags.into_iter().next()),
        layers: image.layers,
    })
}

/// An OCI index, or the `index.json` of a layout.
#[derive(Debug, Deserialize)]
struct Index {
    manifests: Vec<Descriptor>,
}

#[derive(Debug, Deserialize)]
struct Manifest {
    layers: Vec<Descriptor>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Descriptor {
    #[serde(default)]
    media_type: String,
    digest: String,
    platform: Option<Platform>,
    #[serde(default)]
    annotations: Option<Annotations>,
}

#[derive(Debug, Clone, Deserialize)]
struct Platform {
    architecture: String,
    os: String,
}

#[derive(Debug, Clone, Deserialize)]
struct Annotations {
    #[serde(rename = "org.opencontainers.image.ref.name")]
    tag: Option<String>,
    #[serde(rename = "io.containerd.image.name")]
    name: Option<String>,
}

/// Goes from the index of a layout to a manifest, perhaps by indexes between them.
fn read_layout(directory: &Path, index: &[u8]) -> Result<Image> {
    /// No tool nests them deeper.
    const DEEPEST: usize = 4;
    let mut name = None;
    let mut index: Index = parse("index.json", index)?;
    for _ in 0..DEEPEST {
        let chosen = index.choose().ok_or("an index names no image for Linux")?;
        let annotations = chosen.annotations.clone();
        name = name.or_else(|| annotations.and_then(|all| all.name.or(all.tag)));
        let blob = chosen.blob()?;
        let json = read_document(directory, &blob)?;
        if !chosen.is_index() {
            let manifest: Manifest = parse(&blob, &json)?;
            let layers: Result<Vec<String>> =
                manifest.layers.iter().map(Descriptor::blob).collect();
            return Ok(Image {
                name,
                layers: layers?,
            });
        }
        index = parse(&blob, &json)?;
    }
    Err("indexes that name indexes, without end".into())
}

impl Index {
    /// Chooses the image for this machine, or else the first for Linux.
    fn choose(&self) -> Option<&Descriptor> {
        let mut images = self.manifests.iter().filter(|image| {
            // Attestations have the platform unknown/unknown.
            image
                .platform
                .as_ref()
                .is_none_or(|platform| platform.os == "linux")
        });
        let first = images.clone().next();
        images
            .find(|image| {
                let platform = image.platform.as_ref();
                platform.is_some_and(|platform| platform.architecture == architecture())
            })
            .or(first)
    }
}

impl Descriptor {
    fn is_index(&self) -> bool {
        self.media_type.contains("image.index") || self.media_type.contains("manifest.list")
    }

    /// Returns where a layout has the blob.
    fn blob(&self) -> Result<String> {
        match self.digest.split_once(':') {
            Some((algorithm, hex)) if is_plain(algorithm) && is_plain(hex) => {
                Ok(format!("blobs/{algorithm}/{hex}"))
            }
            _ => Err(format!("{:?} is not a digest", self.digest).into()),
        }
    }
}

fn is_plain(part: &str) -> bool {
    !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_alphanumeric())
}

/// The processor of this machine, in Go's words.
fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "x86" => "386",
        "aarch64" => "arm64",
        other => other,
    }
}

fn parse<T: DeserializeOwned>(name: &str, json: &[u8]) -> Result<T> {
    Ok(serde_json::from_slice(json).map_err(|error| format!("{name}: {error}"))?)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    /// Writes files, whose paths may have directories in them.
    fn directory(files: &[(&str, &str)]) -> std::io::Result<tempfile::TempDir> {
        let directory = tempfile::tempdir()?;
        for (path, content) in files {
            let path = directory.path().join(path);
            fs::create_dir_all(path.parent().expect("it is in the directory"))?;
            fs::write(path, content)?;
        }
        Ok(directory)
    }

    fn check_refused(files: &[(&str, &str)], reason: &str) -> Result {
        let error = read(directory(files)?.path()).map_err(|error| error.to_string());
        let error = error.err().unwrap_or_default();
        assert!(error.contains(reason), "{error:?} of {files:?}");
        Ok(())
    }

    #[test]
    fn a_docker_archive_states_its_layers_in_order() -> Result {
        let json = r#"[{"Config":"c.json","RepoTags":["busybox:1","b:2"],
            "Layers":["b/layer.tar","a/layer.tar"]}]"#;
        let directory = directory(&[
            ("manifest.json", json),
            ("b/layer.tar", ""),
            // A layout beside it, as newer docker writes, says the same.
            ("index.json", "{}"),
        ])?;
        fs::create_dir(directory.path().join("a"))?;
        symlink("../b/layer.tar", directory.path().join("a/layer.tar"))?;
        let expected = Image {
            name: Some("busybox:1".to_owned()),
            layers: vec!["b/layer.tar".to_owned(), "a/layer.tar".to_owned()],
        };
        assert_eq!(read(directory.path())?, expected);
        Ok(())
    }

    #[test]
    fn an_image_may_have_no_name() -> Result {
        let json = r#"[{"RepoTags":null,"Layers":["l"]}]"#;
        let directory = directory(&[("manifest.json", json), ("l", "")])?;
        assert_eq!(read(directory.path())?.name, None);
        Ok(())
    }

    #[test]
    fn layers_outside_of_an_image_are_refused() -> Result {
        for layer in ["../x", "/etc/passwd", "a/../../x"] {
            let json = format!(r#"[{{"Layers":["{layer}"]}}]"#);
            check_refused(&[("manifest.json", &json)], "outside of the image")?;
        }
        let directory = directory(&[("manifest.json", r#"[{"Layers":["l"]}]"#)])?;
        symlink("/etc/passwd", directory.path().join("l"))?;
        let error = read(directory.path()).map_err(|error| error.to_string());
        assert_eq!(error, Err("l is outside of the image".to_owned()));
        fs::remove_file(directory.path().join("manifest.json"))?;
        symlink("/etc/passwd", directory.path().join("manifest.json"))?;
        let error = read(directory.path()).map_err(|error| error.to_string());
        let expected = "manifest.json is outside of the image".to_owned();
        assert_eq!(error, Err(expected));
        Ok(())
    }

    #[test]
    fn what_is_no_image_is_refused() -> Result {
        check_refused(&[], "not an image")?;
        check_refused(&[("manifest.json", "[]")], "no image")?;
        check_refused(&[("manifest.json", "{")], "manifest.json: ")?;
        check_refused(&[("manifest.json/x", "")], "no file")?;
        let long = "x".repeat((4 << 20) + 1);
        check_refused(&[("manifest.json", &long)], "more than")?;
        check_refused(&[("manifest.json", r#"[{"Layers":[]}]"#)], "no layers")?;
        check_refused(&[("manifest.json", r#"[{"Layers":["l"]}]"#)], "not there")?;
        check_refused(
            &[("index.json", r#"{"manifests":[]}"#)],
            "no image for Linux",
        )?;
        let digest = r#"{"manifests":[{"digest":"sha256:../../x"}]}"#;
        check_refused(&[("index.json", digest)], "is not a digest")
    }

    #[test]
    fn a_layout_leads_to_the_image_of_this_machine() -> Result {
        let index = r#"{"manifests":[{"mediaType":"application/vnd.oci.image.index.v1+json",
            "digest":"sha256:1","annotations":{"org.opencontainers.image.ref.name":"latest",
            "io.containerd.image.name":"docker.io/library/x:latest"}}]}"#;
        let platforms = format!(
            r#"{{"manifests":[
            {{"digest":"sha256:3","platform":{{"architecture":"pdp11","os":"linux"}}}},
            {{"digest":"sha256:2","platform":{{"architecture":"{}","os":"linux"}}}},
            {{"digest":"sha256:4","platform":{{"architecture":"unknown","os":"unknown"}}}}]}}"#,
            architecture()
        );
        let manifest = r#"{"layers":[{"digest":"sha256:a"},{"digest":"sha256:b"}]}"#;
        let layout = directory(&[
            ("index.json", index),
            ("blobs/sha256/1", &platforms),
            ("blobs/sha256/2", manifest),
            ("blobs/sha256/a", ""),
            ("blobs/sha256/b", ""),
        ])?;
        let expected = Image {
            name: Some("docker.io/library/x:latest".to_owned()),
            layers: vec!["blobs/sha256/a".to_owned(), "blobs/sha256/b".to_owned()],
        };
        assert_eq!(read(layout.path())?, expected);
        Ok(())
    }

    #[test]
    fn without_one_for_this_machine_the_first_image_for_linux_is_taken() -> Result {
        let index = r#"{"manifests":[
            {"digest":"sha256:1","platform":{"architecture":"amd64","os":"windows"}},
            {"digest":"sha256:2","platform":{"architecture":"pdp11","os":"linux"}},
            {"digest":"sha256:3","platform":{"architecture":"vax","os":"linux"}}]}"#;
        let index: Index = parse("index.json", index.as_bytes())?;
        assert_eq!(
            index.choose().map(|chosen| &*chosen.digest),
            Some("sha256:2")
        );
        Ok(())
    }

    #[test]
    fn indexes_without_end_are_refused() -> Result {
        let index = r#"{"manifests":[{"mediaType":"application/vnd.oci.image.index.v1+json",
            "digest":"sha256:1"}]}"#;
        check_refused(
            &[("index.json", index), ("blobs/sha256/1", index)],
            "without end",
        )
    }
}
