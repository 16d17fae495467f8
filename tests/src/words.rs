//! How much of what was said has been heard.

/// Lower-case words of letters and apostrophes.
pub fn of(text: &str) -> Vec<String> {
    let is_part = |c: char| c.is_ascii_alphabetic() || c == '\'';
    text.to_lowercase().split(|c| !is_part(c)).filter(|word| !word.is_empty()).map(str::to_owned).collect()
}

/// Word error rate: words put in, left out and taken for others, of all that were said.
pub fn error_rate(said: &str, heard: &str) -> f64 {
    let (said, heard) = (of(said), of(heard));
    let mut row: Vec<usize> = (0..=heard.len()).collect();
    for (i, word) in said.iter().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, other) in heard.iter().enumerate() {
            let substituted = diagonal + usize::from(word != other);
            diagonal = row[j + 1];
            row[j + 1] = substituted.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[heard.len()] as f64 / said.len() as f64
}
