//! Sets of small values that are found by a hash, in little more memory than the values take.
//!
//! Collisions go to the next place (open addressing). A set is in parts that grow one after the
//! other, each by half: so growing takes room for one part twice, and never for the whole.

use std::mem::size_of;

/// How many parts a set has.
const PARTS: usize = 64;

/// A set of values, each with a hash. The default value stands for a vacant place.
#[derive(Debug)]
pub(super) struct Table<T> {
    parts: Vec<Part<T>>,
    /// How many bytes the places of all parts take.
    bytes: usize,
}

#[derive(Debug, Clone)]
struct Part<T> {
    places: Vec<T>,
    taken: usize,
}

impl<T: Copy + Default + PartialEq> Table<T> {
    pub(super) fn new() -> Table<T> {
        let part = Part {
            places: Vec::new(),
            taken: 0,
        };
        Table {
            parts: vec![part; PARTS],
            bytes: 0,
        }
    }

    /// Returns how many bytes the set takes.
    pub(super) fn bytes(&self) -> usize {
        self.bytes + PARTS * size_of::<Part<T>>()
    }

    /// Returns how many bytes more it takes while a value with this hash is inserted.
    pub(super) fn growth(&self, hash: u64) -> usize {
        let part = &self.parts[part_of(hash)];
        if part.is_full() {
            part.next_size() * size_of::<T>()
        } else {
            0
        }
    }

    /// Returns the value with this hash that `is` says is the one.
    pub(super) fn find(&self, hash: u64, is: impl Fn(T) -> bool) -> Option<T> {
        let part = &self.parts[part_of(hash)];
        if part.places.is_empty() {
            return None;
        }
        let found = part.places[part.place(hash, is)];
        (found != T::default()).then_some(found)
    }

    /// Inserts a value that is not there yet. `hash_of` returns the hash of one that is.
    pub(super) fn insert(&mut self, hash: u64, value: T, hash_of: impl Fn(T) -> u64) {
        let part = &mut self.parts[part_of(hash)];
        if part.is_full() {
            self.bytes -= part.places.len() * size_of::<T>();
            part.grow(hash_of);
            self.bytes += part.places.len() * size_of::<T>();
        }
        part.put(hash, value);
    }
}

impl<T: Copy + Default + PartialEq> Part<T> {
    /// Returns whether there is no room for another value: a fifth of the places stays vacant, or
    /// searches would get long.
    fn is_full(&self) -> bool {
        (self.taken + 1) * 5 > self.places.len() * 4
    }

    fn next_size(&self) -> usize {
        (self.places.len() / 2 * 3).max(8)
    }

    fn grow(&mut self, hash_of: impl Fn(T) -> u64) {
        let larger = vec![T::default(); self.next_size()];
        let smaller = std::mem::replace(&mut self.places, larger);
        self.taken = 0;
        for value in smaller {
            if value != T::default() {
                self.put(hash_of(value), value);
            }
        }
    }

    fn put(&mut self, hash: u64, value: T) {
        let place = self.place(hash, |_| false);
        self.places[place] = value;
        self.taken += 1;
    }

    /// Returns the place of the value that `is` says is the one, or the vacant one where that
    /// belongs.
    fn place(&self, hash: u64, is: impl Fn(T) -> bool) -> usize {
        let mut place = first_place(hash, self.places.len());
        while self.places[place] != T::default() && !is(self.places[place]) {
            place = (place + 1) % self.places.len();
        }
        place
    }
}

/// The lowest bits of a hash say which part, the highest which place in it.
fn part_of(hash: u64) -> usize {
    usize::try_from(hash % PARTS as u64).expect("it is small")
}

fn first_place(hash: u64, places: usize) -> usize {
    let scaled = (u128::from(hash) * places as u128) >> u64::BITS;
    usize::try_from(scaled).expect("it is less than the number of places")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn it_holds_what_was_inserted_and_nothing_else(
            // Few hashes of one part, so that many collide.
            inserted in proptest::collection::btree_set(1..400_u64, 0..300),
            asked in proptest::collection::vec(1..400_u64, 0..50),
        ) {
            let hash = |value: u64| ((value / 8) << 60) | ((value % 8) * PARTS as u64);
            let mut table = Table::new();
            for &value in &inserted {
                let before = table.bytes();
                let growth = table.growth(hash(value));
                table.insert(hash(value), value, hash);
                prop_assert!(table.bytes() <= before + growth);
            }
            let inserted: BTreeSet<u64> = inserted;
            for value in asked {
                let found = table.find(hash(value), |other| other == value);
                prop_assert_eq!(found, inserted.contains(&value).then_some(value));
            }
        }
    }

    #[test]
    fn a_value_takes_at_most_twice_its_size_in_the_long_run() {
        let mut table = Table::new();
        let hash = |value: u64| value.wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(32);
        for value in 1..=1_000_000_u64 {
            let growth = table.growth(hash(value));
            assert!(growth < 512 << 10, "{growth}");
            table.insert(hash(value), value, hash);
        }
        assert!(table.bytes() < 16_000_000, "{}", table.bytes());
    }
}
