//! The index equals a list that is searched from end to end.

use proptest::prelude::*;
use truncindex::{InsertError, LookupError, RemoveError, TruncIndex};

/// The same set of ids, in the plainest form.
#[derive(Default)]
struct Model(Vec<String>);

impl Model {
    fn insert(&mut self, id: &str) -> Result<(), InsertError> {
        if id.contains(' ') {
            return Err(InsertError::IllegalCharacter);
        }
        if id.is_empty() {
            return Err(InsertError::EmptyId);
        }
        if self.contains(id) {
            return Err(InsertError::AlreadyExists { id: id.into() });
        }
        self.0.push(id.into());
        self.0.sort();
        Ok(())
    }

    fn remove(&mut self, id: &str) -> Result<(), RemoveError> {
        if !self.contains(id) {
            return Err(RemoveError::NotFound { id: id.into() });
        }
        self.0.retain(|other| other != id);
        Ok(())
    }

    fn get(&self, prefix: &str) -> Result<String, LookupError> {
        if prefix.is_empty() {
            return Err(LookupError::EmptyPrefix);
        }
        if self.contains(prefix) {
            return Ok(prefix.into());
        }
        match &*self.matches(prefix) {
            [] => Err(LookupError::NotFound {
                prefix: prefix.into(),
            }),
            [only] => Ok(only.clone()),
            [first, second, ..] => Err(LookupError::Ambiguous {
                prefix: prefix.into(),
                ids: [first.clone(), second.clone()],
            }),
        }
    }

    fn matches(&self, prefix: &str) -> Vec<String> {
        self.0
            .iter()
            .filter(|id| id.starts_with(prefix))
            .cloned()
            .collect()
    }

    fn shortest_prefix<'a>(&self, id: &'a str) -> Option<&'a str> {
        (1..=id.len())
            .filter(|&end| id.is_char_boundary(end))
            .map(|end| &id[..end])
            .find(|prefix| self.get(prefix).as_deref() == Ok(id))
            .filter(|_| self.contains(id))
    }

    fn contains(&self, id: &str) -> bool {
        self.0.iter().any(|other| other == id)
    }
}

#[derive(Clone, Debug)]
enum Step {
    Insert(String),
    Remove(String),
    Ask(String),
    /// Operations on an id of the index, cut to some length: random text seldom hits one.
    RemoveAt(prop::sample::Index),
    AskPartOf(prop::sample::Index, prop::sample::Index),
}

/// Ids and prefixes that are often equal to, or prefixes of, one another.
fn text() -> impl Strategy<Value = String> {
    let packed = ("[0f]{0,3}", "[0a]", "[0f]{0,2}").prop_map(|(head, fill, tail)| {
        format!("{head}{}{tail}", fill.repeat(64 - head.len() - tail.len()))
    });
    prop_oneof![
        4 => packed.clone(),
        2 => (packed.clone(), 0..=64_usize).prop_map(|(id, len)| id[..len].to_owned()),
        1 => (packed.clone(), "[0fgé]{1,2}").prop_map(|(id, more)| id + &more),
        1 => packed.prop_map(|id| id.to_uppercase()),
        2 => "[0afAé/]{0,4}",
        1 => any::<String>(),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => text().prop_map(Step::Insert),
        1 => text().prop_map(Step::Remove),
        2 => text().prop_map(Step::Ask),
        2 => any::<prop::sample::Index>().prop_map(Step::RemoveAt),
        4 => any::<(prop::sample::Index, prop::sample::Index)>()
            .prop_map(|(id, len)| Step::AskPartOf(id, len)),
    ]
}

/// Compares every answer about one text.
fn check_answers(index: &TruncIndex, model: &Model, text: &str) -> Result<(), TestCaseError> {
    prop_assert_eq!(index.get(text), model.get(text));
    prop_assert_eq!(index.matches(text).collect::<Vec<_>>(), model.matches(text));
    prop_assert_eq!(index.contains(text), model.contains(text));
    prop_assert_eq!(index.shortest_prefix(text), model.shortest_prefix(text));
    Ok(())
}

/// Compares everything that needs no text.
fn check_whole(index: &TruncIndex, model: &Model) -> Result<(), TestCaseError> {
    prop_assert_eq!(index.iter().collect::<Vec<_>>(), &*model.0);
    prop_assert_eq!(index.len(), model.0.len());
    prop_assert_eq!(index.is_empty(), model.0.is_empty());
    Ok(())
}

proptest! {
    #[test]
    fn any_sequence_of_operations_gives_what_a_linear_search_gives(
        steps in prop::collection::vec(step(), 0..60),
    ) {
        let mut index = TruncIndex::new();
        let mut model = Model::default();
        for step in steps {
            match step {
                Step::Insert(id) => prop_assert_eq!(index.insert(&id), model.insert(&id)),
                Step::Remove(id) => prop_assert_eq!(index.remove(&id), model.remove(&id)),
                Step::Ask(text) => check_answers(&index, &model, &text)?,
                Step::RemoveAt(_) | Step::AskPartOf(..) if model.0.is_empty() => {}
                Step::RemoveAt(at) => {
                    let id = at.get(&model.0).clone();
                    prop_assert_eq!(index.remove(&id), model.remove(&id));
                }
                Step::AskPartOf(at, len) => {
                    let id = at.get(&model.0);
                    let len = len.index(id.chars().count() + 1);
                    check_answers(&index, &model, &id.chars().take(len).collect::<String>())?;
                    check_answers(&index, &model, id)?;
                }
            }
            check_whole(&index, &model)?;
        }
    }

    #[test]
    fn collecting_and_extending_are_insertion_that_forgets_refusals(
        first in prop::collection::vec(text(), 0..20),
        second in prop::collection::vec(text(), 0..20),
    ) {
        let mut collected: TruncIndex = first.iter().collect();
        collected.extend(&second);

        let mut model = Model::default();
        for id in first.iter().chain(&second) {
            let _ = model.insert(id);
        }
        check_whole(&collected, &model)?;
    }

    #[test]
    fn the_shortest_prefix_of_each_id_finds_it_and_a_shorter_one_does_not(
        ids in prop::collection::vec(text(), 1..30),
    ) {
        let index: TruncIndex = ids.iter().collect();
        for id in index.iter() {
            let shortest = index.shortest_prefix(&id).expect("the id is in the index");
            prop_assert_eq!(index.get(shortest), Ok(id.clone()));
            let mut shorter = shortest.chars();
            shorter.next_back();
            prop_assert_ne!(index.get(shorter.as_str()), Ok(id.clone()));
        }
    }
}
