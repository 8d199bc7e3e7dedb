//! What a run leaves to read and to look at: `log.jsonl`, `loss.svg`, `samples.txt`.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};

use plotters::prelude::*;
use serde::{Deserialize, Serialize};

use crate::{Error, Result};

/// One step, as a line of `log.jsonl`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StepReport {
    /// Counted from 1.
    pub step: u64,
    pub generation_loss: f64,
    pub similarity_loss: f64,
    /// Of labelled pairs, where there are any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ranking_loss: Option<f64>,
    /// Against the teacher, where there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub relation_loss: Option<f64>,
    /// How often the nearest sentence of the batch is the positive.
    pub in_batch_accuracy: f64,
    /// l2 norm before clipping.
    pub gradient_norm: f64,
    pub learning_rate: f64,
    /// Of all sequences of the step.
    pub tokens: usize,
    pub seconds: f64,
    /// Score, 0 to 100, of each dev file that was scored after this step.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub dev: Vec<(String, f64)>,
}

/// The run's files.
#[derive(Debug)]
pub struct Report {
    folder: PathBuf,
    log: File,
    steps: Vec<StepReport>,
}

impl Report {
    /// Opens the report of a run that has taken `step` steps; what an earlier run logged past them is dropped.
    ///
    /// # Errors
    /// A file cannot be read or written.
    pub fn open(folder: &Path, step: u64) -> Result<Self> {
        let path = folder.join("log.jsonl");
        let mut steps: Vec<StepReport> = Vec::new();
        if step > 0 && path.is_file() {
            let text = std::fs::read_to_string(&path).map_err(|e| Error::io("read the log", &path, e))?;
            // A line cut short by a kill is dropped with the steps that are about to be taken again.
            steps = text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
            steps.retain(|report| report.step <= step);
        }
        let samples = folder.join("samples.txt");
        if step == 0 && samples.exists() {
            std::fs::remove_file(&samples).map_err(|e| Error::io("remove an earlier run's samples", &samples, e))?;
        }
        let mut this = Self {
            folder: folder.to_owned(),
            log: File::create(&path).map_err(|e| Error::io("write the log", &path, e))?,
            steps: Vec::new(),
        };
        steps.into_iter().try_for_each(|report| this.step(report))?;
        Ok(this)
    }

    /// Logs one step.
    ///
    /// # Errors
    /// The log cannot be written.
    pub fn step(&mut self, report: StepReport) -> Result<()> {
        let line = serde_json::to_string(&report).map_err(|e| Error::Internal(e.to_string()))?;
        writeln!(self.log, "{line}").map_err(|e| Error::io("write the log", self.folder.join("log.jsonl"), e))?;
        self.steps.push(report);
        Ok(())
    }

    /// How many times all dev files were scored since their mean was highest: 0 where that is the last time, or never
    /// was.
    pub fn scorings_since_best(&self) -> u64 {
        let most = self.steps.iter().map(|step| step.dev.len()).max().unwrap_or(0);
        let whole = self.steps.iter().filter(|step| most > 0 && step.dev.len() == most);
        let mean = |step: &StepReport| step.dev.iter().map(|(_, score)| score).sum::<f64>();
        let (mut best, mut since) = (f64::NEG_INFINITY, 0);
        for score in whole.map(mean) {
            since += 1;
            if score > best {
                (best, since) = (score, 0);
            }
        }
        since
    }

    /// Adds generated questions to `samples.txt`.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn samples(&self, step: u64, samples: &[(String, Vec<String>)]) -> Result<()> {
        let path = self.folder.join("samples.txt");
        let io = |e| Error::io("write the samples", &path, e);
        let mut file = OpenOptions::new().create(true).append(true).open(&path).map_err(io)?;
        writeln!(file, "step {step}").map_err(io)?;
        for (question, generated) in samples {
            writeln!(file, "  {question}\n    {}", generated.join("\n    ")).map_err(io)?;
        }
        Ok(())
    }

    /// Draws both losses over the steps into `loss.svg`, each step faintly and a running mean over it.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn plot(&self) -> Result<()> {
        let path = self.folder.join("loss.svg");
        self.draw(&path).map_err(|e| Error::io("draw the loss plot", &path, std::io::Error::other(e)))
    }

    fn draw(&self, path: &Path) -> std::result::Result<(), String> {
        let Some(last) = self.steps.last() else { return Ok(()) };
        let series = [
            ("generation", RED, self.losses(|s| s.generation_loss)),
            ("similarity", BLUE, self.losses(|s| s.similarity_loss)),
            ("ranking", MAGENTA, self.losses(|s| s.ranking_loss.unwrap_or(0.0))),
        ];
        let highest = series.iter().flat_map(|(_, _, losses)| losses).fold(0.1, |top: f64, &loss| top.max(loss));
        let root = SVGBackend::new(path, (960, 480)).into_drawing_area();
        let text = |e: &dyn std::fmt::Display| e.to_string();
        root.fill(&WHITE).map_err(|e| text(&e))?;
        let mut chart = ChartBuilder::on(&root)
            .caption("Loss by step", ("sans-serif", 20))
            .margin(12)
            .x_label_area_size(36)
            .y_label_area_size(48)
            .build_cartesian_2d(0f64..last.step as f64 + 1.0, 0.0..highest * 1.05)
            .map_err(|e| text(&e))?;
        chart.configure_mesh().x_desc("step").y_desc("nats").draw().map_err(|e| text(&e))?;
        for (name, color, losses) in series.into_iter().filter(|(_, _, losses)| losses.iter().any(|&loss| loss > 0.0)) {
            let at = |(i, loss): (usize, f64)| (self.steps[i].step as f64, loss);
            let faint = losses.iter().copied().enumerate().map(at);
            chart.draw_series(LineSeries::new(faint, color.mix(0.25))).map_err(|e| text(&e))?;
            let mut mean = losses.first().copied().unwrap_or_default();
            let smooth = losses.iter().copied().enumerate().map(|(i, loss)| {
                mean += (loss - mean) / (i as f64 + 1.0).min(25.0);
                at((i, mean))
            });
            chart
                .draw_series(LineSeries::new(smooth, color.stroke_width(2)))
                .map_err(|e| text(&e))?
                .label(name)
                .legend(move |(x, y)| PathElement::new([(x, y), (x + 16, y)], color.stroke_width(2)));
        }
        chart.configure_series_labels().background_style(WHITE).border_style(BLACK).draw().map_err(|e| text(&e))?;
        root.present().map_err(|e| text(&e))
    }

    fn losses(&self, of: impl Fn(&StepReport) -> f64) -> Vec<f64> {
        self.steps.iter().map(of).collect()
    }
}
