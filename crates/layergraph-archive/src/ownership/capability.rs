//! File capabilities under a map of ids.
//!
//! A capability counts for one user namespace: that of whom its value names as root, in the form
//! that Linux calls revision 3 (`capabilities(7)`, *File capability extended attribute
//! versioning*). Revision 2 names nobody and means the root of the first namespace. So what a
//! layer has in revision 2 would do nothing for the root of mapped users, and all for the host's.
//! The kernel changes the value when it is set or read in a namespace (`cap_convert_nscap` and
//! `cap_inode_getsecurity` in `security/commoncap.c`), and here it is done in the same way.

use super::ids::{IdKind, UnmappedId};

/// The attribute with a file's capabilities.
pub(super) const CAPABILITY: &[u8] = b"security.capability";

/// A value of revision 2: flags with the revision in the highest byte, and four words of bits.
const LENGTH_2: usize = 20;
/// One of revision 3: the same, and the uid of root.
const LENGTH_3: usize = 24;
/// Where the revision is.
const REVISION: usize = 3;

/// Returns the uid of the root for whom a value counts; nothing if it is of another form.
fn root(value: &[u8]) -> Option<u32> {
    match (value.get(REVISION), value.len()) {
        (Some(2), LENGTH_2) => Some(0),
        (Some(3), LENGTH_3) => {
            let root = value[LENGTH_2..].try_into().ok()?;
            Some(u32::from_le_bytes(root))
        }
        _ => None,
    }
}

/// Makes a value count for another root: in revision 2 if that is 0, else in revision 3.
fn for_root(value: &[u8], root: u32) -> Vec<u8> {
    let mut value = value[..LENGTH_2].to_vec();
    value[REVISION] = if root == 0 { 2 } else { 3 };
    if root != 0 {
        value.extend_from_slice(&root.to_le_bytes());
    }
    value
}

/// Returns the value on the other side of a map. One of another form, which the kernel would not
/// take, stays as it is.
pub(super) fn mapped(
    value: Vec<u8>,
    id: impl Fn(IdKind, u32) -> Result<u32, UnmappedId>,
) -> Result<Vec<u8>, UnmappedId> {
    match root(&value) {
        Some(root) => Ok(for_root(&value, id(IdKind::User, root)?)),
        None => Ok(value),
    }
}

#[cfg(test)]
mod tests {
    use super::super::ids::{IdMap, IdMaps};
    use super::*;

    const BITS: [u8; 16] = [0, 0x20, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];

    fn revision_2() -> Vec<u8> {
        [&[1, 0, 0, 2], &BITS[..]].concat()
    }

    fn revision_3(root: u32) -> Vec<u8> {
        [&[1, 0, 0, 3], &BITS[..], &root.to_le_bytes()].concat()
    }

    fn maps(users: &str) -> IdMaps {
        let map = |range: &str| IdMap::new(range.parse()).expect("one range cannot overlap");
        // That of groups has nothing to do with it.
        IdMaps::new(map(users), map("0:7:1")).expect("both have root")
    }

    fn outside(value: &[u8], maps: &IdMaps) -> Result<Vec<u8>, UnmappedId> {
        mapped(value.to_vec(), |kind, id| maps.id_outside(kind, id))
    }

    fn inside(value: &[u8], maps: &IdMaps) -> Result<Vec<u8>, UnmappedId> {
        mapped(value.to_vec(), |kind, id| maps.id_inside(kind, id))
    }

    #[test]
    fn a_capability_counts_for_the_root_that_the_map_has() {
        let maps = maps("0:100000:1000");
        for (layers, on_disk) in [
            (revision_2(), revision_3(100_000)),
            (revision_3(7), revision_3(100_007)),
        ] {
            assert_eq!(outside(&layers, &maps).as_ref(), Ok(&on_disk));
            assert_eq!(inside(&on_disk, &maps).as_ref(), Ok(&layers));
        }
        // The kernel takes a root of 0 for none as well.
        let same = self::maps("0:0:1000");
        assert_eq!(outside(&revision_2(), &same), Ok(revision_2()));
        assert_eq!(outside(&revision_3(0), &same), Ok(revision_2()));
    }

    #[test]
    fn a_capability_for_a_root_that_the_map_has_not_is_refused_both_ways() {
        let maps = maps("0:100000:1000");
        let kind = IdKind::User;
        let id = 1000;
        let refused = Err(UnmappedId::Inside { kind, id });
        assert_eq!(outside(&revision_3(id), &maps), refused);
        for (on_disk, id) in [(revision_2(), 0), (revision_3(5), 5)] {
            let refused = Err(UnmappedId::Outside { kind, id });
            assert_eq!(inside(&on_disk, &maps), refused);
        }
    }

    #[test]
    fn what_is_no_capability_that_the_kernel_knows_stays_as_it_is() {
        let maps = maps("0:100000:1000");
        let mut long = revision_2();
        long.push(0);
        let short = revision_3(0)[..23].to_vec();
        for value in [vec![], b"\0\0\0\x01".to_vec(), long, short] {
            assert_eq!(outside(&value, &maps).as_ref(), Ok(&value));
            assert_eq!(inside(&value, &maps).as_ref(), Ok(&value));
        }
    }
}
