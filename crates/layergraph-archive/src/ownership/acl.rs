//! Access control lists under a map of ids.
//!
//! A list (`acl(5)`) names users and groups, who would be others on disk than in the layer. The
//! kernel maps them when a list is set or read in a user namespace, and here it is done in the same
//! way. The form is that of `linux/posix_acl_xattr.h`: a version, and entries of a tag, a
//! permission and an id.

use super::ids::{IdKind, UnmappedId};

/// The attributes with an object's own list, and with the one for what is made in a directory.
pub(super) const ACLS: [&[u8]; 2] = [b"system.posix_acl_access", b"system.posix_acl_default"];

const VERSION: [u8; 4] = 2_u32.to_le_bytes();
const ENTRY: usize = 8;
/// Where the id is in an entry.
const ID: usize = 4;

/// Returns whose id an entry has. The owner's, the owning group's, the mask's and the others' say
/// nobody's.
fn kind(entry: &[u8]) -> Option<IdKind> {
    match (entry[0], entry[1]) {
        (0x02, 0) => Some(IdKind::User),
        (0x08, 0) => Some(IdKind::Group),
        _ => None,
    }
}

/// Returns the list on the other side of a map. One of another form, which the kernel would not
/// take, stays as it is.
pub(super) fn mapped(
    mut value: Vec<u8>,
    map: impl Fn(IdKind, u32) -> Result<u32, UnmappedId>,
) -> Result<Vec<u8>, UnmappedId> {
    let Some(entries) = value.strip_prefix(&VERSION) else {
        return Ok(value);
    };
    if entries.len() % ENTRY != 0 {
        return Ok(value);
    }
    for entry in value[VERSION.len()..].chunks_exact_mut(ENTRY) {
        if let Some(kind) = kind(entry) {
            let id = [entry[ID], entry[ID + 1], entry[ID + 2], entry[ID + 3]];
            let id = map(kind, u32::from_le_bytes(id))?;
            entry[ID..].copy_from_slice(&id.to_le_bytes());
        }
    }
    Ok(value)
}

#[cfg(test)]
mod tests {
    use super::super::ids::{IdMap, IdMaps};
    use super::*;

    fn list(entries: &[(u8, u32)]) -> Vec<u8> {
        let mut list = VERSION.to_vec();
        for (tag, id) in entries {
            list.extend_from_slice(&[*tag, 0, 6, 0]);
            list.extend_from_slice(&id.to_le_bytes());
        }
        list
    }

    fn maps() -> IdMaps {
        let map = |range: &str| IdMap::new(range.parse()).expect("one range cannot overlap");
        IdMaps::new(map("0:100000:10"), map("0:200000:10")).expect("both have root")
    }

    #[test]
    fn users_and_groups_in_a_list_are_mapped_and_nothing_else_is() {
        let nobody = u32::MAX;
        let others = [(0x01, nobody), (0x04, 5), (0x10, nobody), (0x20, nobody)];
        let layers = list(&[&[(0x02, 3), (0x08, 4)], &others[..]].concat());
        let on_disk = list(&[&[(0x02, 100_003), (0x08, 200_004)], &others[..]].concat());
        let maps = maps();
        let outside = mapped(layers.clone(), |kind, id| maps.id_outside(kind, id));
        assert_eq!(outside.as_ref(), Ok(&on_disk));
        let inside = mapped(on_disk, |kind, id| maps.id_inside(kind, id));
        assert_eq!(inside, Ok(layers));
    }

    #[test]
    fn who_is_in_no_range_is_refused() {
        let maps = maps();
        for (tag, kind) in [(0x02, IdKind::User), (0x08, IdKind::Group)] {
            let id = 10;
            let found = mapped(list(&[(tag, id)]), |kind, id| maps.id_outside(kind, id));
            assert_eq!(found, Err(UnmappedId::Inside { kind, id }));
            let found = mapped(list(&[(tag, id)]), |kind, id| maps.id_inside(kind, id));
            assert_eq!(found, Err(UnmappedId::Outside { kind, id }));
        }
    }

    #[test]
    fn what_is_no_list_stays_as_it_is() {
        let mut other_version = list(&[(0x02, 3)]);
        other_version[0] = 1;
        let mut cut_off = list(&[(0x02, 3)]);
        cut_off.pop();
        let maps = maps();
        for value in [vec![], vec![2, 0, 0], other_version, cut_off] {
            let found = mapped(value.clone(), |kind, id| maps.id_outside(kind, id));
            assert_eq!(found, Ok(value));
        }
    }
}
