//! The arguments of the commands on images.

use std::path::PathBuf;

use clap::Args;
use clap::builder::NonEmptyStringValueParser;
use layergraph::ImageName;

/// List the images that have a name.
///
/// What cannot be read as an image is told on stderr and hides no other. `unique_size` is what
/// would be free without the image.
///
/// With --json, the result is an array of objects, one for each name: `name`, `image_id`,
/// `manifest_digest`, `created`, `size`, `unique_size`, and the number of `layers`.
#[derive(Debug, Args)]
pub(crate) struct Images {
    /// Also those without a name.
    #[arg(long, short)]
    pub(crate) all: bool,
}

/// Show what an image is made of, and where its tree is.
///
/// With --json, the result is an object: `names`, `image_id`, `manifest_digest`, `media_type`,
/// `platform`, `created`, `size`, `node`, `layers` (an array of objects: `chain_id`, `diff_id`,
/// `digest`, `size`, `node`), and the whole `manifest` and `config`.
#[derive(Debug, Args)]
pub(crate) struct Inspect {
    #[command(flatten)]
    pub(crate) image: ImageArg,
}

/// Give an image a name, which another image may lose by that.
#[derive(Debug, Args)]
pub(crate) struct Tag {
    #[command(flatten)]
    pub(crate) image: ImageArg,

    /// The name it gets.
    #[arg(value_name = "NEW-NAME")]
    pub(crate) name: ImageName,
}

/// Take a name away. The image stays.
#[derive(Debug, Args)]
pub(crate) struct Untag {
    /// The name.
    #[arg(value_name = "NAME")]
    pub(crate) name: ImageName,
}

/// Remove images, with all layers that no other image has.
///
/// An image that is given by one of several names loses that name only. All arguments are looked up
/// before anything is removed.
///
/// With --json, the result is an object: the array `removed` of digests of manifests, and the array
/// `untagged` of names.
#[derive(Debug, Args)]
pub(crate) struct Rm {
    /// Images: a name, or the digest or the beginning of an id.
    #[arg(value_name = "IMAGE", required = true, value_parser = NonEmptyStringValueParser::new())]
    pub(crate) images: Vec<String>,
}

/// Remove layers and documents that no image needs.
///
/// Nodes that were registered by hand stay.
///
/// With --json, the result is an object: the array `removed` of objects with `kind` and `id`, the
/// number `freed`, and the array `kept` of objects with `kind`, `id` and `because`.
#[derive(Debug, Args)]
pub(crate) struct Gc {
    /// Only say what would be removed, and why the rest is kept.
    #[arg(long)]
    pub(crate) dry_run: bool,
}

/// Take images in from an archive or a directory.
///
/// PATH is a docker-archive, an OCI archive, or a directory with an OCI image layout; `-` reads an
/// archive from stdin. Everything is verified before it is visible. Layers that the store has are
/// not read again.
///
/// With --json, the result is an array of objects: `name`, `image_id`, `manifest_digest`, and
/// `layers`, an array of objects: `chain_id`, `diff_id`, `digest`, `size` and `reused`.
#[derive(Debug, Args)]
pub(crate) struct Load {
    /// The name that the only image gets, instead of its own. It may be repeated.
    #[arg(long, value_name = "NAME")]
    pub(crate) name: Vec<ImageName>,

    /// For which platform, such as linux/arm64, where there are several [default: this machine's].
    #[arg(long, value_name = "PLATFORM", conflicts_with = "all")]
    pub(crate) platform: Option<layergraph::image::oci::Platform>,

    /// Take the images for all platforms.
    #[arg(long)]
    pub(crate) all: bool,

    /// Where they are: FILE, DIR, DIR:TAG, or `-`.
    #[arg(value_name = "PATH")]
    pub(crate) path: PathBuf,
}

/// Write images as an archive or a directory.
///
/// Each layer is written as it came, but not compressed. The image id is the same; so is the digest
/// of the manifest where the layers came without compression.
///
/// With --json, the result is an object with the array `images` of objects: `name`, `image_id` and
/// `manifest_digest`.
#[derive(Debug, Args)]
pub(crate) struct Save {
    /// Where to. FILE appears, or is replaced, only when all is written; `-` is stdout.
    #[arg(long, short, value_name = "FILE", required = true)]
    pub(crate) output: PathBuf,

    /// In which form.
    #[arg(long, value_name = "FORMAT", default_value = "docker-archive")]
    pub(crate) format: Format,

    /// Images: a name, or the digest or the beginning of an id.
    #[arg(value_name = "IMAGE", required = true, value_parser = NonEmptyStringValueParser::new())]
    pub(crate) images: Vec<String>,
}

/// In which form images are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Format {
    /// One file that docker, podman and others load.
    DockerArchive,
    /// One file with an OCI image layout.
    OciArchive,
    /// A directory with an OCI image layout; what is there already stays.
    Oci,
}

/// Which image.
#[derive(Debug, Args)]
pub(crate) struct ImageArg {
    /// A name, or the digest or the beginning of an id.
    #[arg(value_name = "IMAGE", value_parser = NonEmptyStringValueParser::new())]
    pub(crate) image: String,
}
