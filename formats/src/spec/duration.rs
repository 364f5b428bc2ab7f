//! Times as people write them.

use std::time::Duration;

/// Longest time that can be asked for: a week.
const LONGEST: Duration = Duration::from_secs(7 * 24 * 3600);

/// Parses a number with its unit: `100ms`, `1.5s`, `2m`, `1h`; `0` needs none.
///
/// # Errors
/// What was expected.
pub fn duration(text: &str) -> Result<Duration, String> {
    let split = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(split);
    let seconds = match unit {
        "ms" => 1e-3,
        "s" => 1.0,
        "m" | "min" => 60.0,
        "h" => 3600.0,
        "" if number == "0" => 1.0,
        "" => return Err("expected a unit, as in 100ms, 5s, 2m or 1h".to_owned()),
        other => return Err(format!("expected the unit ms, s, m or h, found `{other}`")),
    };
    let number: f64 = number.parse().map_err(|_| format!("expected a number such as 5 before the unit, found `{number}`"))?;
    match Duration::try_from_secs_f64(number * seconds) {
        Ok(duration) if duration <= LONGEST => Ok(duration),
        _ => Err("expected no more than 168h".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_units() {
        assert_eq!(duration("100ms"), Ok(Duration::from_millis(100)));
        assert_eq!(duration("1.5s"), Ok(Duration::from_millis(1500)));
        assert_eq!(duration("2m"), Ok(Duration::from_secs(120)));
        assert_eq!(duration("0"), Ok(Duration::ZERO));
        for (wrong, word) in
            [("5", "unit"), ("5x", "`x`"), ("s", "number"), ("1.2.3s", "number"), ("-1s", "unit"), ("999h", "168h")]
        {
            let message = duration(wrong).unwrap_err();
            assert!(message.contains(word), "{wrong}: {message}");
        }
    }
}
