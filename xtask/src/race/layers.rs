//! The two layers that the campaign works with: what is there, and what is unpacked on it.
//!
//! Between them they have every kind of entry that goes by a path or follows a former one, most of
//! them below the directories that the attackers swap.

use std::path::Path;
use std::time::{Duration, SystemTime};

use layergraph_tar::{Kind, NewMember, Writer};

use crate::Result;

/// Sizes of files in bytes: of most, and of one that is copied.
const SMALL: usize = 96;
const LARGE: usize = 4096;

/// Writes the lower layer; two links in it lead to the directory `outside`.
pub(crate) fn lower(outside: &Path) -> Result<Vec<u8>> {
    let mut layer = Layer::new();
    layer.file("f", SMALL)?;
    layer.directory("a", 0o755)?;
    layer.file("a/f", SMALL)?;
    layer.file("a/old", SMALL)?;
    layer.directory("a/swap", 0o755)?;
    layer.link(
        "a/link",
        outside.join("a/swap").as_os_str().as_encoded_bytes(),
    )?;
    layer.link("a/up", b"swap/below/..")?;
    for name in ["f", "old"] {
        layer.file(&format!("a/swap/{name}"), SMALL)?;
    }
    layer.file("a/swap/large", LARGE)?;
    // From the arena as from where the tree is prepared.
    layer.link("a/swap/link", b"../../../../canary/a/swap/below")?;
    for name in ["below", "gone"] {
        layer.directory(&format!("a/swap/{name}"), 0o755)?;
        layer.file(&format!("a/swap/{name}/f"), SMALL)?;
        layer.file(&format!("a/swap/{name}/old"), SMALL)?;
    }
    layer.finish()
}

/// Writes the upper layer.
pub(crate) fn upper() -> Result<Vec<u8>> {
    let mut layer = Layer::new();
    layer.file("f", SMALL)?;
    layer.directory("a", 0o711)?;
    layer.file("a/f", SMALL)?;
    layer.whiteout("a/.wh.old")?;
    layer.directory("a/swap", 0o2755)?;
    layer.file("a/swap/f", SMALL)?;
    layer.whiteout("a/swap/.wh.old")?;
    layer.whiteout("a/swap/.wh.gone")?;
    layer.hard_link("a/swap/h", "a/swap/f")?;
    // Of the layer below, so that it is copied first.
    layer.hard_link("a/swap/copied", "a/swap/large")?;
    layer.file("a/swap/tool", SMALL)?;
    layer.pipe("a/swap/pipe")?;
    layer.whiteout("a/swap/below/.wh..wh..opq")?;
    layer.file("a/swap/below/f", SMALL)?;
    layer.link("a/swap/below/s", b"../f")?;
    layer.file("a/swap/implied/deep/f", SMALL)?;
    layer.file("a/up/through", SMALL)?;
    layer.file("a/link/through", SMALL)?;
    // Once more, so that a recipe has to keep the content of the former.
    layer.file("a/swap/f", SMALL)?;
    layer.file("a/swap/below/f", SMALL)?;
    layer.directory("a/swap", 0o755)?;
    layer.finish()
}

struct Layer(Writer<Vec<u8>>);

impl Layer {
    fn new() -> Layer {
        Layer(Writer::new(Vec::new()))
    }

    fn member(path: &str, kind: Kind, mode: u32) -> NewMember<'_> {
        NewMember {
            mode,
            uid: 12,
            gid: 34,
            mtime: SystemTime::UNIX_EPOCH + Duration::new(1_000_000_000, 5),
            ..NewMember::new(path.as_bytes(), kind)
        }
    }

    fn file(&mut self, path: &str, size: usize) -> Result {
        let content: Vec<u8> = path.bytes().chain([b' ']).cycle().take(size).collect();
        let member = NewMember {
            size: size as u64,
            ..Layer::member(path, Kind::File, 0o4711)
        };
        Ok(self.0.append(&member, content.as_slice())?)
    }

    fn whiteout(&mut self, path: &str) -> Result {
        self.empty(&Layer::member(path, Kind::File, 0o600))
    }

    fn directory(&mut self, path: &str, mode: u32) -> Result {
        let xattrs = [(b"user.campaign".to_vec(), path.as_bytes().to_vec())];
        self.empty(&NewMember {
            xattrs: &xattrs,
            ..Layer::member(path, Kind::Directory, mode)
        })
    }

    fn link(&mut self, path: &str, target: &[u8]) -> Result {
        self.empty(&NewMember {
            link: target,
            ..Layer::member(path, Kind::Symlink, 0o777)
        })
    }

    fn hard_link(&mut self, path: &str, target: &str) -> Result {
        self.empty(&NewMember {
            link: target.as_bytes(),
            ..Layer::member(path, Kind::HardLink, 0o4711)
        })
    }

    fn pipe(&mut self, path: &str) -> Result {
        self.empty(&Layer::member(path, Kind::Fifo, 0o600))
    }

    fn empty(&mut self, member: &NewMember<'_>) -> Result {
        Ok(self.0.append(member, [].as_slice())?)
    }

    fn finish(self) -> Result<Vec<u8>> {
        Ok(self.0.finish()?)
    }
}
