//! Under construction: the signatures are meant to stay.
#![forbid(unsafe_code)]

mod error;
mod limits;
mod member;
mod reader;
mod tap;
mod writer;

pub use error::{TarError, WriteError};
pub use limits::Limits;
pub use member::{Kind, Member, Segment};
pub use reader::{Finished, Reader};
pub use tap::Tap;
pub use writer::{NewMember, Writer};
