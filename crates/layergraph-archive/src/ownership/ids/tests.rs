//! Laws of ranges, maps, and pairs of maps.

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

fn range(text: &str) -> Result<IdRange, InvalidIds> {
    text.parse()
}

fn map(texts: &[&str]) -> Result<IdMap, InvalidIds> {
    let ranges: Result<Vec<IdRange>, InvalidIds> = texts.iter().map(|text| text.parse()).collect();
    IdMap::new(ranges?)
}

#[test]
fn r23_a_range_has_ids_only_and_at_least_one() {
    for (text, ends_at_last) in [
        ("0:0:4294967295", true),
        ("4294967294:0:1", true),
        ("0:4294967294:1", true),
        ("5:7:2", false),
    ] {
        let range = range(text).unwrap_or_else(|error| panic!("{text}: {error}"));
        assert_eq!(range.to_string(), text);
        let more = IdRange::new(range.inside, range.outside, range.count.saturating_add(1));
        assert_eq!(
            more.is_err(),
            ends_at_last && range.count < u32::MAX,
            "{text}"
        );
    }
    for text in ["0:0:0", "4294967295:4294967295:0"] {
        assert!(
            matches!(range(text), Err(InvalidIds::Empty { .. })),
            "{text}"
        );
    }
    for text in [
        "1:0:4294967295",
        "0:1:4294967295",
        "4294967295:0:1",
        "0:4294967295:1",
        "4294967294:0:2",
        "4294967295:4294967295:4294967295",
    ] {
        let found = range(text);
        assert!(
            matches!(found, Err(InvalidIds::BeyondLast { .. })),
            "{text}"
        );
    }
}

#[test]
fn r23_a_text_that_is_no_range_is_refused_and_never_wrapped() {
    for text in [
        "",
        ":",
        "::",
        "0",
        "0:0",
        "0:0:",
        "0:0:1:",
        "0:0:1:2",
        "-1:0:1",
        "+1:0:1",
        " 0:0:1",
        "0:0:1 ",
        "0x0:0:1",
        "4294967296:0:1",
        "0:4294967296:1",
        "0:0:4294967296",
        "0:0:18446744073709551617",
        "a:b:c",
        "0,0,1",
    ] {
        let expected = InvalidIds::Text {
            text: text.to_owned(),
        };
        assert_eq!(range(text), Err(expected));
    }
}

#[test]
fn ranges_that_overlap_on_either_side_are_refused() {
    for texts in [
        ["0:100:10", "9:200:1"],
        ["0:100:10", "10:109:1"],
        ["5:5:1", "5:5:1"],
        ["0:0:4294967295", "7:7:1"],
    ] {
        for texts in [texts, [texts[1], texts[0]]] {
            let found = map(&texts);
            assert!(
                matches!(found, Err(InvalidIds::Overlap { .. })),
                "{texts:?}"
            );
        }
    }
    assert!(map(&["0:100:10", "10:200:10", "20:110:1"]).is_ok());
}

#[test]
fn a_map_has_as_many_ranges_as_the_kernel_takes() {
    let apart = |count: u32| (0..count).map(|number| IdRange::new(number * 2, number * 2, 1));
    let some: Result<Vec<IdRange>, InvalidIds> = apart(340).collect();
    let map = some.and_then(IdMap::new).expect("as many as may be");
    assert_eq!(map.ranges().len(), 340);
    let more: Result<Vec<IdRange>, InvalidIds> = apart(341).collect();
    let refused = more.and_then(IdMap::new);
    assert_eq!(refused, Err(InvalidIds::TooMany { count: 341 }));
}

#[test]
fn maps_are_equal_if_they_map_the_same() {
    let one = map(&["0:1000:1", "1:100000:65535"]);
    let same = map(&["1000:100999:64536", "0:1000:1", "1:100000:999"]);
    assert_eq!(one, same);
    assert_ne!(one, map(&["0:1000:1", "1:100000:65534"]));
    let printed = one.expect("a map").to_string();
    assert_eq!(printed, "0:1000:1,1:100000:65535");
}

#[test]
fn both_maps_have_root() {
    let [with, without] = [["0:100000:10"], ["1:100001:10"]].map(|texts| map(&texts));
    let (with, without) = (with.expect("a map"), without.expect("a map"));
    for (users, groups, kind) in [
        (&without, &with, IdKind::User),
        (&with, &without, IdKind::Group),
    ] {
        let made = IdMaps::new(users.clone(), groups.clone());
        assert_eq!(made, Err(InvalidIds::NoRoot { kind }));
    }
    let maps = IdMaps::new(with.clone(), with).expect("both have it");
    assert_eq!(maps.root(), (100_000, 100_000));
}

#[test]
fn what_has_no_counterpart_is_said_and_shown_as_the_kernel_does() {
    let users = map(&["0:100000:10"]).expect("a map");
    let groups = map(&["0:200000:10"]).expect("a map");
    let maps = IdMaps::new(users, groups).expect("both have root");
    let (user, group) = (IdKind::User, IdKind::Group);
    assert_eq!(maps.outside(9, 8), Ok((100_009, 200_008)));
    assert_eq!(maps.inside(100_009, 200_008), Ok((9, 8)));
    for (owner, kind, id) in [((10, 8), user, 10), ((9, u32::MAX), group, u32::MAX)] {
        let refused = Err(UnmappedId::Inside { kind, id });
        assert_eq!(maps.outside(owner.0, owner.1), refused);
    }
    for (owner, shown, kind, id) in [
        ((0, 200_001), (65_534, 1), user, 0),
        ((100_002, 100_000), (2, 65_534), group, 100_000),
    ] {
        let unmapped = UnmappedId::Outside { kind, id };
        assert_eq!(maps.inside(owner.0, owner.1), Err(unmapped));
        assert_eq!(maps.shown(owner.0, owner.1), (shown, Some(unmapped)));
    }
}

/// Ids near each other and near both ends.
fn id() -> impl Strategy<Value = u32> {
    prop_oneof![0..40_u32, u32::MAX - 40..=u32::MAX, any::<u32>()]
}

fn any_range() -> impl Strategy<Value = IdRange> {
    let count = prop_oneof![1..8_u32, any::<u32>()];
    (id(), id(), count).prop_filter_map("no range", |(inside, outside, count)| {
        IdRange::new(inside, outside, count).ok()
    })
}

/// What a list of ranges maps, by looking at each.
fn by_hand(ranges: &[IdRange], inside: u32) -> Option<u32> {
    ranges.iter().find_map(|range| {
        let at = u64::from(inside).checked_sub(u64::from(range.inside))?;
        let outside = u64::from(range.outside) + at;
        (at < u64::from(range.count)).then(|| u32::try_from(outside).expect("an id"))
    })
}

proptest! {
    #[test]
    fn parse_of_display_is_the_identity(range in any_range()) {
        prop_assert_eq!(range.to_string().parse(), Ok(range));
    }

    #[test]
    fn map_then_unmap_is_the_identity_on_what_is_mapped_and_nothing_else_is_an_id_of_either(
        ranges in vec(any_range(), 0..6),
        ids in vec(id(), 1..40),
    ) {
        let Ok(map) = IdMap::new(ranges.clone()) else {
            // Then two of them do overlap, on one side.
            let pairs = ranges.iter().enumerate().flat_map(|(number, first)| {
                ranges[number + 1..].iter().map(move |second| (first, second))
            });
            let meet = |(a, b): (u32, u32), (c, d): (u32, u32)| {
                let (a, c) = (u64::from(a), u64::from(c));
                a < c + u64::from(d) && c < a + u64::from(b)
            };
            let mut overlaps = pairs.map(|(one, two)| {
                meet((one.inside, one.count), (two.inside, two.count))
                    || meet((one.outside, one.count), (two.outside, two.count))
            });
            prop_assert!(overlaps.any(|overlap| overlap));
            return Ok(());
        };
        let edges = ranges.iter().flat_map(|range| {
            let last = range.count - 1;
            [range.inside, range.inside + last, range.outside, range.outside + last]
        });
        for id in ids.into_iter().chain(edges) {
            prop_assert_eq!(map.outside(id), by_hand(&ranges, id));
            if let Some(outside) = map.outside(id) {
                prop_assert_ne!(outside, u32::MAX);
                prop_assert_eq!(map.inside(outside), Some(id));
            }
            if let Some(inside) = map.inside(id) {
                prop_assert_ne!(inside, u32::MAX);
                prop_assert_eq!(map.outside(inside), Some(id));
            }
        }
        prop_assert_eq!(map.outside(u32::MAX), None);
        prop_assert_eq!(map.inside(u32::MAX), None);
    }

    #[test]
    fn a_map_is_the_same_whatever_the_order_of_its_ranges(
        ranges in vec(any_range(), 0..6).prop_shuffle(),
    ) {
        let mut sorted = ranges.clone();
        sorted.sort_by_key(|range| (range.inside, range.outside, range.count));
        prop_assert_eq!(IdMap::new(ranges).ok(), IdMap::new(sorted).ok());
    }
}
