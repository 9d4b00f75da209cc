//! PAX records: what an extended header says about the member after it (pax(1p)).

use std::time::{Duration, SystemTime};

use crate::field::Reason;
use crate::sparse::Described;

/// Attributes in the form that most tools write.
pub(crate) const XATTR: &[u8] = b"SCHILY.xattr.";

/// How many bytes the names of one object's attributes have together at most, each with a NUL
/// behind it: the kernel lists no more (`XATTR_LIST_MAX`, xattr(7)).
const XATTR_NAMES_MAX: usize = 65_536;

/// What an extended header states; where it says nothing, the header block counts.
#[derive(Debug, Default)]
pub(crate) struct Records {
    pub(crate) path: Option<Vec<u8>>,
    pub(crate) link: Option<Vec<u8>>,
    pub(crate) size: Option<u64>,
    pub(crate) uid: Option<i128>,
    pub(crate) gid: Option<i128>,
    pub(crate) user: Option<Vec<u8>>,
    pub(crate) group: Option<Vec<u8>>,
    pub(crate) mtime: Option<SystemTime>,
    pub(crate) atime: Option<SystemTime>,
    pub(crate) ctime: Option<SystemTime>,
    pub(crate) xattrs: Vec<(Vec<u8>, Vec<u8>)>,
    pub(crate) sparse: Described,
    /// The length of the names of all attributes, those that are given twice too.
    xattr_names: usize,
}

impl Records {
    /// Reads the body of an extended header. Of two records with one key the later counts.
    pub(crate) fn parse(body: &[u8]) -> Result<Records, Reason> {
        let mut records = Records::default();
        for_each(body, |key, value| records.take(key, value))?;
        // Sorted by name, of several values the last.
        records.xattrs.reverse();
        records.xattrs.sort_by(|a, b| a.0.cmp(&b.0));
        records.xattrs.dedup_by(|a, b| a.0 == b.0);
        Ok(records)
    }

    fn take(&mut self, key: &[u8], value: &[u8]) -> Result<(), Reason> {
        if let Some(name) = key.strip_prefix(XATTR) {
            if name.is_empty() || name.contains(&0) {
                return Err("an attribute has no name, or a NUL in it");
            }
            self.xattr_names += name.len() + 1;
            if self.xattr_names > XATTR_NAMES_MAX {
                return Err("more attributes than an object can have");
            }
            self.xattrs.push((name.to_vec(), value.to_vec()));
            return Ok(());
        }
        if key.starts_with(b"GNU.sparse.") {
            return self.sparse.take(key, value);
        }
        // An empty value takes back what the key said.
        let number = || match value {
            [] => Ok(None),
            _ => integer(value).map(Some),
        };
        let time = || match value {
            [] => Ok(None),
            _ => time(value).map(Some),
        };
        match key {
            b"path" => self.path = name(value)?,
            b"linkpath" => self.link = name(value)?,
            b"uname" => self.user = name(value)?,
            b"gname" => self.group = name(value)?,
            b"size" => {
                let size = number()?.map(u64::try_from).transpose();
                self.size = size.map_err(|_| "a size is negative or too large")?;
            }
            b"uid" => self.uid = number()?,
            b"gid" => self.gid = number()?,
            b"mtime" => self.mtime = time()?,
            b"atime" => self.atime = time()?,
            b"ctime" => self.ctime = time()?,
            _ => {}
        }
        Ok(())
    }
}

fn name(value: &[u8]) -> Result<Option<Vec<u8>>, Reason> {
    if value.contains(&0) {
        return Err("a name has a NUL in it");
    }
    Ok((!value.is_empty()).then(|| value.to_vec()))
}

/// Calls `take` with key and value of each record: `LENGTH KEY=VALUE\n`, the length that of it all.
pub(crate) fn for_each(
    mut body: &[u8],
    mut take: impl FnMut(&[u8], &[u8]) -> Result<(), Reason>,
) -> Result<(), Reason> {
    while !body.is_empty() {
        let blank = body.iter().take(20).position(|&byte| byte == b' ');
        let blank = blank.ok_or("a PAX record has no length")?;
        let length = digits(&body[..blank]).ok_or("a PAX record has no length")?;
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        if length <= blank + 1 || length > body.len() {
            return Err("the length of a PAX record is wrong");
        }
        let (record, rest) = body.split_at(length);
        let record = record[blank + 1..].strip_suffix(b"\n");
        let record = record.ok_or("a PAX record does not end where its length says")?;
        let equals = record.iter().position(|&byte| byte == b'=');
        match equals {
            None | Some(0) => return Err("a PAX record has no key"),
            Some(equals) => take(&record[..equals], &record[equals + 1..])?,
        }
        body = rest;
    }
    Ok(())
}

/// Reads decimal digits and nothing else.
pub(crate) fn digits(text: &[u8]) -> Option<u64> {
    if text.is_empty() || !text.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(text).ok()?.parse().ok()
}

fn integer(value: &[u8]) -> Result<i128, Reason> {
    let (negative, magnitude) = match value.strip_prefix(b"-") {
        Some(magnitude) => (true, magnitude),
        None => (false, value),
    };
    let number = i128::from(digits(magnitude).ok_or("a number is not decimal, or too large")?);
    Ok(if negative { -number } else { number })
}

/// Reads seconds since 1970 with any fraction; digits below the nanosecond are cut off.
fn time(value: &[u8]) -> Result<SystemTime, Reason> {
    const INVALID: Reason = "a time is not a decimal number, or out of range";
    let (negative, value) = match value.strip_prefix(b"-") {
        Some(value) => (true, value),
        None => (false, value),
    };
    let mut parts = value.splitn(2, |&byte| byte == b'.');
    let seconds = digits(parts.next().unwrap_or_default()).ok_or(INVALID)?;
    let fraction = parts.next().unwrap_or_default();
    if !fraction.iter().all(u8::is_ascii_digit) {
        return Err(INVALID);
    }
    let place = |at: usize| fraction.get(at).map_or(0, |digit| u32::from(digit - b'0'));
    let nanos = (0..9).fold(0, |nanos, at| nanos * 10 + place(at));
    let distance = Duration::new(seconds, nanos);
    let time = if negative {
        SystemTime::UNIX_EPOCH.checked_sub(distance)
    } else {
        SystemTime::UNIX_EPOCH.checked_add(distance)
    };
    time.ok_or(INVALID)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn r20_a_malformed_record_is_an_error() {
        for body in [
            &b"x"[..],
            b"0 path=evil\n",
            b"-12 path=evil\n",
            b"+12 path=evil\n",
            b"99999999999999999999 path=evil\n",
            b"11 path=evil\n",
            b"12 path=evil",
            b"8 path\n\0",
            b"6 =ab\n",
            b"4 =\n",
            b" path=x\n",
        ] {
            assert!(
                Records::parse(body).is_err(),
                "{:?}",
                body.escape_ascii().to_string()
            );
        }
        let records = Records::parse(b"13 path=a\nb=\n").expect("a line break is part of a value");
        assert_eq!(records.path.as_deref(), Some(&b"a\nb="[..]));
    }

    #[test]
    fn r30_no_more_attributes_are_taken_than_an_object_can_have() {
        let record = b"24 SCHILY.xattr.user.a=\n";
        let fitting = XATTR_NAMES_MAX / b"user.a\0".len();
        assert!(Records::parse(&record.repeat(fitting)).is_ok());
        assert!(Records::parse(&record.repeat(fitting + 1)).is_err());
    }

    #[test]
    fn times_have_signs_and_fractions() {
        let since = |text: &str| {
            let time = time(text.as_bytes()).expect(text);
            match time.duration_since(SystemTime::UNIX_EPOCH) {
                Ok(after) => after.as_nanos().cast_signed(),
                Err(before) => -before.duration().as_nanos().cast_signed(),
            }
        };
        assert_eq!(since("1"), 1_000_000_000);
        assert_eq!(since("-1.5"), -1_500_000_000);
        assert_eq!(since("0.1234567899"), 123_456_789);
        for text in ["", ".5", "1e3", "--1", "1.-5", "99999999999999999999"] {
            assert!(time(text.as_bytes()).is_err(), "{text}");
        }
    }
}
