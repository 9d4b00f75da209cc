//! Writing: images as a layout, as an archive of one, and as a docker-archive.

mod archive;
mod docker;
mod images;
mod layout;
mod staged;

pub use self::archive::ArchiveWriter;
pub use self::docker::DockerWriter;
pub use self::layout::LayoutWriter;
