//! The reliability plot.

use std::fmt::Display;
use std::path::Path;

use plotters::coord::types::RangedCoordf64;
use plotters::prelude::*;

use super::{BINS, Calibrated};
use crate::metrics::{Outcome, reliability};
use crate::{Error, Result};

/// Points of the curve that are drawn.
const POINTS: usize = 400;

type Area<'a> = DrawingArea<SVGBackend<'a>, plotters::coord::Shift>;

/// Draws two panels into an SVG file. Left: of the pairs that were given a probability, the share that mean the same,
/// held out; on the diagonal it is kept. Right: the curve over the scores, and the shares that it was fitted to. The
/// larger a dot, the more pairs are behind it.
///
/// # Errors
/// The file cannot be written.
pub fn draw(calibrated: &Calibrated, path: &Path) -> Result<()> {
    let failed = |e: String| Error::io("draw the reliability plot", path, std::io::Error::other(e));
    let root = SVGBackend::new(path, (1080, 560)).into_drawing_area();
    root.fill(&WHITE).map_err(|e| failed(e.to_string()))?;
    let (left, right) = root.split_horizontally(540);
    reliability_panel(&left, calibrated).map_err(failed)?;
    curve_panel(&right, calibrated).map_err(failed)?;
    root.present().map_err(|e| failed(e.to_string()))
}

fn reliability_panel(area: &Area, calibrated: &Calibrated) -> Result<(), String> {
    let mut chart = chart(area, "Said and true", 0.0..1.0, "probability", "share that mean the same")?;
    chart.draw_series(LineSeries::new([(0.0, 0.0), (1.0, 1.0)], BLACK.mix(0.4))).map_err(text)?;
    let series =
        [("the cosine as it is", BLUE, &calibrated.scored), ("calibrated, held out", RED, &calibrated.held_out)];
    for (name, color, outcomes) in series {
        let dots = dots(outcomes, |mean| mean.clamp(0.0, 1.0));
        let line = dots.iter().map(|&(at, _)| at);
        chart
            .draw_series(LineSeries::new(line, color.stroke_width(2)))
            .map_err(text)?
            .label(name)
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 16, y)], color.stroke_width(2)));
        let circles = dots.iter().map(|&(at, size)| Circle::new(at, size, color.mix(0.6).filled()));
        chart.draw_series(circles).map_err(text)?;
    }
    legend(&mut chart)
}

fn curve_panel(area: &Area, calibrated: &Calibrated) -> Result<(), String> {
    let scores = calibrated.scored.iter().map(|outcome| outcome.score);
    let (low, high) = scores.fold((1f64, -1f64), |(low, high), score| (low.min(score), high.max(score)));
    let width = (high - low).max(1e-3);
    let mut chart = chart(area, "Score and probability", low..low + width, "cosine", "probability")?;
    let curve = (0..=POINTS).map(|i| {
        let score = low + width * i as f64 / POINTS as f64;
        (score, calibrated.curve.probability(score))
    });
    chart
        .draw_series(LineSeries::new(curve, RED.stroke_width(2)))
        .map_err(text)?
        .label("the curve")
        .legend(|(x, y)| PathElement::new([(x, y), (x + 16, y)], RED.stroke_width(2)));
    let moved = |o: &Outcome| Outcome { score: (o.score - low) / width, ..*o };
    let moved: Vec<Outcome> = calibrated.scored.iter().map(moved).collect();
    let circles = dots(&moved, |mean| low + width * mean);
    chart
        .draw_series(circles.into_iter().map(|(at, size)| Circle::new(at, size, BLUE.mix(0.6).filled())))
        .map_err(text)?
        .label("share that mean the same")
        .legend(|(x, y)| Circle::new((x + 8, y), 4, BLUE.mix(0.6).filled()));
    legend(&mut chart)
}

type Chart<'a, 'b> = ChartContext<'b, SVGBackend<'a>, Cartesian2d<RangedCoordf64, RangedCoordf64>>;

fn chart<'a, 'b>(
    area: &'b Area<'a>,
    caption: &str,
    x: std::ops::Range<f64>,
    x_name: &str,
    y_name: &str,
) -> Result<Chart<'a, 'b>, String> {
    let mut chart = ChartBuilder::on(area)
        .caption(caption, ("sans-serif", 20))
        .margin(12)
        .x_label_area_size(40)
        .y_label_area_size(52)
        .build_cartesian_2d(x, 0.0..1.0)
        .map_err(text)?;
    chart.configure_mesh().x_desc(x_name).y_desc(y_name).light_line_style(WHITE).draw().map_err(text)?;
    Ok(chart)
}

fn legend<'a: 'b, 'b>(chart: &mut Chart<'a, 'b>) -> Result<(), String> {
    let mut labels = chart.configure_series_labels();
    labels
        .position(SeriesLabelPosition::UpperLeft)
        .background_style(WHITE.mix(0.8))
        .border_style(BLACK)
        .draw()
        .map_err(text)
}

/// A dot for each bin: where it lies, and how large it is.
fn dots(outcomes: &[Outcome], x: impl Fn(f64) -> f64) -> Vec<((f64, f64), i32)> {
    let bins = reliability(outcomes, BINS);
    let most = bins.iter().map(|bin| bin.weight).fold(0.0, f64::max);
    bins.iter().map(|bin| ((x(bin.mean), bin.share), 2 + (8.0 * (bin.weight / most).sqrt()) as i32)).collect()
}

fn text(error: impl Display) -> String {
    error.to_string()
}
