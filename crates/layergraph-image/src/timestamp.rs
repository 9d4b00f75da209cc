//! Moments with their zone, in the RFC 3339 form of the 2015 documents.
//!
//! Reading and writing follow Go 1.4's `time` package, whose texts the documents hold: the zone
//! stays as it was written, and a fraction has up to nine digits with trailing zeros cut.

use std::fmt;
use std::str::FromStr;
use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Serialize, Serializer};

const MINUTE: i64 = 60;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;

/// 0000-01-01T00:00:00 and 9999-12-31T23:59:59, in seconds since 1970.
const FIRST: i64 = -62_167_219_200;
const LAST: i64 = 253_402_300_799;

/// A moment to the nanosecond, and the zone it is told in.
///
/// The year, told in that zone, is from 0 to 9999, so every value has a text. The default is
/// [`Timestamp::ZERO`], which stands for "no time" in the 2015 documents.
///
/// Timestamps sort by moment; equal moments in different zones are different values.
///
/// ```
/// use layergraph_image::Timestamp;
///
/// let time: Timestamp = "2015-06-02T03:04:05.120+02:00".parse()?;
/// assert_eq!(time.seconds(), 1_433_207_045);
/// assert_eq!(time.to_string(), "2015-06-02T03:04:05.12+02:00");
/// # Ok::<(), layergraph_image::TimestampError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp {
    seconds: i64,
    nanos: u32,
    offset: i32,
}

/// Why there is no such timestamp.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TimestampError {
    /// The text has another form.
    #[error("expected a time such as 2015-06-01T00:00:00Z")]
    Form,
    /// A part of the text is no number of that part, such as month 13 or hour 24.
    #[error("{0} out of range")]
    Part(&'static str),
    /// The year in the given zone is not from 0 to 9999.
    #[error("year outside of range [0,9999]")]
    Year,
    /// The zone is 100 hours or more from UTC, which the text has no room for.
    #[error("zone offset of 100 hours or more")]
    Offset,
    /// There are a thousand million nanoseconds or more.
    #[error("nanoseconds outside of range [0,999999999]")]
    Nanos,
}

impl Timestamp {
    /// Midnight of the first of January of the year 1, in UTC.
    pub const ZERO: Timestamp = Timestamp {
        seconds: -62_135_596_800,
        nanos: 0,
        offset: 0,
    };

    /// Makes a timestamp from the seconds since 1970 in UTC, the nanoseconds after that second,
    /// and the seconds by which its zone is ahead of UTC.
    ///
    /// # Errors
    ///
    /// [`Year`](TimestampError::Year), [`Offset`](TimestampError::Offset) or
    /// [`Nanos`](TimestampError::Nanos).
    pub fn new(seconds: i64, nanos: u32, offset: i32) -> Result<Timestamp, TimestampError> {
        if i64::from(offset).abs() >= 100 * HOUR {
            return Err(TimestampError::Offset);
        }
        if nanos > 999_999_999 {
            return Err(TimestampError::Nanos);
        }
        match seconds.checked_add(i64::from(offset)) {
            Some(FIRST..=LAST) => Ok(Timestamp {
                seconds,
                nanos,
                offset,
            }),
            _ => Err(TimestampError::Year),
        }
    }

    /// Returns the whole seconds since 1970 in UTC, negative before that.
    pub fn seconds(self) -> i64 {
        self.seconds
    }

    /// Returns the nanoseconds after the whole second.
    pub fn nanos(self) -> u32 {
        self.nanos
    }

    /// Returns the seconds by which the zone is ahead of UTC.
    pub fn offset(self) -> i32 {
        self.offset
    }

    /// Reads the text of a time, which may be any bytes.
    ///
    /// As in 2015 the hour may have one digit, and a day that its month lacks is counted on into
    /// the neighbour: the 30th of February is the 2nd of March, day 0 the last of the month
    /// before. Three forms are refused that Go 1.4 took by accident and read wrongly or not as
    /// meant: a fraction of more than nine digits, a fraction without its second, and a zone with
    /// a second sign.
    ///
    /// # Errors
    ///
    /// [`Form`](TimestampError::Form) or [`Part`](TimestampError::Part), and
    /// [`Year`](TimestampError::Year) or [`Offset`](TimestampError::Offset) for a time that would
    /// have no text.
    pub fn parse(text: &[u8]) -> Result<Timestamp, TimestampError> {
        let mut text = Cursor(text);
        let year = text.number(4)?;
        text.expect(b'-')?;
        let month = text.part("month", 1..=12)?;
        text.expect(b'-')?;
        let day = text.part("day", 0..=31)?;
        text.expect(b'T')?;
        let hour = text.hour()?;
        text.expect(b':')?;
        let minute = text.part("minute", 0..=59)?;
        text.expect(b':')?;
        let second = text.part("second", 0..=59)?;
        let nanos = text.fraction()?;
        let offset = text.offset()?;
        if !text.0.is_empty() {
            return Err(TimestampError::Form);
        }

        let days = days_before_month(year, month) + day - 1;
        let local = days * DAY + hour * HOUR + minute * MINUTE + second;
        Timestamp::new(local - i64::from(offset), nanos, offset)
    }
}

/// What is left of a text that is read from the front.
struct Cursor<'a>(&'a [u8]);

impl Cursor<'_> {
    fn eat(&mut self, byte: u8) -> bool {
        match self.0.strip_prefix(&[byte]) {
            Some(rest) => {
                self.0 = rest;
                true
            }
            None => false,
        }
    }

    fn expect(&mut self, byte: u8) -> Result<(), TimestampError> {
        self.eat(byte).then_some(()).ok_or(TimestampError::Form)
    }

    /// Counts the decimal digits at the front.
    fn digits(&self) -> usize {
        let other = self.0.iter().position(|byte| !byte.is_ascii_digit());
        other.unwrap_or(self.0.len())
    }

    /// Reads a number of exactly `digits` digits, at most nine.
    fn number(&mut self, digits: usize) -> Result<i64, TimestampError> {
        if self.digits() < digits {
            return Err(TimestampError::Form);
        }
        let (number, rest) = self.0.split_at(digits);
        self.0 = rest;
        Ok(number
            .iter()
            .fold(0, |n, digit| n * 10 + i64::from(digit - b'0')))
    }

    fn part(
        &mut self,
        name: &'static str,
        range: std::ops::RangeInclusive<i64>,
    ) -> Result<i64, TimestampError> {
        let part = self.number(2)?;
        let found = range.contains(&part).then_some(part);
        found.ok_or(TimestampError::Part(name))
    }

    fn hour(&mut self) -> Result<i64, TimestampError> {
        if self.digits() == 1 {
            self.number(1)
        } else {
            self.part("hour", 0..=23)
        }
    }

    fn fraction(&mut self) -> Result<u32, TimestampError> {
        if !self.eat(b'.') {
            return Ok(0);
        }
        match self.digits() {
            0 => Err(TimestampError::Form),
            digits @ 1..=9 => {
                let mut nanos = self.number(digits)?;
                for _ in digits..9 {
                    nanos *= 10;
                }
                Ok(u32::try_from(nanos).expect("nine digits fit"))
            }
            _ => Err(TimestampError::Part("fractional second")),
        }
    }

    /// Reads the seconds by which the zone is ahead of UTC.
    fn offset(&mut self) -> Result<i32, TimestampError> {
        if self.eat(b'Z') {
            return Ok(0);
        }
        let ahead = self.eat(b'+');
        if !ahead {
            self.expect(b'-')?;
        }
        let hours = self.number(2)?;
        self.expect(b':')?;
        let minutes = self.number(2)?;
        let offset = i32::try_from(hours * HOUR + minutes * MINUTE).expect("four digits fit");
        Ok(if ahead { offset } else { -offset })
    }
}

/// Counts the days from 1970-01-01 to the first of a month of the Gregorian calendar.
fn days_before_month(year: i64, month: i64) -> i64 {
    // Years are taken to begin in March, so that the day which leap years add comes last.
    let (year, month) = if month > 2 {
        (year, month - 3)
    } else {
        (year - 1, month + 9)
    };
    let leap_days = year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400);
    // The months from March on have 31, 30, 31, 30, 31 days, over and over.
    let days_of_months = (153 * month + 2) / 5;
    // 719,468 days lie between 0000-03-01 and 1970-01-01.
    365 * year + leap_days + days_of_months - 719_468
}

/// Splits the days since 1970-01-01 into year, month and day: the way back of
/// [`days_before_month`].
fn date(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let (cycle, day) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let year = cycle * 400 + year;
    if month < 10 {
        (year, month + 3, day)
    } else {
        (year + 1, month - 9, day)
    }
}

/// Writes the time as RFC 3339.
///
/// A zone has hours and minutes in that text; seconds of the offset are cut off, as in 2015,
/// while the time of day counts them.
impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let local = self.seconds + i64::from(self.offset);
        let (year, month, day) = date(local.div_euclid(DAY));
        let clock = local.rem_euclid(DAY);
        let (hour, minute, second) = (clock / HOUR, clock % HOUR / MINUTE, clock % MINUTE);
        write!(
            f,
            "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}"
        )?;
        if self.nanos != 0 {
            let fraction = format!("{:09}", self.nanos);
            write!(f, ".{}", fraction.trim_end_matches('0'))?;
        }
        if self.offset == 0 {
            return f.write_str("Z");
        }
        let minutes = self.offset / 60;
        let sign = if minutes < 0 { '-' } else { '+' };
        let minutes = minutes.abs();
        write!(f, "{sign}{:02}:{:02}", minutes / 60, minutes % 60)
    }
}

impl Default for Timestamp {
    fn default() -> Timestamp {
        Timestamp::ZERO
    }
}

impl FromStr for Timestamp {
    type Err = TimestampError;

    fn from_str(text: &str) -> Result<Timestamp, TimestampError> {
        Timestamp::parse(text.as_bytes())
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// Tells the moment in UTC.
impl TryFrom<SystemTime> for Timestamp {
    type Error = TimestampError;

    fn try_from(time: SystemTime) -> Result<Timestamp, TimestampError> {
        let (seconds, nanos) = match time.duration_since(UNIX_EPOCH) {
            Ok(after) => (i64::try_from(after.as_secs()), after.subsec_nanos()),
            Err(before) => {
                let before = before.duration();
                let seconds = i64::try_from(before.as_secs()).map(|seconds| -seconds);
                match before.subsec_nanos() {
                    0 => (seconds, 0),
                    nanos => (seconds.map(|seconds| seconds - 1), 1_000_000_000 - nanos),
                }
            }
        };
        Timestamp::new(seconds.map_err(|_| TimestampError::Year)?, nanos, 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_day_of_the_years_0_to_9999_is_counted_once() {
        let mut day = FIRST / DAY;
        for year in 0..10_000 {
            let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
            let february = if leap { 29 } else { 28 };
            let lengths = [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
            for (month, length) in (1..).zip(lengths) {
                assert_eq!(days_before_month(year, month), day, "{year}-{month}");
                for n in 0..length {
                    assert_eq!(date(day + n), (year, month, n + 1));
                }
                day += length;
            }
        }
        assert_eq!(day, (LAST + 1) / DAY);
    }
}
