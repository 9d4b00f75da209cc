//! What the tests share: archives made by hand, trees on disk and in archives, other programs.

pub(crate) mod craft;
pub(crate) mod programs;
pub(crate) mod tree;
