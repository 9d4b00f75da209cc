//! The options that say how owners are kept, which are checked together.

use std::fmt::Display;
use std::str::FromStr;

use clap::error::ErrorKind;
use clap::{ArgMatches, Args, Command, FromArgMatches, ValueEnum};
use layergraph::archive::Ownership;

/// How owners, modes and devices are kept on disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum How {
    /// As they are; to unpack a layer so takes root.
    Preserve,
    /// Everything belongs to the user; the true ones are recorded in an extended attribute.
    Squash,
    /// As they are, but that others own what they do: those that --uid-map and --gid-map say.
    Mapped,
}

/// The options as they are given.
#[derive(Debug, Args)]
struct Given {
    /// How owners, modes and devices are kept on disk [default: preserve for root, squash for
    /// others; listing: preserve].
    #[arg(long, value_name = "HOW")]
    ownership: Option<How>,

    /// With --ownership mapped: COUNT users from INSIDE on, as layers have them, are those from
    /// OUTSIDE on here. May be repeated, up to 340 times. Whoever is in no range is refused.
    /// Without --gid-map, groups are mapped so as well.
    #[arg(long, value_name = "INSIDE:OUTSIDE:COUNT")]
    uid_map: Vec<String>,

    /// As --uid-map, for groups. Without --uid-map, users are mapped so as well.
    #[arg(long, value_name = "INSIDE:OUTSIDE:COUNT")]
    gid_map: Vec<String>,
}

/// The ownership that was asked for, if one was.
#[derive(Debug, Clone)]
pub(crate) struct Owned(pub(crate) Option<Ownership>);

impl Given {
    fn ownership(&self) -> Result<Option<Ownership>, String> {
        let has_ranges = !self.uid_map.is_empty() || !self.gid_map.is_empty();
        match self.ownership {
            Some(How::Mapped) if has_ranges => self.mapped().map(Some),
            Some(How::Mapped) => {
                Err("--ownership mapped needs ranges: give --uid-map or --gid-map".to_owned())
            }
            _ if has_ranges => Err("--uid-map and --gid-map need --ownership mapped".to_owned()),
            Some(How::Preserve) => Ok(Some(Ownership::Preserve)),
            Some(How::Squash) => Ok(Some(Ownership::Squash)),
            None => Ok(None),
        }
    }

    /// One list of ranges is for both, as with podman's --uidmap and --gidmap.
    fn mapped(&self) -> Result<Ownership, String> {
        let (uid, gid) = (("--uid-map", &self.uid_map), ("--gid-map", &self.gid_map));
        let users = if self.uid_map.is_empty() { gid } else { uid };
        let groups = if self.gid_map.is_empty() { uid } else { gid };
        let mapped = Ownership::mapped(parsed(users)?, parsed(groups)?);
        mapped.map_err(|error| format!("--uid-map and --gid-map are no map of ids: {error}"))
    }
}

fn parsed<T>((option, texts): (&str, &Vec<String>)) -> Result<Vec<T>, String>
where
    T: FromStr,
    T::Err: Display,
{
    let ranges = texts.iter().map(|text| text.parse());
    let ranges: Result<Vec<T>, T::Err> = ranges.collect();
    ranges.map_err(|error| format!("invalid value for {option}: {error}"))
}

impl Args for Owned {
    fn augment_args(command: Command) -> Command {
        Given::augment_args(command)
    }

    fn augment_args_for_update(command: Command) -> Command {
        Given::augment_args_for_update(command)
    }
}

impl FromArgMatches for Owned {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Owned, clap::Error> {
        let ownership = Given::from_arg_matches(matches)?.ownership();
        let invalid = |text| clap::Error::raw(ErrorKind::ValueValidation, text);
        ownership.map(Owned).map_err(invalid)
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Owned::from_arg_matches(matches)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        owned: Owned,
    }

    fn owned(line: &str) -> Result<Option<Ownership>, clap::Error> {
        let words = format!("x {line}");
        Line::try_parse_from(words.split_whitespace()).map(|line| line.owned.0)
    }

    #[test]
    fn ranges_of_one_kind_are_for_both_and_else_each_for_its_own() {
        let mapped = |uid: &[&str], gid: &[&str]| {
            let texts = |texts: &[&str]| texts.iter().map(ToString::to_string).collect();
            let (uid_map, gid_map) = (texts(uid), texts(gid));
            let ownership = Some(How::Mapped);
            let given = Given {
                ownership,
                uid_map,
                gid_map,
            };
            given.mapped().map(Some)
        };
        let (one, other) = ("0:1000:1", "1:100000:65535");
        for (line, uid, gid) in [
            (
                "--uid-map 0:1000:1 --uid-map 1:100000:65535",
                &[one, other][..],
                &[one, other][..],
            ),
            ("--gid-map 0:1000:1", &[one], &[one]),
            ("--gid-map 0:1000:1 --uid-map 0:7:1", &["0:7:1"], &[one]),
        ] {
            let found = owned(&format!("--ownership mapped {line}"));
            assert_eq!(
                found.map_err(|error| error.to_string()),
                mapped(uid, gid),
                "{line}"
            );
        }
    }

    #[test]
    fn ranges_that_are_no_map_and_options_that_do_not_go_together_are_wrong_usage() {
        for (line, said) in [
            ("--ownership mapped", "needs ranges"),
            ("--uid-map 0:0:1", "need --ownership mapped"),
            (
                "--ownership squash --gid-map 0:0:1",
                "need --ownership mapped",
            ),
            (
                "--ownership mapped --uid-map 0:0",
                "--uid-map: '0:0' is no range",
            ),
            (
                "--ownership mapped --gid-map 0:0:0",
                "--gid-map: the range 0:0:0 is empty",
            ),
            (
                "--ownership mapped --uid-map 0:5:4294967295",
                "beyond the last id, 4294967294",
            ),
            (
                "--ownership mapped --uid-map 0:0:2 --uid-map 1:5:1",
                "overlap",
            ),
            (
                "--ownership mapped --uid-map 1:0:1",
                "no range has the uid 0",
            ),
        ] {
            let error = owned(line).expect_err(line);
            assert_eq!(error.exit_code(), 2);
            assert!(error.to_string().contains(said), "{line}: {error}");
        }
    }
}
