//! Times in documents: what is read, what is refused, and how it is written.

use std::error::Error;
use std::time::{Duration, UNIX_EPOCH};

use layergraph_image::v1::Image;
use layergraph_image::{Timestamp, TimestampError};

#[track_caller]
fn check(text: &str, written: &str) {
    let time: Timestamp = text.parse().unwrap();
    assert_eq!(time.to_string(), written);
    let document = format!(r#"{{"created":"{text}"}}"#);
    assert_eq!(Image::decode(document.as_bytes()).unwrap().created, time);
}

#[track_caller]
fn check_refused(text: &str, error: TimestampError) {
    assert_eq!(text.parse::<Timestamp>(), Err(error), "{text}");
}

#[test]
fn times_keep_their_zone_and_lose_trailing_zeros() {
    for same in [
        "2015-06-02T03:04:05Z",
        "2015-06-02T03:04:05.123456789Z",
        "2015-06-02T03:04:05.000000001+02:00",
        "2015-06-02T03:04:05.1-23:59",
        "0001-01-01T00:00:00Z",
        "0000-01-01T00:00:00Z",
        "9999-12-31T23:59:59.999999999Z",
        "9999-12-31T23:59:59-12:00",
        "2016-02-29T00:00:00+99:59",
    ] {
        check(same, same);
    }
    check("2015-06-02T03:04:05.120000000Z", "2015-06-02T03:04:05.12Z");
    check("2015-06-02T03:04:05.0Z", "2015-06-02T03:04:05Z");
    check("2015-06-02T03:04:05+00:00", "2015-06-02T03:04:05Z");
    check("2015-06-02T03:04:05-00:00", "2015-06-02T03:04:05Z");
    check("2015-06-02T03:04:05+01:75", "2015-06-02T03:04:05+02:15");
    check("2015-06-02T3:04:05Z", "2015-06-02T03:04:05Z");
}

#[test]
fn days_that_a_month_lacks_are_counted_on() {
    check("2015-02-29T00:00:00Z", "2015-03-01T00:00:00Z");
    check("2016-02-30T00:00:00Z", "2016-03-01T00:00:00Z");
    check("1900-02-29T00:00:00Z", "1900-03-01T00:00:00Z");
    check("2000-02-30T00:00:00Z", "2000-03-01T00:00:00Z");
    check("2015-04-31T12:00:00Z", "2015-05-01T12:00:00Z");
    check("2015-03-00T00:00:00Z", "2015-02-28T00:00:00Z");
    check("2016-01-00T00:00:00Z", "2015-12-31T00:00:00Z");
}

#[test]
fn other_forms_are_refused() {
    for text in [
        "",
        "2015-06-01",
        "2015-06-01T00:00:00",
        "2015-06-01t00:00:00Z",
        "2015-06-01 00:00:00Z",
        "2015-06-01T00:00:00z",
        "2015-06-01T00:00:00ZZ",
        " 2015-06-01T00:00:00Z",
        "2015-06-01T00:00:00+0200",
        "2015-06-01T00:00:00+2:00",
        "2015-06-01T00:00:00 02:00",
        "2015-06-01T00:00:00+-1:00",
        "2015-06-01T00:00:00.Z",
        "2015-06-01T00:00:00,5Z",
        "2015-06-01T00:00:.5Z",
        "2015-06-01T00:0:00Z",
        "2015-6-01T00:00:00Z",
        "15-06-01T00:00:00Z",
        "-015-06-01T00:00:00Z",
        "12015-06-01T00:00:00Z",
        "2015-06-01T00:00:00\u{ff3a}",
    ] {
        check_refused(text, TimestampError::Form);
    }
}

#[test]
fn parts_out_of_range_are_refused() {
    for (text, part) in [
        ("2015-00-01T00:00:00Z", "month"),
        ("2015-13-01T00:00:00Z", "month"),
        ("2015-01-32T00:00:00Z", "day"),
        ("2015-01-01T24:00:00Z", "hour"),
        ("2015-01-01T00:60:00Z", "minute"),
        ("2015-06-30T23:59:60Z", "second"),
        ("2015-01-01T00:00:00.1234567891Z", "fractional second"),
    ] {
        check_refused(text, TimestampError::Part(part));
    }
    check_refused("0000-01-00T00:00:00Z", TimestampError::Year);
    check_refused("2015-01-01T00:00:00+99:60", TimestampError::Offset);
}

#[test]
fn a_bad_time_is_told_with_its_reason() {
    let error = Image::decode(br#"{"created":"yesterday"}"#).unwrap_err();
    assert_eq!(error.to_string(), "image JSON: bad time in `created`");
    assert_eq!(
        error.source().unwrap().to_string(),
        "expected a time such as 2015-06-01T00:00:00Z"
    );
    // Escapes are not looked through: the decoder of times saw the text as it stood.
    assert!(Image::decode(br#"{"created":"\u0032015-06-01T00:00:00Z"}"#).is_err());
}

#[test]
fn only_times_that_can_be_written_can_be_made() {
    let (first, last) = (-62_167_219_200, 253_402_300_799);
    assert_eq!(
        Timestamp::new(first, 0, 0).unwrap().to_string(),
        "0000-01-01T00:00:00Z"
    );
    assert_eq!(
        Timestamp::new(last, 999_999_999, 0).unwrap().to_string(),
        "9999-12-31T23:59:59.999999999Z"
    );
    for (seconds, offset) in [
        (first - 1, 0),
        (last + 1, 0),
        (first, -1),
        (last, 1),
        (i64::MIN, -1),
        (i64::MAX, 1),
    ] {
        let made = Timestamp::new(seconds, 0, offset);
        assert_eq!(made, Err(TimestampError::Year));
    }
    assert_eq!(
        Timestamp::new(0, 1_000_000_000, 0),
        Err(TimestampError::Nanos)
    );
    for offset in [360_000, -360_000, i32::MIN, i32::MAX] {
        assert_eq!(Timestamp::new(0, 0, offset), Err(TimestampError::Offset));
    }
    assert_eq!(
        TimestampError::Year.to_string(),
        "year outside of range [0,9999]"
    );
}

#[test]
fn seconds_of_a_zone_are_cut_off_but_count_for_the_clock() {
    for (offset, written) in [
        (3_601, "1970-01-01T01:00:01+01:00"),
        (-3_659, "1969-12-31T22:59:01-01:00"),
        (-59, "1969-12-31T23:59:01+00:00"),
        (359_999, "1970-01-05T03:59:59+99:59"),
    ] {
        let time = Timestamp::new(0, 0, offset).unwrap();
        assert_eq!(time.to_string(), written);
    }
}

#[test]
fn the_clock_of_the_system_is_told_in_utc() {
    let check = |time, written: &str| {
        assert_eq!(Timestamp::try_from(time).unwrap().to_string(), written);
    };
    check(UNIX_EPOCH, "1970-01-01T00:00:00Z");
    check(
        UNIX_EPOCH + Duration::new(1, 500_000_000),
        "1970-01-01T00:00:01.5Z",
    );
    check(
        UNIX_EPOCH - Duration::from_nanos(1),
        "1969-12-31T23:59:59.999999999Z",
    );
    check(UNIX_EPOCH - Duration::from_secs(1), "1969-12-31T23:59:59Z");
    let late = UNIX_EPOCH + Duration::from_secs(253_402_300_800);
    assert_eq!(Timestamp::try_from(late), Err(TimestampError::Year));
}

#[test]
fn times_sort_by_moment() {
    let parse = |text: &str| text.parse::<Timestamp>().unwrap();
    let early = parse("2015-06-01T01:00:00+02:00");
    let late = parse("2015-06-01T00:00:00Z");
    assert!(early < late);
    assert!(late < parse("2015-06-01T00:00:00.000000001Z"));
    assert_eq!(Timestamp::default(), parse("0001-01-01T00:00:00Z"));
}
