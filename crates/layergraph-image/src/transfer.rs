//! What a store and whoever brings or takes images say to each other.
//!
//! A *source* offers images, each by the descriptor of its manifest or index, and opens the blobs
//! that these point to. A *sink* takes blobs, and the images at the end. Neither knows what a store
//! is, and a store knows no format of archives.

use std::error::Error;
use std::io::Read;

use crate::ImageName;
use crate::oci::Descriptor;

/// What went wrong at the other end: in an archive, a directory, or on the way.
pub type TransferError = Box<dyn Error + Send + Sync>;

/// Where images come from.
pub trait ImageSource: Sync {
    /// Lists the images that there are, in the order of the source.
    ///
    /// # Errors
    ///
    /// The source cannot be read, or is ambiguous.
    fn images(&self) -> Result<Vec<Offered>, TransferError>;

    /// Opens a blob that an image points to, or the image's manifest or index itself.
    ///
    /// The bytes are those of the source, which nobody has checked yet. Several threads may read
    /// several blobs at once.
    ///
    /// # Errors
    ///
    /// There is no such blob, or it cannot be opened.
    fn open(&self, blob: &Descriptor) -> Result<Box<dyn Read + Send + '_>, TransferError>;
}

/// An image that a source offers.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Offered {
    /// Its manifest or index.
    pub root: Descriptor,
    /// The names it has there.
    pub names: Vec<ImageName>,
}

impl Offered {
    /// Offers an image by these names.
    pub fn new(root: Descriptor, names: Vec<ImageName>) -> Offered {
        Offered { root, names }
    }
}

/// Where images go.
pub trait ImageSink {
    /// Tells whether the sink has a blob already.
    ///
    /// # Errors
    ///
    /// It cannot be told.
    fn has(&mut self, blob: &Descriptor) -> Result<bool, TransferError>;

    /// Takes a blob of exactly the size that is said.
    ///
    /// # Errors
    ///
    /// The sink cannot take it, or `content` fails or has another size.
    fn put(&mut self, blob: &Descriptor, content: &mut dyn Read) -> Result<(), TransferError>;

    /// Takes an image whose blobs it has.
    ///
    /// # Errors
    ///
    /// The sink cannot take it.
    fn add(&mut self, image: &Offered) -> Result<(), TransferError>;

    /// Ends the transfer: what was taken is there.
    ///
    /// # Errors
    ///
    /// It could not be written. Then nothing of it is there.
    fn finish(self: Box<Self>) -> Result<(), TransferError>;
}
