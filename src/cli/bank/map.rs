//! `simbert bank map`.

use std::fmt::Write as _;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::{Value, json};

use super::super::hits::shortened;
use super::super::open::{self, parse_name};
use super::archive;
use crate::Error;
use crate::engine::{BankMap, BankName, MapPoint, MapRequest, NearDuplicate};

/// From so many questions without a graph on, it is made first: that is quicker than comparing each point with all.
const LINKED_FROM: u64 = 20_000;
/// Suspicious pairs that are printed.
const LISTED: usize = 20;
/// Width and height of the picture, in pixels.
const SIDE: f32 = 1000.0;
/// Room around the points.
const MARGIN: f32 = 24.0;

#[derive(Args)]
pub struct Map {
    #[arg(value_parser = parse_name)]
    name: BankName,
    /// How many questions at most, 1 to 10000. A larger bank is sampled evenly.
    #[arg(long, value_name = "N", default_value_t = MapRequest::default().points)]
    points: usize,
    /// The cosine from which two questions are near-duplicates, 0.5 to 1.
    #[arg(long, value_name = "COSINE", default_value_t = MapRequest::default().near_duplicate)]
    near_duplicates: f32,
    /// Colour the picture by this metadata value instead of the FAQ.
    #[arg(long, value_name = "KEY")]
    label: Option<String>,
    /// Which questions are sampled.
    #[arg(long, default_value_t = MapRequest::default().seed)]
    seed: u64,
    /// Draw the map into this file. Texts are shown where the pointer is.
    #[arg(long, value_name = "FILE")]
    svg: Option<PathBuf>,
}

impl Map {
    pub fn run(self, out: &mut impl Write, data: &Path, json: bool) -> anyhow::Result<()> {
        let Self { name, points, near_duplicates, label, seed, svg } = self;
        let request = MapRequest { points, near_duplicate: near_duplicates, label, seed };
        request.check()?; // before the bank is read
        let bank = open::bank_without_model(data, &name)?;
        let status = bank.status()?;
        if status.questions.saturating_sub(status.questions_in_graph) >= LINKED_FROM {
            let bar = open::bar("vectors linked")?;
            bank.link_now(&archive::shown(&bar))?;
            bar.finish_and_clear();
        }
        let map = bank.map(&request)?;
        if let Some(path) = &svg {
            fs::write(path, drawn(&map, name.as_str())).map_err(|e| Error::io("draw the map", path, e))?;
        }
        if json {
            writeln!(out, "{}", map_json(&map))?;
            return Ok(());
        }
        writeln!(out, "points       {} of {} questions", map.points.len(), map.questions)?;
        writeln!(out, "neighbours   {:.0} % of each point's 10 nearest are kept", 100.0 * map.neighbours_kept)?;
        writeln!(out, "variance     {:.0} % in two directions", 100.0 * map.variance)?;
        let suspicious: Vec<_> = map.near_duplicates.iter().filter(|pair| !pair.one_faq).collect();
        let fine = map.near_duplicates.len() - suspicious.len();
        writeln!(out, "duplicates   {fine} pairs of one FAQ, {} of different FAQs", suspicious.len())?;
        for pair in suspicious.iter().take(LISTED) {
            let (a, b) = (&map.points[pair.first], &map.points[pair.second]);
            writeln!(out, "  {:.4}  {}  {}", pair.score, a.id, shortened(&a.text))?;
            writeln!(out, "          {}  {}", b.id, shortened(&b.text))?;
        }
        if suspicious.len() > LISTED {
            writeln!(out, "  and {} more; `--json` has all", suspicious.len() - LISTED)?;
        }
        Ok(())
    }
}

fn map_json(map: &BankMap) -> Value {
    let point = |point: &MapPoint| {
        let MapPoint { id, text, faq_id, label, x, y, group } = point;
        json!({"id": id, "text": text, "faq_id": faq_id, "label": label, "x": x, "y": y, "group": group})
    };
    let near = |pair: &NearDuplicate| {
        let id = |place: usize| map.points[place].id.as_str();
        json!({"first": id(pair.first), "second": id(pair.second), "score": pair.score, "one_faq": pair.one_faq})
    };
    json!({
        "points": map.points.iter().map(point).collect::<Vec<_>>(),
        "near_duplicates": map.near_duplicates.iter().map(near).collect::<Vec<_>>(),
        "questions": map.questions,
        "looked_up": map.looked_up,
        "variance": map.variance,
        "neighbours_kept": map.neighbours_kept,
    })
}

/// The map as SVG: a dot for each question, a red line between two answers to one question, a grey one within a FAQ.
fn drawn(map: &BankMap, name: &str) -> String {
    let at = |x: f32| SIDE / 2.0 + x * (SIDE / 2.0 - MARGIN);
    let place = |point: &MapPoint| (at(point.x), at(-point.y));
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {SIDE} {SIDE}\" width=\"{SIDE}\" height=\"{SIDE}\">\n\
         <title>{}</title>\n<rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>\n",
        escaped(name)
    );
    for pair in map.near_duplicates.iter().rev() {
        let ((x1, y1), (x2, y2)) = (place(&map.points[pair.first]), place(&map.points[pair.second]));
        let stroke = if pair.one_faq { "#bbb" } else { "#d33" };
        let _ =
            writeln!(svg, "<line x1=\"{x1:.1}\" y1=\"{y1:.1}\" x2=\"{x2:.1}\" y2=\"{y2:.1}\" stroke=\"{stroke}\"/>");
    }
    for point in &map.points {
        let (x, y) = place(point);
        let kind = point.label.as_ref().or(point.faq_id.as_ref());
        let colour = kind.map_or_else(|| "#567".to_owned(), |kind| colour(kind));
        let faq = point.faq_id.as_ref().map_or_else(String::new, |faq| format!(" · {faq}"));
        let title = escaped(&format!("{}\n{}{faq}", point.text, point.id));
        let _ = writeln!(
            svg,
            "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"4\" fill=\"{colour}\"><title>{title}</title></circle>"
        );
    }
    svg + "</svg>\n"
}

/// One colour for each text: a hue of its hash (FNV-1a).
fn colour(text: &str) -> String {
    let hash = text.bytes().fold(0x811c_9dc5_u32, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193));
    format!("hsl({} 60% {}%)", hash % 360, 40 + hash / 360 % 3 * 8)
}

/// Text between tags; what XML does not allow at all is left out.
fn escaped(text: &str) -> String {
    let mut escaped = String::new();
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '\n' => escaped.push(c),
            '\u{fffe}' | '\u{ffff}' => {}
            c if c.is_control() => {}
            c => escaped.push(c),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_xml_is_escaped_or_left_out() {
        assert_eq!(escaped("a<b>&\u{1}\u{ffff}\n退"), "a&lt;b&gt;&amp;\n退");
    }
}
