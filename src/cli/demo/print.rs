//! How the demo looks on the terminal.

use std::io::IsTerminal;
use std::time::Duration;

use crate::cli::hits::percent;
use crate::cli::say::say;
use crate::server::proto;

/// Characters of an answer that are shown.
const ANSWER: usize = 48;

/// Prints to standard output, bold and dim where that is a terminal.
pub struct Print {
    colour: bool,
}

impl Print {
    pub fn new() -> Self {
        Self { colour: std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none() }
    }

    fn styled(&self, code: &str, text: &str) -> String {
        if self.colour { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }

    /// Something that is done.
    pub fn step(&self, text: &str) {
        say!("{} {text}", self.styled("32", "•"));
    }

    /// What the next lines show.
    pub fn title(&self, what: &str, query: &str) {
        say!("\n{}", self.styled("1", &format!("{what} · {query}")));
    }

    pub fn hit(&self, hit: &proto::Hit) {
        let Some(question) = &hit.question else { return };
        let probability = hit.probability.map_or_else(String::new, |p| format!("{}  ", percent(p)));
        say!("  {:.3}  {probability}{}  {}", hit.score, question.text, self.styled("2", &question.id));
        if let Some(answer) = &question.answer {
            say!("         {}", self.styled("2", &shortened(answer)));
        }
    }

    pub fn phrase(&self, phrase: &proto::Paraphrase) {
        say!("  {:.3}  ~ {}", phrase.score, phrase.text);
    }

    /// Where the time went: on the server by stage, and in all as the client saw it.
    pub fn times(&self, timings: Option<proto::Timings>, round_trip: Duration) {
        let t = timings.unwrap_or_default();
        let stages = [
            ("queue", t.queue),
            ("tokenise", t.tokenise),
            ("infer", t.infer),
            ("generate", t.generate),
            ("search", t.search),
        ];
        let stages: Vec<_> = stages
            .into_iter()
            .filter_map(|(name, duration)| Some((name, Duration::try_from(duration?).ok()?)))
            .filter(|(_, duration)| !duration.is_zero())
            .map(|(name, duration)| format!("{name} {}", milliseconds(duration)))
            .collect();
        let line = format!("  round trip {} · {}", milliseconds(round_trip), stages.join(" · "));
        say!("{}", self.styled("36", &line));
    }
}

fn milliseconds(duration: Duration) -> String {
    format!("{:.2} ms", duration.as_secs_f64() * 1e3)
}

fn shortened(text: &str) -> String {
    match text.char_indices().nth(ANSWER) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_answers_are_cut_between_characters() {
        assert_eq!(shortened("短"), "短");
        assert_eq!(shortened(&"长".repeat(60)), format!("{}…", "长".repeat(48)));
    }
}
