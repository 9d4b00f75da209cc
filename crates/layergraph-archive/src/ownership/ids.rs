//! Ranges of ids: which user on disk stands for which one of a layer.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

/// How many ranges a map may have: as many as one of the kernel (`user_namespaces(7)`).
const MAX_RANGES: usize = 340;

/// How many ids there are: the last 32-bit number is none, as `chown(2)` takes it for "leave it".
const IDS: u64 = u32::MAX as u64;

/// What the kernel shows for an id that has no counterpart (`/proc/sys/kernel/overflowuid`).
const OVERFLOW: u32 = 65_534;

/// A run of ids: `count` ids of layers, from `inside` on, and as many on disk, from `outside` on.
///
/// It has at least one id, and none that is no id. Printed and parsed it is
/// `INSIDE:OUTSIDE:COUNT`, a line of `/proc/PID/uid_map` with colons.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct IdRange {
    inside: u32,
    outside: u32,
    count: u32,
}

impl IdRange {
    /// Makes a range.
    ///
    /// # Errors
    ///
    /// It is empty, or goes beyond the last id, 2^32 - 2, on either side.
    pub fn new(inside: u32, outside: u32, count: u32) -> Result<IdRange, InvalidIds> {
        let range = IdRange {
            inside,
            outside,
            count,
        };
        if count == 0 {
            return Err(InvalidIds::Empty { range });
        }
        let (_, end_inside) = span(range, |range| range.inside);
        let (_, end_outside) = span(range, |range| range.outside);
        if end_inside.max(end_outside) > IDS {
            return Err(InvalidIds::BeyondLast { range });
        }
        Ok(range)
    }

    /// Returns the first id in layers.
    pub fn inside(&self) -> u32 {
        self.inside
    }

    /// Returns the first id on disk.
    pub fn outside(&self) -> u32 {
        self.outside
    }

    /// Returns how many ids there are.
    pub fn count(&self) -> u32 {
        self.count
    }
}

impl fmt::Display for IdRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.inside, self.outside, self.count)
    }
}

impl FromStr for IdRange {
    type Err = InvalidIds;

    fn from_str(text: &str) -> Result<IdRange, InvalidIds> {
        let invalid = || InvalidIds::Text {
            text: text.to_owned(),
        };
        let number = |field: Option<&str>| {
            let digits = field.filter(|field| field.bytes().all(|byte| byte.is_ascii_digit()));
            digits
                .and_then(|digits| digits.parse().ok())
                .ok_or_else(invalid)
        };
        let mut fields = text.split(':');
        let (inside, outside) = (number(fields.next())?, number(fields.next())?);
        let count = number(fields.next())?;
        if fields.next().is_some() {
            return Err(invalid());
        }
        IdRange::new(inside, outside, count)
    }
}

/// Whose ids.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum IdKind {
    /// Those of users.
    User,
    /// Those of groups.
    Group,
}

impl fmt::Display for IdKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            IdKind::User => "uid",
            IdKind::Group => "gid",
        })
    }
}

/// Why ranges of ids are no map.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidIds {
    /// A text is no range.
    #[error("'{text}' is no range of ids, which is INSIDE:OUTSIDE:COUNT")]
    Text {
        /// The text.
        text: String,
    },
    /// A range has no id.
    #[error("the range {range} is empty")]
    Empty {
        /// The range.
        range: IdRange,
    },
    /// A range has more ids than there are from where it begins.
    #[error("the range {range} goes beyond the last id, {}", IDS - 1)]
    BeyondLast {
        /// The range.
        range: IdRange,
    },
    /// Two ranges have an id in common, in layers or on disk.
    #[error("the ranges {first} and {second} overlap")]
    Overlap {
        /// The one.
        first: IdRange,
        /// The other.
        second: IdRange,
    },
    /// There are more ranges than the kernel would take.
    #[error("{count} ranges are more than {MAX_RANGES}")]
    TooMany {
        /// How many.
        count: usize,
    },
    /// No range has the id of root, to whom every tree belongs until a layer says otherwise.
    #[error("no range has the {kind} 0, which owns the root of a tree")]
    NoRoot {
        /// Whose id.
        kind: IdKind,
    },
}

/// An id for which no range has a counterpart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum UnmappedId {
    /// One that a layer names.
    #[error("no range has the {kind} {id}")]
    Inside {
        /// Whose id.
        kind: IdKind,
        /// The id.
        id: u32,
    },
    /// One on disk.
    #[error("no range has the {kind} {id} of the disk")]
    Outside {
        /// Whose id.
        kind: IdKind,
        /// The id.
        id: u32,
    },
}

/// Ranges of ids of which no two overlap on either side: an id has one counterpart or none.
///
/// Ranges that go on where another ends are one, and stand in order, so that maps are equal if they
/// map the same.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct IdMap {
    by_inside: Vec<IdRange>,
    by_outside: Vec<IdRange>,
}

impl IdMap {
    /// Makes a map of ranges in any order.
    ///
    /// # Errors
    ///
    /// Two overlap, or there are more than 340, the limit of the kernel.
    pub fn new(ranges: impl IntoIterator<Item = IdRange>) -> Result<IdMap, InvalidIds> {
        let mut by_inside: Vec<IdRange> = ranges.into_iter().collect();
        if by_inside.len() > MAX_RANGES {
            let count = by_inside.len();
            return Err(InvalidIds::TooMany { count });
        }
        let mut by_outside = by_inside.clone();
        sort_apart(&mut by_outside, |range| range.outside)?;
        sort_apart(&mut by_inside, |range| range.inside)?;
        let by_inside = joined(&by_inside);
        let mut by_outside = by_inside.clone();
        by_outside.sort_by_key(|range| range.outside);
        Ok(IdMap {
            by_inside,
            by_outside,
        })
    }

    /// Returns the ranges in order of their ids in layers, those that go on from each other as one.
    pub fn ranges(&self) -> &[IdRange] {
        &self.by_inside
    }

    /// Returns the id on disk that stands for one of a layer.
    pub fn outside(&self, inside: u32) -> Option<u32> {
        let range = holding(&self.by_inside, inside, |range| range.inside)?;
        Some(range.outside + (inside - range.inside))
    }

    /// Returns the id of a layer that one on disk stands for.
    pub fn inside(&self, outside: u32) -> Option<u32> {
        let range = holding(&self.by_outside, outside, |range| range.outside)?;
        Some(range.inside + (outside - range.outside))
    }
}

impl fmt::Display for IdMap {
    /// The ranges with commas between them.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, range) in self.by_inside.iter().enumerate() {
            let comma = if number > 0 { "," } else { "" };
            write!(f, "{comma}{range}")?;
        }
        Ok(())
    }
}

/// Returns where a range begins on one side, and where it ends.
fn span(range: IdRange, begin: impl Fn(&IdRange) -> u32) -> (u64, u64) {
    let begin = u64::from(begin(&range));
    (begin, begin + u64::from(range.count))
}

/// Sorts ranges by where they begin on one side, on which they must not overlap.
fn sort_apart(
    ranges: &mut [IdRange],
    begin: impl Fn(&IdRange) -> u32 + Copy,
) -> Result<(), InvalidIds> {
    ranges.sort_by_key(begin);
    for pair in ranges.windows(2) {
        let (first, second) = (pair[0], pair[1]);
        if span(first, begin).1 > span(second, begin).0 {
            return Err(InvalidIds::Overlap { first, second });
        }
    }
    Ok(())
}

/// Joins sorted ranges that go on from each other on both sides.
fn joined(ranges: &[IdRange]) -> Vec<IdRange> {
    let mut joined: Vec<IdRange> = Vec::with_capacity(ranges.len());
    for range in ranges {
        let goes_on = |last: &&mut IdRange| {
            let ends_inside = last.inside + last.count == range.inside;
            ends_inside && last.outside + last.count == range.outside
        };
        match joined.last_mut().filter(goes_on) {
            Some(last) => last.count += range.count,
            None => joined.push(*range),
        }
    }
    joined
}

/// Finds the range that has an id, among ranges sorted by where they begin on that side.
fn holding(ranges: &[IdRange], id: u32, begin: impl Fn(&IdRange) -> u32) -> Option<&IdRange> {
    let behind = ranges.partition_point(|range| begin(range) <= id);
    let range = &ranges[..behind].last()?;
    (id - begin(range) < range.count).then_some(range)
}

/// A map for users and one for groups, both of which have the id 0.
///
/// It is cheap to clone.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct IdMaps(Arc<Maps>);

#[derive(Debug, PartialEq, Eq, Hash)]
struct Maps {
    users: IdMap,
    groups: IdMap,
    /// To whom on disk belongs what is root's.
    root: (u32, u32),
}

impl IdMaps {
    /// Puts a map for users and one for groups together.
    ///
    /// # Errors
    ///
    /// One of them has no counterpart of 0. Every tree has something that belongs to root: what
    /// its layers do not name.
    pub fn new(users: IdMap, groups: IdMap) -> Result<IdMaps, InvalidIds> {
        let root_of = |map: &IdMap, kind| map.outside(0).ok_or(InvalidIds::NoRoot { kind });
        let root = (
            root_of(&users, IdKind::User)?,
            root_of(&groups, IdKind::Group)?,
        );
        Ok(IdMaps(Arc::new(Maps {
            users,
            groups,
            root,
        })))
    }

    /// Returns the map for users.
    pub fn users(&self) -> &IdMap {
        &self.0.users
    }

    /// Returns the map for groups.
    pub fn groups(&self) -> &IdMap {
        &self.0.groups
    }

    /// Returns user and group to whom on disk belongs what is root's.
    pub fn root(&self) -> (u32, u32) {
        self.0.root
    }

    /// Returns to whom on disk belongs what a layer gives to user and group.
    ///
    /// # Errors
    ///
    /// No range has the one or the other.
    pub fn outside(&self, uid: u32, gid: u32) -> Result<(u32, u32), UnmappedId> {
        let user = self.id_outside(IdKind::User, uid)?;
        Ok((user, self.id_outside(IdKind::Group, gid)?))
    }

    /// Returns whom a layer calls those to whom something belongs on disk.
    ///
    /// # Errors
    ///
    /// No range has the one or the other.
    pub fn inside(&self, uid: u32, gid: u32) -> Result<(u32, u32), UnmappedId> {
        let user = self.id_inside(IdKind::User, uid)?;
        Ok((user, self.id_inside(IdKind::Group, gid)?))
    }

    fn of(&self, kind: IdKind) -> &IdMap {
        match kind {
            IdKind::User => self.users(),
            IdKind::Group => self.groups(),
        }
    }

    pub(super) fn id_outside(&self, kind: IdKind, id: u32) -> Result<u32, UnmappedId> {
        let outside = self.of(kind).outside(id);
        outside.ok_or(UnmappedId::Inside { kind, id })
    }

    pub(super) fn id_inside(&self, kind: IdKind, id: u32) -> Result<u32, UnmappedId> {
        let inside = self.of(kind).inside(id);
        inside.ok_or(UnmappedId::Outside { kind, id })
    }

    /// Returns what the kernel would show of an owner on disk: 65534 for what has no counterpart.
    /// If something has none, says what.
    pub(crate) fn shown(&self, uid: u32, gid: u32) -> ((u32, u32), Option<UnmappedId>) {
        let user = self.users().inside(uid).unwrap_or(OVERFLOW);
        let group = self.groups().inside(gid).unwrap_or(OVERFLOW);
        ((user, group), self.inside(uid, gid).err())
    }
}

#[cfg(test)]
mod tests;
