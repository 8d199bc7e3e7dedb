//! Hits and questions, for people and for programs.

use std::io::Write;

use serde_json::{Value, json};
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

use crate::engine::{Hit, Question, Timings};

/// Columns of the terminal that a question may take; what is longer ends in “…”.
const WIDEST: usize = 60;

/// Prints one line for each hit: place, scores, probability where there is one, question, id and FAQ, and the phrase
/// that found it.
pub fn print(out: &mut impl Write, hits: &[Hit], ranked: bool) -> std::io::Result<()> {
    let texts: Vec<String> = hits.iter().map(|hit| shortened(&hit.question.text)).collect();
    let width = texts.iter().map(|text| text.width()).max().unwrap_or(0);
    for (place, (hit, text)) in hits.iter().zip(&texts).enumerate() {
        let padding = " ".repeat(width - text.width());
        let rank = if ranked { format!("{:.5}  ", hit.rank_score) } else { String::new() };
        let probability = hit.probability.map_or_else(String::new, |p| format!("{}  ", percent(p)));
        write!(out, "{:>3}  {rank}{:.4}  {probability}{text}{padding}  {}", place + 1, hit.score, hit.question.id)?;
        if let Some(faq_id) = &hit.question.faq_id {
            write!(out, "  FAQ {faq_id}")?;
        }
        if let Some(phrase) = &hit.phrase {
            write!(out, "  by “{}”", shortened(phrase))?;
        }
        writeln!(out)?;
    }
    Ok(())
}

/// A probability in seven columns. What is not sure does not read as if it were.
pub fn percent(probability: f64) -> String {
    let percent = probability * 100.0;
    let shown = if percent < 100.0 { percent.min(99.9) } else { percent };
    format!("{shown:5.1} %")
}

/// Prints one line for each question: id, FAQ, text.
pub fn print_questions(out: &mut impl Write, questions: &[Question]) -> std::io::Result<()> {
    let width = questions.iter().map(|question| question.id.as_str().width()).max().unwrap_or(0);
    for question in questions {
        let id = question.id.as_str();
        write!(out, "{id}{}  {}", " ".repeat(width - id.width()), shortened(&question.text))?;
        match &question.faq_id {
            Some(faq_id) => writeln!(out, "  FAQ {faq_id}")?,
            None => writeln!(out)?,
        }
    }
    Ok(())
}

/// A hit as JSON: the question's fields, and how it was found.
pub fn json(hit: &Hit) -> anyhow::Result<Value> {
    let mut value = serde_json::to_value(&hit.question)?;
    value["score"] = json!(hit.score);
    if let Some(probability) = hit.probability {
        value["probability"] = json!(probability);
    }
    value["rank_score"] = json!(hit.rank_score);
    if let Some(phrase) = &hit.phrase {
        value["phrase"] = json!(phrase);
    }
    Ok(value)
}

/// Times in milliseconds.
pub fn json_timings(timings: &Timings) -> Value {
    let ms = |time: std::time::Duration| (time.as_secs_f64() * 1e6).round() / 1e3;
    json!({
        "queue_ms": ms(timings.queue),
        "tokenise_ms": ms(timings.tokenise),
        "infer_ms": ms(timings.infer),
        "generate_ms": ms(timings.generate),
        "search_ms": ms(timings.search),
    })
}

/// The text on one line of at most [`WIDEST`] columns.
pub fn shortened(text: &str) -> String {
    let line: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    if line.width() <= WIDEST {
        return line;
    }
    let mut width = 0;
    let fits = |c: &char| {
        width += c.width().unwrap_or(0);
        width < WIDEST
    };
    let start: String = line.chars().take_while(fits).collect();
    start + "…"
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::QuestionId;

    fn hit(id: &str, text: &str, faq_id: Option<&str>, phrase: Option<&str>) -> Hit {
        let question = Question {
            id: QuestionId::new(id).unwrap(),
            text: text.to_owned(),
            faq_id: faq_id.map(str::to_owned),
            answer: None,
            metadata: Default::default(),
        };
        Hit { question, score: 0.5, probability: None, rank_score: 0.25, phrase: phrase.map(str::to_owned) }
    }

    #[test]
    fn wide_letters_stay_in_their_columns() {
        let hits = [hit("a", "怎么退款\n", Some("f"), None), hit("b", "refund", None, Some("退"))];
        let mut out = Vec::new();
        print(&mut out, &hits, true).unwrap();
        let expected = "  1  0.25000  0.5000  怎么退款   a  FAQ f\n  2  0.25000  0.5000  refund     b  by “退”\n";
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }

    #[test]
    fn probabilities_are_shown_where_there_are_any() {
        let likely = |probability| Hit { probability: Some(probability), ..hit("a", "退款", None, None) };
        let mut out = Vec::new();
        print(&mut out, &[likely(1.0), likely(0.99999), likely(0.023)], false).unwrap();
        let expected = "  1  0.5000  100.0 %  退款  a\n  2  0.5000   99.9 %  退款  a\n  3  0.5000    2.3 %  退款  a\n";
        assert_eq!(String::from_utf8(out).unwrap(), expected);
        assert_eq!(json(&likely(0.25)).unwrap()["probability"], 0.25);
        assert!(json(&hit("a", "退款", None, None)).unwrap().get("probability").is_none());
    }

    #[test]
    fn long_texts_are_cut_by_columns() {
        assert_eq!(shortened(&"长".repeat(100)).width(), 59);
        assert_eq!(shortened(&"x".repeat(100)).width(), 60);
        assert_eq!(shortened(&"长".repeat(30)).width(), 60);
    }
}
