//! Trains a SimBERT: pairs, losses, schedule, loop, checkpoints, report.

mod average;
mod batches;
mod checkpoint;
mod dev;
mod device;
mod encode;
#[cfg(fuzzing)]
pub(crate) mod fuzzing;
mod groups;
pub mod losses;
mod noise;
mod optimizer;
mod report;
mod samples;
mod schedule;
mod settings;
mod step;
mod teacher;
mod trainer;

pub use checkpoint::Checkpoint;
pub use device::best_device;
pub use optimizer::AdamW;
pub use report::{Report, StepReport};
pub use schedule::learning_rate;
pub use settings::{
    CheckpointSettings, DataSettings, DevSettings, LossSettings, ModelSettings, OptimizerSettings, PRESETS, Ranking,
    SampleSettings, Schedule, Settings, TeacherSettings,
};
pub use trainer::{Event, Outcome, Start, Trainer};
