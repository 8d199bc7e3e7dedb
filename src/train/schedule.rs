//! The learning rate of each step.

use super::settings::{OptimizerSettings, Schedule};

/// Learning rate of `step`, counted from 0: a straight line up over the warm-up, then the schedule's way down.
pub fn learning_rate(step: u64, settings: &OptimizerSettings) -> f64 {
    let peak = settings.learning_rate;
    if step < settings.warmup_steps {
        return peak * (step + 1) as f64 / settings.warmup_steps as f64;
    }
    let rest = settings.steps.saturating_sub(settings.warmup_steps).max(1);
    let done = ((step - settings.warmup_steps) as f64 / rest as f64).min(1.0);
    match settings.schedule {
        Schedule::Constant => peak,
        Schedule::Linear => peak * (1.0 - done),
        Schedule::Cosine => peak * 0.5 * (1.0 + (std::f64::consts::PI * done).cos()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(step: u64, schedule: Schedule) -> f64 {
        let settings = OptimizerSettings {
            steps: 110,
            batch_pairs: 2,
            learning_rate: 1.0,
            warmup_steps: 10,
            schedule,
            ..OptimizerSettings::default()
        };
        learning_rate(step, &settings)
    }

    #[test]
    fn rises_to_the_peak_and_falls_to_zero() {
        assert_eq!(at(0, Schedule::Linear), 0.1);
        assert_eq!(at(9, Schedule::Linear), 1.0);
        assert_eq!(at(60, Schedule::Linear), 0.5);
        assert!((at(60, Schedule::Cosine) - 0.5).abs() < 1e-12);
        assert_eq!(at(60, Schedule::Constant), 1.0);
        assert!(at(110, Schedule::Cosine) < 1e-12);
    }
}
